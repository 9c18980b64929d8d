"""Ranking metrics, exact: recall, NDCG, hit rate, MRR and coverage of ranked lists.

A ranked list is an int array (cases, k) of item rows, best first, -1 where a list is shorter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

F64 = npt.NDArray[np.float64]
Ranked = npt.NDArray[np.integer]


def hits(ranked: Ranked, targets: csr_matrix) -> npt.NDArray[np.bool_]:
    """bool (cases, k): whether the item at each rank is one of the case's targets.

    targets: CSR (cases, n_items), nonzero where relevant.
    """
    cases, n_items = targets.shape
    owner = np.repeat(np.arange(cases), np.diff(targets.indptr))
    wanted = owner * n_items + targets.indices
    found = np.isin(np.arange(cases)[:, None] * n_items + ranked, wanted)
    return np.asarray(found & (ranked >= 0))


def recall(hit: npt.NDArray[np.bool_], relevant: npt.ArrayLike, k: int) -> F64:
    """Per case: targets among the first k / all targets. relevant: int (cases,), at least 1."""
    return np.asarray(hit[:, :k].sum(axis=1) / np.asarray(relevant))


def ndcg(hit: npt.NDArray[np.bool_], relevant: npt.ArrayLike, k: int) -> F64:
    """Per case: DCG with gain 1 and discount 1 / log2(rank + 1), over that of a perfect list.

    Järvelin & Kekäläinen (2002); the perfect list holds min(k, relevant) targets.
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    gained = np.asarray(hit[:, :k] @ discount[: hit.shape[1]])
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    return np.asarray(gained / ideal[np.minimum(np.asarray(relevant), k)])


def hit_rate(hit: npt.NDArray[np.bool_], k: int) -> F64:
    """Per case: 1 if any target is among the first k, else 0."""
    return np.asarray(hit[:, :k].any(axis=1), dtype=np.float64)


def reciprocal_rank(hit: npt.NDArray[np.bool_], k: int) -> F64:
    """Per case: 1 / rank of the first target among the first k, 0 when there is none."""
    first = hit[:, :k].argmax(axis=1)
    return np.asarray(np.where(hit[:, :k].any(axis=1), 1.0 / (first + 1), 0.0))


def coverage(ranked: Ranked, n_items: int, k: int) -> float:
    """Share of the catalogue that appears in at least one list's first k."""
    shown = ranked[:, :k]
    return len(np.unique(shown[shown >= 0])) / n_items


def bootstrap_interval(
    values: F64, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over cases (Efron 1979); NaNs when empty."""
    if len(values) == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = np.array(
        [values[rng.integers(0, len(values), len(values))].mean() for _ in range(samples)]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def top_k(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """The k highest scores of each row, best first; -1 where only -inf is left.

    scores: float32 (cases, n). Returns int64 (cases, min(k, n)).
    """
    k = min(k, scores.shape[1])
    near = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    near.sort(axis=1)
    value = np.take_along_axis(scores, near, axis=1)
    order = np.argsort(-value, axis=1, kind="stable")
    best = np.take_along_axis(near, order, axis=1)
    best[np.isneginf(np.take_along_axis(value, order, axis=1))] = -1
    return best
