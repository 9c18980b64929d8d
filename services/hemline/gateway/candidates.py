"""Candidates from several sources, merged into one list that remembers who proposed what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline.contracts import Rows
from hemline.filters import Mask

SOURCES = ("tower", "content", "neighbours", "popular", "trending")


@dataclass(frozen=True)
class Candidates:
    """rows: int32 (c,), distinct; proposed_by: uint8 (c,), one bit for each of SOURCES."""

    rows: Rows
    proposed_by: npt.NDArray[np.uint8]

    def sources(self, place: int) -> tuple[str, ...]:
        """Names of the sources that proposed the candidate at `place`."""
        bits = int(self.proposed_by[place])
        return tuple(name for bit, name in enumerate(SOURCES) if bits >> bit & 1)


def merge(brought: Mapping[str, Rows], eligible: Mask) -> Candidates:
    """One list of what the sources brought; items that may not be shown are dropped here.

    brought: source name -> int32 rows. eligible: bool (n,).
    """
    rows = np.concatenate([brought[name] for name in brought]).astype(np.int32)
    bits = np.concatenate(
        [
            np.full(len(found), 1 << SOURCES.index(name), dtype=np.uint8)
            for name, found in brought.items()
        ]
    )
    allowed = eligible[rows]
    distinct, place = np.unique(rows[allowed], return_inverse=True)
    proposed_by = np.zeros(len(distinct), dtype=np.uint8)
    np.bitwise_or.at(proposed_by, place, bits[allowed])
    return Candidates(distinct, proposed_by)


def top_eligible(order: Rows, eligible: Mask, count: int) -> Rows:
    """The first `count` rows of `order` that may be shown; fewer only if fewer exist."""
    return order[np.flatnonzero(eligible[order])[:count]]
