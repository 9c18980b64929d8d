"""Candidates from several sources, merged into one list that remembers who proposed what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline.contracts import Rows
from hemline.distinct import FirstPlaces
from hemline.filters import Mask

SOURCES = ("tower", "content", "neighbours", "popular", "trending")


@dataclass(frozen=True)
class Candidates:
    """rows: int32 (c,), distinct; proposed_by: uint8 (c,), one bit for each of SOURCES."""

    rows: Rows
    proposed_by: npt.NDArray[np.uint8]

    def sources(self, place: int) -> tuple[str, ...]:
        """Names of the sources that proposed the candidate at `place`."""
        return _NAMES_OF[int(self.proposed_by[place])]


_NAMES_OF: list[tuple[str, ...]] = [
    tuple(name for bit, name in enumerate(SOURCES) if bits >> bit & 1)
    for bits in range(1 << len(SOURCES))
]


class Merger:
    """Merges lists of rows of one catalogue. It keeps scratch arrays: for one thread.

    items: size of the catalogue.
    """

    def __init__(self, items: int) -> None:
        self._first = FirstPlaces(items)
        self._bits = np.zeros(items, dtype=np.uint8)

    def merge(self, brought: Mapping[str, Rows], eligible: Mask) -> Candidates:
        """One list of what the sources brought; items that may not be shown are dropped here.

        brought: source name -> int32 rows, distinct. eligible: bool (n,).
        """
        rows = np.concatenate(list(brought.values())).astype(np.int32, copy=False)
        rows = rows[eligible[rows]]
        rows = np.sort(rows[self._first(rows)])
        self._bits[rows] = 0
        for name, found in brought.items():
            self._bits[found] |= np.uint8(1 << SOURCES.index(name))
        return Candidates(rows, self._bits[rows])


def top_eligible(order: Rows, eligible: Mask, count: int) -> Rows:
    """The first `count` rows of `order` that may be shown; fewer only if fewer exist."""
    start = order[: 4 * count]  # nearly always enough, and a hundredth of the catalogue
    shown = start[eligible[start]]
    if len(shown) < count:
        shown = order[eligible[order]]
    return shown[:count]
