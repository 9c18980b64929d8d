"""iALS item factors (Hu, Koren & Volinsky, ICDM 2008), fitted by the `implicit` package.

A well-tuned iALS is still among the best collaborative models (Rendle et al., "Revisiting the
Performance of iALS on Item Recommendation Benchmarks", RecSys 2022). Only item factors leave this
module: users are folded in at request time by `hemline.fold_in`, with the confidences used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hemline.fold_in import fold_in_many, gram
from hemline.vectors import F32
from hemline_training.interactions import Histories


@dataclass(frozen=True)
class IalsConfig:
    factors: int = 64
    regularisation: float = 100.0
    alpha: float = 20.0  # confidence = 1 + alpha x summed profile weight
    iterations: int = 12
    threads: int = 1
    seed: int = 0

    def manifest(self) -> dict[str, Any]:
        """What cf.json says: all that serving needs to fold a history in."""
        return {
            "factors": self.factors,
            "regularisation": self.regularisation,
            "alpha": self.alpha,
            "weights": "user_profile.profile_weights, summed per item",
            "confidence": "sign(w) (1 + alpha |w|); preference 1 where w > 0, else 0",
            "zero_factors": "no training event: the part is unknown (NaN)",
        }


def confidences(histories: Histories, alpha: float) -> csr_matrix:
    """Signed confidences of many histories, float32 CSR (b, n_items); see `fold_in.confidence`."""
    signed = histories.item_weights.copy()
    signed.eliminate_zeros()
    signed.data = (np.sign(signed.data) * (1.0 + alpha * np.abs(signed.data))).astype(np.float32)
    return signed


def fit_ials(histories: Histories, config: IalsConfig) -> F32:
    """Item factors float32 (n_items, factors); zeros for items that no history likes or dislikes.

    histories: those of all users.
    """
    signed = confidences(histories, config.alpha)
    # implicit parallelises over rows itself and warns (an error in tests) about a threaded BLAS.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularisation,
            alpha=1.0,  # the matrix already holds confidences
            iterations=config.iterations,
            num_threads=config.threads,
            random_state=config.seed,
        )
        model.fit(signed, show_progress=False)
    factors = np.array(model.item_factors, dtype=np.float32)
    factors[np.bincount(signed.indices, minlength=histories.n_items) == 0] = 0.0
    return factors


def fold_in_histories(item_factors: F32, histories: Histories, config: IalsConfig) -> F32:
    """User vectors float32 (b, factors), as serving computes them; zeros for empty histories."""
    signed = confidences(histories, config.alpha)
    return fold_in_many(
        item_factors,
        gram(item_factors),
        signed.indptr,
        signed.indices,
        signed.data,
        config.regularisation,
    )
