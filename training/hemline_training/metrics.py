"""Ranking metrics, exact: of accuracy, and of what the lists hold besides hits.

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


def precision(hit: npt.NDArray[np.bool_], k: int) -> F64:
    """Per case: targets among the first k / k, however short the list."""
    return np.asarray(hit[:, :k].sum(axis=1) / k)


def average_precision(hit: npt.NDArray[np.bool_], relevant: npt.ArrayLike, k: int) -> F64:
    """Per case: precision at the rank of each target among the first k, summed, / all targets.

    Its mean over cases is trec_eval's `map_cut`.
    """
    near = hit[:, :k]
    at_rank = np.cumsum(near, axis=1) / np.arange(1, near.shape[1] + 1)
    return np.asarray((at_rank * near).sum(axis=1) / np.asarray(relevant))


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


def novelty(ranked: Ranked, users_of_item: F64, n_users: int, k: int) -> F64:
    """Per case: the mean of -log2 of the share of users who have the item, over the first k.

    An item that nobody has counts as had by one user (Zhou et al., PNAS 2010).
    """
    surprise = -np.log2(np.maximum(users_of_item, 1.0) / max(n_users, 1))
    return _mean_of_shown(surprise, ranked[:, :k])


def mean_popularity(ranked: Ranked, users_of_item: F64, k: int) -> F64:
    """Per case: the mean number of users who have the item, over the first k."""
    return _mean_of_shown(users_of_item, ranked[:, :k])


def diversity(ranked: Ranked, vectors: npt.NDArray[np.float32], k: int) -> F64:
    """Per case: 1 - the mean cosine of two different items of the first k; 0 for a single item.

    vectors: float32 (n_items, d), unit norm or zero. |Σ v|² holds all pairs at once.
    """
    shown = ranked[:, :k]
    known = shown >= 0
    count = known.sum(axis=1)
    out = np.zeros(len(shown))
    for start in range(0, len(shown), 1024):
        part = slice(start, start + 1024)
        v = vectors[np.maximum(shown[part], 0)] * known[part, :, None]
        total = np.square(v.sum(axis=1)).sum(axis=1) - np.square(v).sum(axis=(1, 2))
        pairs = count[part] * (count[part] - 1)
        out[part] = np.where(pairs > 0, 1.0 - total / np.maximum(pairs, 1), 0.0)
    return out


def _mean_of_shown(values: F64, shown: Ranked) -> F64:
    known = shown >= 0
    total = np.where(known, values[np.maximum(shown, 0)], 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1))


def bootstrap_means(values: F64, samples: int = 1000, seed: int = 0) -> F64:
    """Means of resampled cases, float64 (samples, m); values: (cases, m), at least one case.

    Every column sees the same samples, so differences of columns are a paired bootstrap.
    """
    cases = len(values)
    rng = np.random.default_rng(seed)
    means = np.empty((samples, values.shape[1]))
    for sample in range(samples):
        drawn = np.bincount(rng.integers(0, cases, cases), minlength=cases)
        means[sample] = drawn @ values / cases
    return means


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
