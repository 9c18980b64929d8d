"""Retrieval and classification metrics on score matrices; no model, no randomness."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int32] | npt.NDArray[np.int64]
Relevant = npt.NDArray[np.bool_]


def ranks(scores: Scores, relevant: Relevant) -> npt.NDArray[np.int64]:
    """int64 (q,): how many candidates stand before the first relevant one of each query.

    scores: (q, n), higher is better; relevant: bool (q, n), at least one True a row, else
    ValueError. Ties count against the relevant candidate: a constant score is not right by luck.
    """
    if not relevant.any(axis=1).all():
        raise ValueError("every query needs a relevant candidate")
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    return np.asarray(((scores >= best) & ~relevant).sum(axis=1), dtype=np.int64)


def hit_rate(rank: npt.NDArray[np.int64], k: int) -> float:
    """The share of queries with a relevant candidate among the top k: recall@k with one answer."""
    return float(np.mean(rank < k))


def random_hit_rate(relevant: Relevant, k: int) -> float:
    """The expectation of `hit_rate` for candidates in random order (hypergeometric)."""
    n = relevant.shape[1]
    misses = np.ones(len(relevant))
    wrong = n - relevant.sum(axis=1)
    for i in range(min(k, n)):
        misses *= np.maximum(wrong - i, 0) / (n - i)
    return float(np.mean(1 - misses))


def precision_at(scores: Scores, relevant: Relevant, k: int) -> float:
    """The mean share of relevant candidates among each query's top k."""
    top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.mean(np.take_along_axis(relevant, top, axis=1)))


def accuracy(scores: Scores, labels: Labels) -> float:
    """The share of rows of `scores` (n, classes) whose largest column is the label."""
    return float(np.mean(scores.argmax(axis=1) == labels))
