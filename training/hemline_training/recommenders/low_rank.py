"""iALS as in Rendle, Krichene, Zhang & Koren, "Revisiting the Performance of iALS" (RecSys 2022).

    min  Σ_liked (1 - w·h)² + α₀ Σ_all (w·h)² + λ Σ_u (|I_u| + α₀ n_items)^ν |w_u|² + (items alike)

Hu, Koren & Volinsky's model, with two things that its later comparisons got wrong: the regulariser
grows with how much is known of a user or item (ν = 1 as in the paper), and the dimension is large.
Half-steps are solved for all rows at once by some conjugate gradient steps, each of which is two
dense products and one pass over the likes (Takács, Pilászy & Tikk, RecSys 2011).
`hemline_training.ials` fits the weighted histories that serving folds in; this is the comparison's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from hemline.vectors import F32
from hemline_training.recommenders.base import Feedback, Recommender, blocks
from hemline_training.recommenders.recency import weighed


@dataclass
class Ials(Recommender):
    """unobserved: α₀. regularisation: λ, times (degree + α₀ other side)^frequency.

    recency: of the confidence in each like when a user is folded in (`recency.weighed`); users of
    the fitted feedback are then folded in, too.
    """

    factors: int = 256
    unobserved: float = 0.1
    regularisation: float = 0.0003
    frequency: float = 1.0
    iterations: int = 6
    steps: int = 3
    fold_in_steps: int = 10
    recency: float = 0.0
    seed: int = 0
    progress: Callable[[int], None] = lambda iteration: None

    def _fit(self, feedback: Feedback) -> None:
        x = (feedback.likes > 0).astype(np.float32)
        transposed = x.T.tocsr()
        rng = np.random.default_rng(self.seed)
        scale = 0.1 / np.sqrt(self.factors)
        self.item_factors = rng.normal(0, scale, (x.shape[1], self.factors)).astype(np.float32)
        users = np.zeros((x.shape[0], self.factors), dtype=np.float32)
        for iteration in range(self.iterations):
            self._half_step(users, self.item_factors, x, self.steps)
            self._half_step(self.item_factors, users, transposed, self.steps)
            self.progress(iteration)
        self._half_step(users, self.item_factors, x, self.steps)
        self.user_factors = users

    def score(self, users: np.typing.ArrayLike) -> F32:
        if self.recency:
            return super().score(users)
        return np.asarray(self.user_factors[np.asarray(users)] @ self.item_factors.T)

    def fold_in(self, newcomers: Feedback) -> F32:
        x = weighed(newcomers, self.recency)
        users = np.zeros((x.shape[0], self.factors), dtype=np.float32)
        self._half_step(users, self.item_factors, x, self.fold_in_steps)
        return np.asarray(users @ self.item_factors.T)

    def _half_step(self, rows: F32, fixed: F32, likes: csr_matrix, steps: int) -> None:
        """Improve every row of `rows` given the other side, from where it stands; in place."""
        gram = self.unobserved * (fixed.T @ fixed)
        degree = np.diff(likes.indptr)
        weight = self.regularisation * (degree + self.unobserved * len(fixed)) ** self.frequency
        weight = weight.astype(np.float32)[:, None]
        for part in blocks(len(rows), rows.shape[1], 64 << 20):
            mine = likes[part]
            solve(rows[part], mine, fixed, gram, weight[part], steps)


def solve(rows: F32, likes: csr_matrix, fixed: F32, gram: F32, weight: F32, steps: int) -> None:
    """Conjugate gradients on (gram + Σ_liked c h hᵗ + weight I) w = Σ_liked c h, rows at once.

    rows: (b, f), the start, overwritten. likes: CSR (b, m) of the confidences c. fixed: (m, f).
    weight: (b, 1).
    """

    def times(v: F32) -> F32:
        predicted = _at_likes(likes, v, fixed)
        return np.asarray(v @ gram + predicted @ fixed + weight * v)

    residual = np.asarray(likes @ fixed) - times(rows)
    direction = residual.copy()
    size = np.einsum("bf,bf->b", residual, residual)[:, None]
    for _ in range(steps):
        ahead = times(direction)
        bend = np.einsum("bf,bf->b", direction, ahead)[:, None]
        length = np.divide(size, bend, out=np.zeros_like(size), where=bend > 0)
        rows += length * direction
        residual -= length * ahead
        before, size = size, np.einsum("bf,bf->b", residual, residual)[:, None]
        direction *= np.divide(size, before, out=np.zeros_like(size), where=before > 0)
        direction += residual


def _at_likes(likes: csr_matrix, v: F32, fixed: F32, chunk: int = 2_048) -> csr_matrix:
    """c v · h at every like: CSR with the pattern of `likes`."""
    owner = np.repeat(np.arange(likes.shape[0]), np.diff(likes.indptr))
    values = np.empty(likes.nnz, dtype=np.float32)
    for start in range(0, likes.nnz, chunk):
        part = slice(start, start + chunk)
        values[part] = np.einsum("ef,ef->e", v[owner[part]], fixed[likes.indices[part]])
    values *= likes.data
    return csr_matrix((values, likes.indices, likes.indptr), shape=likes.shape)
