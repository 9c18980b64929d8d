"""From scores to the list that is shown: one of each variant group, and not all alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.contracts import Rows
from hemline.vectors import F32

Places = npt.NDArray[np.intp]


def select(
    rows: Rows,
    scores: F32,
    vectors: F32,
    variants: npt.NDArray[np.int32],
    k: int,
    diversity: float,
) -> Places:
    """Places of at most k candidates in the order to show them.

    rows: int32 (c,); scores: float32 (c,); vectors: float32 (n, d), unit norm, of all items;
    variants: int32 (n,), of all items; diversity: 0 (pure score) to 1.
    The best of each variant group takes part; the order is by maximal marginal relevance
    (Carbonell & Goldstein, SIGIR 1998): (1 - diversity) x score - diversity x cosine to the most
    similar item already chosen, scores scaled to 0..1 within the best 4 k candidates.
    """
    best_first = np.argsort(-scores, kind="stable")
    _, first = np.unique(variants[rows[best_first]], return_index=True)
    pool = best_first[np.sort(first)][: max(4 * k, 50)]
    if diversity <= 0 or len(pool) <= 1:
        return pool[:k]

    relevance = scores[pool] - scores[pool].min()
    relevance = (1.0 - diversity) * relevance / max(float(relevance.max()), 1e-9)
    pool_vectors = np.asarray(vectors[rows[pool]])
    closest = np.zeros(len(pool), dtype=np.float32)  # cosine to the most similar chosen item
    chosen = np.zeros(min(k, len(pool)), dtype=np.intp)
    for place in range(len(chosen)):
        best = int(np.argmax(relevance - diversity * closest))
        chosen[place] = best
        relevance[best] = -np.inf
        np.maximum(closest, pool_vectors @ pool_vectors[best], out=closest)
    return pool[chosen]
