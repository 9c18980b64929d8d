"""Graph filters: a user's history, smoothed over the user-item graph. Nothing is trained.

With R̃ = D_u^-½ X D_i^-½ the normalised interactions, P = R̃ᵗR̃ the item-item graph, and L the ideal
low-pass filter D_i^-½ V Vᵗ D_i^½ (V the leading right singular vectors of R̃), a history x scores

    GF-CF   x (P + α L)                                   Shen et al., CIKM 2021
    BSPM    x (P + β L) exp(-T P), to 4th order           Choi et al., SIGIR 2023

that is, BSPM blurs a history as GF-CF does and then solves dr/dt = -r P back for a time T with one
Runge-Kutta step, which for a linear equation is the Taylor polynomial of the exponential.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import svds

from hemline.vectors import F32
from hemline_training.recommenders.base import Feedback, Recommender, blocks
from hemline_training.recommenders.recency import weighed


@dataclass
class GraphFilter(Recommender):
    """x (P + low_pass L) Σₖ (-sharpening P)ᵏ / k!, k = 0 … order.

    rank: singular vectors in L. low_pass: α or β, 0 for none. sharpening: T, with `order` terms.
    user_power, item_power: the exponents of the degrees in R̃, ½ in both papers; L keeps the item's
    exponent. recency: of the history that is filtered, see `recency.weighed`. seed: of the singular
    vectors' start.
    """

    rank: int = 256
    low_pass: float = 0.3
    sharpening: float = 0.0
    order: int = 4
    user_power: float = 0.5
    item_power: float = 0.5
    recency: float = 0.0
    seed: int = 0

    def _fit(self, feedback: Feedback) -> None:
        x = (feedback.likes > 0).astype(np.float32)
        of_user, of_item = x.sum(axis=1), x.sum(axis=0)
        self._graph = csr_matrix(
            diags_array(_power(of_user, -self.user_power))
            @ x
            @ diags_array(_power(of_item, -self.item_power)),
            dtype=np.float32,
        )
        self._transposed = self._graph.T.tocsr()
        rank = min(self.rank, min(x.shape) - 1) if self.low_pass else 0
        if rank > 0:
            start = np.random.default_rng(self.seed).normal(size=min(x.shape)).astype(np.float32)
            vectors = svds(self._graph, k=rank, v0=start, return_singular_vectors="vh")[2]
            self._into = np.asarray(
                vectors * _power(of_item, -self.item_power), dtype=np.float32
            )  # (rank, n_items)
            self._out_of = np.asarray(
                self.low_pass * vectors * _power(of_item, self.item_power), dtype=np.float32
            )
        else:
            self._into = self._out_of = np.zeros((0, x.shape[1]), dtype=np.float32)

    def fold_in(self, newcomers: Feedback) -> F32:
        x = weighed(newcomers, self.recency)
        out = np.empty(x.shape, dtype=np.float32)
        for part in blocks(len(out), out.shape[1], 32 << 20):
            out[part] = self._filter(x[part])
        return out

    def _filter(self, x: csr_matrix) -> F32:
        """One block, columns as users: sparse times dense is fastest along contiguous rows."""
        y = self._transposed @ np.asarray((self._graph @ x.T).todense())  # (n_items, b)
        y += self._out_of.T @ np.asarray(self._into @ x.T)
        if not self.sharpening:
            return np.asarray(y.T)
        # Horner: y₀ - T P (y₀ - T/2 P (y₀ - T/3 P (…)))
        sharp = y
        for term in range(self.order, 0, -1):
            smooth = self._transposed @ (self._graph @ sharp)
            smooth *= -self.sharpening / term
            smooth += y
            sharp = smooth
        return np.asarray(sharp.T)


def gf_cf(seed: int = 0) -> GraphFilter:
    """GF-CF with its authors' settings for Gowalla."""
    return GraphFilter(rank=256, low_pass=0.3, seed=seed)


def bspm(seed: int = 0, recency: float = 0.0) -> GraphFilter:
    """BSPM with its authors' settings for Gowalla."""
    return GraphFilter(rank=448, low_pass=0.2, sharpening=2.5, recency=recency, seed=seed)


def _power(degrees: npt.NDArray[np.float32], exponent: float) -> npt.NDArray[np.float64]:
    """degrees ** exponent, 0 where the degree is 0."""
    known = np.asarray(degrees, dtype=np.float64).ravel()
    return np.where(known > 0, np.power(np.maximum(known, 1e-12), exponent), 0.0)
