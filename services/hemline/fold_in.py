"""Folding a history into iALS factors: a user vector from item factors alone, in one small solve.

Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), eq. 4:

    x = (YᵗY + Σ (c - 1) y yᵗ + reg I)⁻¹ Σ c p y        over the items y of the history

Y are all item factors, c = 1 + alpha |w| the confidence, w the item's summed profile weight, and
the preference p is 1 where w > 0 and 0 where w < 0 (disliked). No user factors are stored anywhere,
so the answer already knows the last click. Signed confidences carry both: c p = max(c, 0).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.vectors import F32

Rows = npt.NDArray[np.integer]


def gram(item_factors: F32) -> F32:
    """YᵗY of item factors (n, f): float32 (f, f). Compute it once a release."""
    return np.asarray(item_factors.T @ item_factors, dtype=np.float32)


def confidence(rows: npt.ArrayLike, weights: npt.ArrayLike, alpha: float) -> tuple[Rows, F32]:
    """Signed confidences of a history whose items may repeat.

    rows: int (h,). weights: (h,) from `user_profile.profile_weights`, summed per item.
    Returns the distinct rows, int (m,) ascending, and float32 (m,): 1 + alpha w for liked items and
    -(1 + alpha |w|) for disliked ones. Items whose weights cancel out are left out.
    """
    distinct, where = np.unique(np.asarray(rows), return_inverse=True)
    summed = np.bincount(where, weights=np.asarray(weights, np.float64), minlength=len(distinct))
    kept = summed != 0
    signed = np.sign(summed) * (1.0 + alpha * np.abs(summed))
    return distinct[kept], signed[kept].astype(np.float32)


def fold_in(
    item_factors: F32, gram: F32, rows: npt.ArrayLike, signed: npt.ArrayLike, regularisation: float
) -> F32:
    """The user vector of one history.

    item_factors: float32 (n, f). gram: `gram(item_factors)`. rows: int (m,), distinct.
    signed: (m,) from `confidence`. Returns float32 (f,), zeros for an empty history.
    """
    y = item_factors[np.asarray(rows, dtype=np.int64)].astype(np.float64)  # (m, f)
    c = np.asarray(signed, dtype=np.float64)
    a = gram + (y.T * (np.abs(c) - 1.0)) @ y
    a.flat[:: len(a) + 1] += regularisation  # the diagonal
    return np.linalg.solve(a, np.maximum(c, 0.0) @ y).astype(np.float32)


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


def cf_scores(item_factors: F32, user: F32) -> F32:
    """Predicted preferences, about 0 to 1, NaN for items that no training event ever touched.

    item_factors: float32 (m, f), those of the candidates. user: float32 (f,) or (b, f).
    Returns float32 (m,) or (b, m). iALS gives an untouched item zero factors; "unknown" keeps a
    new arrival from being ranked as if everybody had refused it.
    """
    scores = np.asarray(user @ item_factors.T, dtype=np.float32)
    if not scores.all():  # a touched item may score 0 by chance, so look at the factors
        scores[..., ~item_factors.any(axis=1)] = np.nan
    return scores
