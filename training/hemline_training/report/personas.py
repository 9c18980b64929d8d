"""Shoppers to show recommendations for, made up from the catalogue itself, whatever it sells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from hemline.catalogue import Catalogue
from hemline.vectors import F32

CLICKS = 5
FEWEST = 12  # items of a kind that a persona may like


@dataclass(frozen=True)
class Persona:
    """rows: catalogue rows clicked, oldest first. foreign: descriptions of things bought elsewhere,
    which no catalogue row stands for. kind: the article type of either, to count what matches."""

    name: str
    tells: str
    rows: list[int] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    kind: str = ""


def make_personas(catalogue: Catalogue, popularity: F32) -> list[Persona]:
    """A newcomer, and where the catalogue has enough kinds: one click, five clicks on one kind and
    colour, and a shopper known from another shop. popularity: float32 (n,); what is clicked is
    what is popular of its kind, as it would be in life."""
    found = [
        Persona("A newcomer", "Nothing is known: no click, no purchase, no account elsewhere.")
    ]
    kinds = _kinds(catalogue)
    if kinds:
        kind = kinds[0]
        row = _most_popular(catalogue, popularity, kind, 1)
        tells = f"She clicked one item of the kind “{kind}”, a minute ago."
        found.append(Persona("One click", tells, row, kind=kind))
    if len(kinds) > 1:
        kind = kinds[1]
        rows = _most_popular(catalogue, popularity, kind, CLICKS, one_colour=True)
        tells = (
            f"He clicked {len(rows)} items of the kind “{kind}”, alike in colour where possible."
        )
        found.append(Persona("Five clicks on one kind", tells, rows, kind=kind))
    if len(kinds) > 2:
        kind = kinds[2]
        tells = (
            "She never was in this shop. From another platform it is known, in words alone, what "
            "she bought; none of it is in this catalogue."
        )
        found.append(
            Persona("Known from elsewhere", tells, foreign=_foreign(catalogue, kind), kind=kind)
        )
    return found


def _kinds(catalogue: Catalogue) -> list[str]:
    """Article types with enough items, commonest first, each of another sub-category (where those
    are known), so that the personas differ."""
    codes, values = catalogue.codes("article_type"), catalogue.values("article_type")
    parts = catalogue.codes("sub_category")
    kinds, taken = [], set()
    for code, count in Counter(codes[codes >= 0].tolist()).most_common():
        part = Counter(parts[codes == code].tolist()).most_common(1)[0][0]
        if count >= FEWEST and (part < 0 or part not in taken):
            taken.add(part)
            kinds.append(values[code])
    return kinds


def _of_kind(catalogue: Catalogue, kind: str) -> np.ndarray:
    code = catalogue.values("article_type").index(kind)
    return np.flatnonzero(catalogue.codes("article_type") == code)


def _most_popular(
    catalogue: Catalogue, popularity: F32, kind: str, count: int, one_colour: bool = False
) -> list[int]:
    """The most popular items of a kind, the best last; sizes of one product count once."""
    rows = _of_kind(catalogue, kind)
    rows = rows[np.argsort(-popularity[rows], kind="stable")]
    _, first = np.unique(catalogue.variant_group[rows], return_index=True)
    rows = rows[np.sort(first)]
    if one_colour:
        colours = catalogue.codes("colour")[rows]
        counts = Counter(colours[colours >= 0].tolist()).most_common(1)
        if counts and counts[0][1] >= count:
            rows = rows[colours == counts[0][0]]
    return [int(row) for row in rows[:count][::-1]]


def _foreign(catalogue: Catalogue, kind: str) -> list[str]:
    """Three descriptions of such things, in the catalogue's commonest words for colour and sex."""
    rows = _of_kind(catalogue, kind)

    def common(attribute: str, count: int) -> list[str]:
        codes, values = catalogue.codes(attribute)[rows], catalogue.values(attribute)
        best = Counter(codes[codes >= 0].tolist()).most_common(count)
        return [values[code].lower() for code, _ in best] or [""]

    (sex,) = common("gender", 1)
    colours = (common("colour", 3) * 3)[:3]
    return [" ".join(f"{sex} {colour} {kind.lower()}".split()) for colour in colours]
