"""Histories in which the latest likes count most: (1 / age)^power, the last like having age 1.

What a person takes to next is more like what they took to last. Every model whose scores are a sum
over the history can use it, and nothing has to be fitted anew: only the history is weighed. (Age is
a count of likes, not of days: it is known wherever an order is, and people differ in pace.)
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline_training.interactions import I64
from hemline_training.recommenders.base import Feedback


def weighed(feedback: Feedback, power: float) -> csr_matrix:
    """The likes as float32 CSR (n_users, n_items); a user's mean weight is 1. All 1 for power 0.

    Raises InvalidInputError where a power is wanted and the order of the likes is unknown.
    """
    likes = (feedback.likes > 0).astype(np.float32)
    if not power:
        return csr_matrix(likes)
    counts = np.diff(likes.indptr)
    weights = ages(feedback).astype(np.float64) ** -power
    owner = np.repeat(np.arange(len(counts)), counts)
    total = np.bincount(owner, weights, minlength=len(counts))
    mean = total / np.maximum(counts, 1)
    likes.data = (weights / mean[owner]).astype(np.float32)
    return csr_matrix(likes)


def ages(feedback: Feedback) -> I64:
    """int64 (nnz of likes,): 1 for a user's latest like, 2 for the one before, and so on."""
    likes, places = feedback.likes, feedback.places
    if likes.nnz == 0:  # a newcomer has no order to tell
        return np.zeros(0, dtype=np.int64)
    if places is None:
        raise InvalidInputError("places", "recency needs the order of the likes")
    if not np.array_equal(likes.indices, places.indices):
        raise InvalidInputError("places", "must be known for exactly the likes")
    counts = np.diff(likes.indptr)
    owner = np.repeat(np.arange(len(counts)), counts)
    latest_first = np.lexsort((-places.data, owner))
    out = np.empty(likes.nnz, dtype=np.int64)
    out[latest_first] = np.arange(likes.nnz) - np.repeat(likes.indptr[:-1], counts) + 1
    return out
