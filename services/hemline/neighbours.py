"""Item-to-item neighbours as a release stores them, and the score they give a history."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, read, written
from hemline.vectors import F32

I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]


class NeighbourTable:
    """The neighbours of every item. It keeps scratch arrays, so it belongs to one thread.

    rows: int32 (n, K), -1 padded. similarities: float32 (n, K).
    """

    def __init__(self, rows: I32, similarities: F32) -> None:
        self._rows = np.ascontiguousarray(rows)
        self._similarities = np.ascontiguousarray(similarities)
        self._place_of = np.zeros(len(rows), dtype=np.int32)
        self._sums = np.zeros(len(rows), dtype=np.float64)

    def scores(self, rows: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[I32, F32]:
        """All items that neighbour a history, each with Σ weight x similarity over the history.

        rows: int (h,), may repeat. weights: (h,) from `user_profile.profile_weights`; the
        neighbours of a disliked item count against. Returns int32 (m,), distinct, in the order in
        which the history meets them, and float32 (m,).
        """
        found = self._sum_up(rows, weights)
        return found, self._sums[found].astype(np.float32)

    def scores_of(
        self, candidates: npt.NDArray[np.integer], rows: npt.ArrayLike, weights: npt.ArrayLike
    ) -> F32:
        """`scores` of given candidates, int (c,): float32 (c,), 0 for those that neighbour none."""
        found = self._sum_up(rows, weights)
        wanted = np.ascontiguousarray(candidates, dtype=np.int32)
        return _sums_of(wanted, found, self._place_of, self._sums)

    def _sum_up(self, rows: npt.ArrayLike, weights: npt.ArrayLike) -> I32:
        """The items that neighbour a history; their sums are in `_sums`."""
        history = np.ascontiguousarray(rows, dtype=np.int32)
        weighted = np.ascontiguousarray(weights, dtype=np.float64)
        return _sum_up(
            self._rows, self._similarities, history, weighted, self._place_of, self._sums
        )


@compiled(read("i4", 2), read("f4", 2), read("i4"), read("f8"), written("i4"), written("f8"))
def _sum_up(
    near: I32, similarities: F32, history: I32, weights: F64, place_of: I32, sums: F64
) -> I32:
    """place_of: as in `hemline.distinct`, of each item its place in the result."""
    found = np.empty(len(history) * near.shape[1], np.int32)
    count = 0
    for event in range(len(history)):
        item = history[event]
        for column in range(near.shape[1]):
            row = near[item, column]
            if row < 0:
                continue
            known = place_of[row]
            if known >= count or found[known] != row:
                place_of[row] = count
                found[count] = row
                sums[row] = 0.0
                count += 1
            sums[row] += weights[event] * similarities[item, column]
    return found[:count].copy()


@compiled(read("i4"), read("i4"), read("i4"), read("f8"))
def _sums_of(wanted: I32, found: I32, place_of: I32, sums: F64) -> F32:
    """The sums of those wanted that were found, 0 for the others."""
    scores = np.zeros(len(wanted), np.float32)
    for place in range(len(wanted)):
        row = wanted[place]
        known = place_of[row]
        if known < len(found) and found[known] == row:
            scores[place] = sums[row]
    return scores
