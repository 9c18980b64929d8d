"""Item-to-item neighbours as a release stores them, and the score they give a history."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.vectors import F32

I32 = npt.NDArray[np.int32]


def neighbour_scores(
    rows: npt.ArrayLike, weights: npt.ArrayLike, neighbours_rows: I32, neighbours_scores: F32
) -> tuple[I32, F32]:
    """All items that neighbour a history, each with Σ weight x similarity over the history.

    rows: int (h,), may repeat. weights: (h,) from `user_profile.profile_weights`; the neighbours of
    a disliked item count against. neighbours_rows, neighbours_scores: (n, K) of the release, -1
    padded. Returns int32 (m,) ascending and float32 (m,).
    """
    history = np.asarray(rows, dtype=np.int64)
    near = neighbours_rows[history]  # (h, K)
    known = near >= 0
    pushed = np.asarray(weights, np.float64)[:, None] * neighbours_scores[history]
    found, where = np.unique(near[known], return_inverse=True)
    scores = np.bincount(where, weights=pushed[known], minlength=len(found))
    return found.astype(np.int32), scores.astype(np.float32)
