"""Folding a history into iALS factors: a user vector from item factors alone, in one small solve.

Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), eq. 4:

    x = (YᵗY + Σ (c - 1) y yᵗ + reg I)⁻¹ Σ c p y        over the items y of the history

Y are all item factors, c = 1 + alpha |w| the confidence, w the item's summed profile weight, and
the preference p is 1 where w > 0 and 0 where w < 0 (disliked). No user factors are stored anywhere,
so the answer already knows the last click. Signed confidences carry both: c p = max(c, 0).
Training scores what it evaluates, and fits the blend to, by the same functions as the reranker.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, read, scalar, written
from hemline.vector_rows import dot
from hemline.vectors import F32

I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def gram(item_factors: F32) -> F32:
    """YᵗY of item factors (n, f): float32 (f, f). Compute it once a release."""
    return np.asarray(item_factors.T @ item_factors, dtype=np.float32)


def confidence(rows: npt.ArrayLike, weights: npt.ArrayLike, alpha: float) -> tuple[I32, F32]:
    """Signed confidences of a history whose items may repeat.

    rows: int (h,). weights: (h,) from `user_profile.profile_weights`, summed per item.
    Returns the distinct rows, int32 (m,), as the history meets them, and float32 (m,): 1 + alpha w
    for liked items and -(1 + alpha |w|) for disliked ones. Items whose weights cancel out are left
    out.
    """
    history = np.ascontiguousarray(rows, dtype=np.int32)
    return _confidence(history, np.ascontiguousarray(weights, dtype=np.float64), alpha)


@compiled(read("i4"), read("f8"), scalar("f8"))
def _confidence(history: I32, weights: F64, alpha: float) -> tuple[I32, F32]:
    rows = np.empty(len(history), np.int32)
    summed = np.empty(len(history), np.float64)
    count = 0
    for event in range(len(history)):
        place = 0
        while place < count and rows[place] != history[event]:
            place += 1
        if place == count:
            rows[place] = history[event]
            summed[place] = 0.0
            count += 1
        summed[place] += weights[event]
    signed = np.empty(count, np.float32)
    kept = 0
    for place in range(count):
        if summed[place] != 0:
            rows[kept] = rows[place]
            signed[kept] = np.sign(summed[place]) * (1.0 + alpha * abs(summed[place]))
            kept += 1
    return rows[:kept].copy(), signed[:kept].copy()


def fold_in(
    item_factors: F32, gram: F32, rows: npt.ArrayLike, signed: npt.ArrayLike, regularisation: float
) -> F32:
    """The user vector of one history.

    item_factors: float32 (n, f). gram: `gram(item_factors)`. rows: int (m,), distinct.
    signed: (m,) from `confidence`. Returns float32 (f,), zeros for an empty history.
    """
    history = np.ascontiguousarray(rows, dtype=np.int32)
    confidences = np.ascontiguousarray(signed, dtype=np.float32)
    return _fold_in(item_factors, gram, history, confidences, regularisation)


@compiled(written("f8", 2), written("f8"))
def _solve(a: F64, x: F64) -> None:
    """Solve a z = x for z, in place, by Cholesky; of `a`, symmetric and positive definite, the part
    on and below the diagonal is looked at."""
    n = len(x)
    for i in range(n):
        row = a[i]
        for j in range(i):
            other = a[j]
            total = row[j]
            for m in range(j):
                total -= row[m] * other[m]
            row[j] = total / other[j]
        total = row[i]
        for m in range(i):
            total -= row[m] * row[m]
        row[i] = np.sqrt(total)
        total = x[i]
        for m in range(i):
            total -= row[m] * x[m]
        x[i] = total / row[i]
    for i in range(n - 1, -1, -1):
        row = a[i]
        x[i] /= row[i]
        for m in range(i):
            x[m] -= row[m] * x[i]


@compiled(read("f4", 2), read("f4", 2), read("i4"), read("f4"), scalar("f8"))
def _fold_in(item_factors: F32, gram: F32, rows: I32, signed: F32, regularisation: float) -> F32:
    f = item_factors.shape[1]
    a = gram.astype(np.float64)  # of which the part on and below the diagonal is looked at
    x = np.zeros(f, np.float64)
    y = np.empty(f, np.float64)
    for place in range(len(rows)):
        factors = item_factors[rows[place]]
        for i in range(f):
            y[i] = factors[i]
        liked = max(signed[place], 0.0)
        more = abs(signed[place]) - 1.0
        for i in range(f):
            x[i] += liked * y[i]
            weighted = more * y[i]
            for j in range(i + 1):
                a[i, j] += weighted * y[j]
    for i in range(f):
        a[i, i] += regularisation
    _solve(a, x)
    return x.astype(np.float32)


def fold_in_many(
    item_factors: F32,
    gram: F32,
    indptr: npt.ArrayLike,
    rows: npt.ArrayLike,
    signed: npt.ArrayLike,
    regularisation: float,
) -> F32:
    """`fold_in` of many histories: history b is rows[indptr[b]:indptr[b + 1]].

    Returns float32 (b, f).
    """
    bounds, rows, signed = np.asarray(indptr), np.asarray(rows), np.asarray(signed)
    users = np.zeros((len(bounds) - 1, item_factors.shape[1]), dtype=np.float32)
    for b in np.flatnonzero(np.diff(bounds)):
        part = slice(bounds[b], bounds[b + 1])
        users[b] = fold_in(item_factors, gram, rows[part], signed[part], regularisation)
    return users


def without_factors(item_factors: F32) -> Mask:
    """bool (n,): the items that iALS learned nothing of, their factors are zero: no event touched
    them and no twin lent them any. Compute it once a release."""
    return ~np.asarray(item_factors.any(axis=1))


@compiled(read("f4", 2), read("b1"), read("i4"), read("f4"))
def cf_scores(item_factors: F32, unknown: Mask, rows: I32, user: F32) -> F32:
    """Predicted preferences of one user, about 0 to 1, NaN for items without factors: "unknown"
    keeps a new arrival from being ranked as if everybody had refused it.

    item_factors: float32 (n, f). unknown: `without_factors(item_factors)`. rows: int32 (m,),
    below n. user: float32 (f,). Returns float32 (m,).
    """
    scores = np.empty(len(rows), np.float32)
    for place in range(len(rows)):
        row = rows[place]
        scores[place] = np.nan if unknown[row] else dot(item_factors[row], user)
    return scores


def cf_scores_many(item_factors: F32, users: F32) -> F32:
    """`cf_scores` of all items for many users: float32 (b, f) to float32 (b, n)."""
    everything = np.arange(len(item_factors), dtype=np.int32)
    unknown = without_factors(item_factors)
    scores = np.empty((len(users), len(item_factors)), dtype=np.float32)
    for b, user in enumerate(users):
        scores[b] = cf_scores(item_factors, unknown, everything, user)
    return scores
