"""Item-to-item neighbours as a release stores them, and the score they give a history."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.distinct import FirstPlaces
from hemline.vectors import F32

I32 = npt.NDArray[np.int32]


class NeighbourTable:
    """The neighbours of every item. It keeps scratch arrays, so it belongs to one thread.

    rows: int32 (n, K), -1 padded. similarities: float32 (n, K).
    """

    def __init__(self, rows: I32, similarities: F32) -> None:
        self._rows = np.ascontiguousarray(rows)
        self._similarities = np.ascontiguousarray(similarities)
        self._first = FirstPlaces(len(rows))
        self._sums = np.zeros(len(rows), dtype=np.float64)  # zero between calls

    def scores(self, rows: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[I32, F32]:
        """All items that neighbour a history, each with Σ weight x similarity over the history.

        rows: int (h,), may repeat. weights: (h,) from `user_profile.profile_weights`; the
        neighbours of a disliked item count against. Returns int32 (m,), distinct, in the order in
        which the history meets them, and float32 (m,).
        """
        found = self._sum_up(rows, weights)
        scores = self._sums[found].astype(np.float32)
        self._sums[found] = 0.0
        return found, scores

    def scores_of(
        self, candidates: npt.NDArray[np.integer], rows: npt.ArrayLike, weights: npt.ArrayLike
    ) -> F32:
        """`scores` of given candidates, int (c,): float32 (c,), 0 for those that neighbour none."""
        found = self._sum_up(rows, weights)
        scores: F32 = self._sums[candidates].astype(np.float32)
        self._sums[found] = 0.0
        return scores

    def _sum_up(self, rows: npt.ArrayLike, weights: npt.ArrayLike) -> I32:
        """Adds everything up in `_sums`; the items that are not zero there any more."""
        history = np.asarray(rows, dtype=np.int64)
        near = self._rows[history].ravel()  # (h x K,)
        pushed = np.asarray(weights, np.float64)[:, None] * self._similarities[history]
        known = near >= 0
        if not known.all():
            near, pushed = near[known], pushed.ravel()[known]
        np.add.at(self._sums, near, pushed.ravel())
        return near[self._first(near)]
