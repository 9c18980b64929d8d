"""Why an item is shown, in words fit for a shopper and true to the score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hemline.contracts import Part, Rows
from hemline.distinct import Places
from hemline.live_items import Served
from hemline.shopper import Shopper
from hemline.vectors import F32

_DID = {
    "view": "looked at",
    "click": "looked at",
    "wish": "wished for",
    "bag": "put in your bag",
    "purchase": "bought",
}
_LIKED_SIMILARITY = 0.5  # below this cosine, naming one item of the history would not convince


@dataclass(frozen=True)
class Reason:
    text: str
    because_of: int | None = None  # row of the history's item


def reasons_for(
    places: Places, rows: Rows, parts: Mapping[str, Part], shopper: Shopper, release: Served
) -> list[Reason]:
    """One reason for each chosen place, from the part that added most to its score.

    places: int (m,), into the candidates. rows: int32 (m,), their rows.
    """
    if not parts or shopper.profile is None:
        popular, trending = _at(parts, "popularity", places), _at(parts, "trending", places)
        said = np.where(trending > popular, "Trending now", "Popular with shoppers")
        said = np.where(release.untouched(rows), "New in", said)
        return [Reason(str(text)) for text in said]

    names = list(parts)
    untouched = release.untouched(rows)
    strongest = np.argmax([_at(parts, name, places) for name in names], axis=0)
    liked = np.flatnonzero(shopper.weights > 0)
    if liked.size:
        content = release.item_content
        similarity = content[rows] @ content[shopper.rows[liked]].T  # (m, liked)
        nearest = np.argmax(similarity, axis=1)
    reasons = []
    for i in range(len(rows)):
        name = names[strongest[i]]
        if untouched[i] and name not in ("tower", "content"):
            name = "new"  # what others did they did with its twin
        if liked.size and similarity[i, nearest[i]] >= _LIKED_SIMILARITY:
            event = int(liked[nearest[i]])
            row = int(shopper.rows[event])
            title, did = release.catalogue.titles[row], _DID[shopper.kinds[event]]
            if name in ("cf", "neighbours"):
                reasons.append(Reason(f"Shoppers who like “{title}” also like this", row))
            else:
                reasons.append(Reason(f"Similar to “{title}”, which you {did}", row))
        elif name in ("tower", "content") and shopper.imported_items:
            reasons.append(Reason("Close to the style you brought with you"))
        elif name in ("cf", "neighbours"):
            reasons.append(Reason("Shoppers with your taste like this"))
        elif name in ("tower", "content"):
            reasons.append(Reason("Matches your style"))
        elif name == "new":
            reasons.append(Reason("New in"))
        else:
            reasons.append(
                Reason("Trending now" if name == "trending" else "Popular with shoppers")
            )
    return reasons


def _at(parts: Mapping[str, Part], name: str, places: Places) -> F32:
    if name not in parts:
        return np.zeros(len(places), dtype=np.float32)
    return np.asarray(parts[name].contributions[places])
