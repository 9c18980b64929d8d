"""Candidates from several sources, merged into one list that remembers who proposed what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, read, scalar, written
from hemline.contracts import Rows
from hemline.distinct import Places
from hemline.filters import Mask

SOURCES = ("tower", "content", "neighbours", "popular", "trending")


@dataclass(frozen=True)
class Candidates:
    """rows: int32 (c,), distinct; proposed_by: uint8 (c,), one bit for each of SOURCES."""

    rows: Rows
    proposed_by: npt.NDArray[np.uint8]

    def sources(self, places: Places) -> list[tuple[str, ...]]:
        """Of each of these candidates, the names of the sources that proposed it."""
        return [_NAMES_OF[bits] for bits in self.proposed_by[places].tolist()]


_NAMES_OF: list[tuple[str, ...]] = [
    tuple(name for bit, name in enumerate(SOURCES) if bits >> bit & 1)
    for bits in range(1 << len(SOURCES))
]


class Merger:
    """Merges lists of rows of one catalogue. It keeps scratch arrays: for one thread.

    items: size of the catalogue.
    """

    def __init__(self, items: int) -> None:
        self._place_of = np.zeros(items, dtype=np.int32)
        self._bits = np.zeros(items, dtype=np.uint8)

    def merge(self, brought: Mapping[str, Rows], eligible: Mask) -> Candidates:
        """One list of what the sources brought; items that may not be shown are dropped here.

        brought: source name -> int32 rows, distinct. eligible: bool (n,).
        """
        rows = np.concatenate(list(brought.values()), dtype=np.int32)
        ends = np.cumsum([len(found) for found in brought.values()])
        bits = np.array([1 << SOURCES.index(name) for name in brought], dtype=np.uint8)
        merged = _merge(rows, ends, bits, eligible, self._place_of, self._bits)
        merged.sort()
        return Candidates(merged, self._bits[merged])


@compiled(read("i4"), read("i8"), read("u1"), read("b1"), written("i4"), written("u1"))
def _merge(
    rows: Rows,
    ends: npt.NDArray[np.int64],
    bits: npt.NDArray[np.uint8],
    eligible: Mask,
    place_of: Rows,
    proposed_by: npt.NDArray[np.uint8],
) -> Rows:
    """The distinct eligible rows of sources that lie one after the other, and in `proposed_by`, for
    each of these, the bits of its sources. place_of: as in `hemline.distinct`."""
    found = np.empty(len(rows), np.int32)
    count = 0
    source = 0
    for i in range(len(rows)):
        while i >= ends[source]:
            source += 1
        row = rows[i]
        if not eligible[row]:
            continue
        known = place_of[row]
        if known >= count or found[known] != row:
            place_of[row] = count
            found[count] = row
            count += 1
            proposed_by[row] = 0
        proposed_by[row] |= bits[source]
    return found[:count].copy()


@compiled(read("i4"), read("b1"), scalar("i8"))
def top_eligible(order: Rows, eligible: Mask, count: int) -> Rows:
    """The first `count` rows of `order` that may be shown; fewer only if fewer exist.

    order: int32 (n,). eligible: bool, by row.
    """
    shown = np.empty(min(count, len(order)), np.int32)
    found = 0
    for row in order:
        if found == len(shown):
            break
        if eligible[row]:
            shown[found] = row
            found += 1
    return shown[:found].copy()
