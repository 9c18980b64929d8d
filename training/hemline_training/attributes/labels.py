"""What the attribute network tells apart: six heads, their classes, weights, and the taxonomy.

A catalogue says of most items what they are, of some their season, of a few nothing. A label is -1
where the catalogue does not say, and such a label costs nothing in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline.catalogue import Catalogue
from hemline.errors import CatalogueError
from hemline.vectors import F32

I64 = npt.NDArray[np.int64]

HEADS = ("article_type", "sub_category", "master_category", "colour", "gender", "season")
TAXONOMY = HEADS[
    :3
]  # from fine to coarse: an article type lies in a sub-category, that in a master


@dataclass(frozen=True)
class Labels:
    """The classes of each head, and how often each was seen.

    classes: head -> names, sorted; counts: head -> int64 (classes,); seen: the distinct
    (article type, sub-category, master category) names that occur together in the catalogue;
    weight_power: see `weights`.
    """

    classes: Mapping[str, Sequence[str]]
    counts: Mapping[str, I64]
    seen: frozenset[tuple[str, str, str]]
    weight_power: float = 0.5

    @classmethod
    def of(
        cls, catalogue: Catalogue, rows: I64, least: int = 5, weight_power: float = 0.5
    ) -> Labels:
        """Classes with at least `least` items among `rows`; rarer ones cannot be learnt.

        Raises CatalogueError when a head is left with fewer than two classes.
        """
        classes, counts = {}, {}
        for head in HEADS:
            codes = catalogue.codes(head)[rows]
            found = np.bincount(codes[codes >= 0], minlength=len(catalogue.values(head)))
            kept = np.flatnonzero(found >= least)
            if len(kept) < 2:
                raise CatalogueError(
                    f"attributes: {head} has {len(kept)} value(s) with at least {least} photos; "
                    "two are needed to learn it"
                )
            classes[head] = [catalogue.values(head)[code] for code in kept]
            counts[head] = np.asarray(found[kept], dtype=np.int64)
        named = [_names(catalogue, head, rows) for head in TAXONOMY]
        seen = {(a, s, m) for a, s, m in zip(*named, strict=True) if a and s and m}
        return cls(classes, counts, frozenset(seen), weight_power)

    def encode(self, catalogue: Catalogue) -> I64:
        """int64 (n, heads): each item's class per head, -1 where unknown or too rare."""
        out = np.full((len(catalogue), len(HEADS)), -1, dtype=np.int64)
        for column, head in enumerate(HEADS):
            number = {name: at for at, name in enumerate(self.classes[head])}
            of_code = [number.get(name, -1) for name in catalogue.values(head)]
            out[:, column] = np.array([*of_code, -1])[catalogue.codes(head)]
        return out

    def weights(self, head: str) -> F32:
        """float32 (classes,): 1 / count**weight_power, scaled so that the mean over items is 1.

        The power .5 lies between 0, where rare classes drown, and 1, where five photos shout down
        five thousand.
        """
        count = self.counts[head].astype(np.float64)
        weight = count**-self.weight_power
        return np.asarray(weight * count.sum() / (weight * count).sum(), dtype=np.float32)

    def allowed(self, head: str, known: Mapping[str, str]) -> npt.NDArray[np.bool_]:
        """bool (classes,): which classes of `head` occur beside the known names of the taxonomy.

        All are allowed for heads outside it, and when nothing was ever seen beside those names.
        """
        names = self.classes[head]
        everything = np.ones(len(names), dtype=bool)
        if head not in TAXONOMY:
            return everything
        at = TAXONOMY.index(head)
        beside = {at: known[h] for at, h in enumerate(TAXONOMY) if h != head and known.get(h)}
        fits = {t[at] for t in self.seen if all(t[i] == name for i, name in beside.items())}
        mask = np.array([name in fits for name in names])
        return mask if mask.any() else everything


def _names(catalogue: Catalogue, head: str, rows: I64) -> list[str | None]:
    values = [*catalogue.values(head), None]
    return [values[code] for code in catalogue.codes(head)[rows]]
