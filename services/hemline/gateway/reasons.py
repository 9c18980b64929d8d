"""Why an item is shown, in words fit for a shopper and true to the score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hemline.compiled import compiled, read
from hemline.contracts import Part, Rows
from hemline.distinct import Places
from hemline.live_view import Served
from hemline.shopper import Shopper
from hemline.vector_rows import dot
from hemline.vectors import F32

_DID = {
    "view": "looked at",
    "click": "looked at",
    "wish": "wished for",
    "bag": "put in your bag",
    "purchase": "bought",
}
_LIKED_SIMILARITY = 0.5  # below this cosine, naming one item of the history would not convince


class Reason(NamedTuple):
    text: str
    because_of: int | None = None  # row of the history's item


_BROUGHT = Reason("Close to the style you brought with you")
_STYLE = Reason("Matches your style")
_POPULAR, _TRENDING = Reason("Popular with shoppers"), Reason("Trending now")
_NEW = Reason("New in")
_TASTE = Reason("Shoppers with your taste like this")
_BECAUSE_OF = {
    "cf": _TASTE,
    "neighbours": _TASTE,
    "popularity": _POPULAR,
    "trending": _TRENDING,
    "new": _NEW,
}


def reasons_for(
    places: Places, rows: Rows, parts: Mapping[str, Part], shopper: Shopper, release: Served
) -> list[Reason]:
    """One reason for each chosen place, from the part that added most to its score.

    places: int (m,), into the candidates. rows: int32 (m,), their rows.
    """
    if not parts or shopper.profile is None:
        rising = _at(parts, "trending", places) > _at(parts, "popularity", places)
        untouched = release.untouched(rows)
        return [
            _NEW if new else _TRENDING if trending else _POPULAR
            for new, trending in zip(untouched.tolist(), rising.tolist(), strict=True)
        ]

    names = list(parts)
    strongest = np.argmax([parts[name].contributions[places] for name in names], axis=0).tolist()
    untouched = release.untouched(rows).tolist()
    liked = np.flatnonzero(shopper.weights > 0)
    nearest, similarity = [0] * len(rows), [-1.0] * len(rows)
    if liked.size:
        content = release.item_content
        found, cosines = _nearest(content[rows], content[shopper.rows[liked]])
        nearest, similarity = liked[found].tolist(), cosines.tolist()
    reasons = []
    for i in range(len(rows)):
        name = names[strongest[i]]
        if untouched[i] and name not in ("tower", "content"):
            name = "new"  # what others did they did with its twin
        if similarity[i] >= _LIKED_SIMILARITY:
            row = int(shopper.rows[nearest[i]])
            title, did = release.catalogue.titles[row], _DID[shopper.kinds[nearest[i]]]
            if name in ("cf", "neighbours"):
                reasons.append(Reason(f"Shoppers who like “{title}” also like this", row))
            else:
                reasons.append(Reason(f"Similar to “{title}”, which you {did}", row))
        elif name in ("tower", "content"):
            reasons.append(_BROUGHT if shopper.imported_items else _STYLE)
        else:
            reasons.append(_BECAUSE_OF[name])
    return reasons


@compiled(read("f4", 2), read("f4", 2))
def _nearest(vectors: F32, others: F32) -> tuple[Places, F32]:
    """Of each vector which of the others is most similar, and how much."""
    nearest = np.zeros(len(vectors), np.intp)
    similarity = np.full(len(vectors), -np.inf, np.float32)
    for i in range(len(vectors)):
        for j in range(len(others)):
            cosine = dot(vectors[i], others[j])
            if cosine > similarity[i]:
                nearest[i], similarity[i] = j, cosine
    return nearest, similarity


def _at(parts: Mapping[str, Part], name: str, places: Places) -> F32:
    if name not in parts:
        return np.zeros(len(places), dtype=np.float32)
    return np.asarray(parts[name].contributions[places])
