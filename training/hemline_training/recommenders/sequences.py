"""Items that follow one another: neighbours by how near they stand in people's histories.

    s(a -> b) = Σ_histories Σ_{a, b at most `window` apart} lag(a, b)^-decay / (n_a^α n_b^β)

Sequential rules (Ludewig & Jannach, "Evaluation of Session-based Recommendation Algorithms", UMUAI
2018), with both directions: what was taken to just before says nearly as much as what came after.
The plain neighbours of `memory_cf` count any two items of a history alike, however far apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from hemline.vectors import F32
from hemline_training.interactions import I64
from hemline_training.recommenders.base import Feedback, Recommender
from hemline_training.recommenders.recency import ages, weighed


@dataclass
class SequentialNeighbours(Recommender):
    """backward: what a pair counts the other way round, 0 for successors alone, 1 for no direction.

    from_power, to_power: α and β, how much popular items lose as the known and as the scored one.
    recency: of the history that is scored from, see `recency.weighed`.
    """

    window: int = 30
    decay: float = 0.5
    backward: float = 1.0
    from_power: float = 0.6
    to_power: float = 0.4
    recency: float = 0.5

    def _fit(self, feedback: Feedback) -> None:
        items, position, length = _in_order(feedback)
        shape = (feedback.n_items, feedback.n_items)
        follows = csr_matrix(shape, dtype=np.float32)
        for lag in range(1, self.window + 1):
            first = np.flatnonzero(position + lag < length)
            weight = np.full(len(first), lag**-self.decay, dtype=np.float32)
            follows += csr_matrix((weight, (items[first], items[first + lag])), shape=shape)
        if self.backward:
            follows = csr_matrix(follows + self.backward * follows.T)
        known = np.maximum(np.bincount(items, minlength=feedback.n_items), 1).astype(np.float64)
        self._near = csr_matrix(
            diags_array(known**-self.from_power) @ follows @ diags_array(known**-self.to_power),
            dtype=np.float32,
        )

    def fold_in(self, newcomers: Feedback) -> F32:
        x = weighed(newcomers, self.recency)
        return np.asarray((x @ self._near).todense(), dtype=np.float32)


def _in_order(feedback: Feedback) -> tuple[I64, I64, I64]:
    """All likes, user by user, the oldest first: item, place in the user's history (from 0), and
    the length of that history; int64 (nnz,) each."""
    likes = feedback.likes
    counts = np.diff(likes.indptr)
    owner = np.repeat(np.arange(len(counts)), counts)
    oldest_first = np.lexsort((-ages(feedback), owner))
    items = likes.indices[oldest_first].astype(np.int64)
    position = np.arange(likes.nnz) - np.repeat(likes.indptr[:-1], counts)
    return items, position, np.repeat(counts, counts).astype(np.int64)
