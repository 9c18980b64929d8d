"""From scores to the list that is shown: one of each variant group, and not all alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.contracts import Rows
from hemline.distinct import FirstPlaces, Places
from hemline.live_items import RowVectors
from hemline.vectors import F32


def pool_size(k: int) -> int:
    """Of how many candidates the k are chosen: 4 k, but not so many that their similarities, one
    for each pair, take milliseconds."""
    return max(50, min(4 * k, k + 200))


def select(
    rows: Rows,
    scores: F32,
    vectors: F32 | RowVectors,
    variants: npt.NDArray[np.int32],
    first: FirstPlaces,
    k: int,
    diversity: float,
) -> Places:
    """Places of at most k candidates in the order to show them.

    rows: int32 (c,); scores: float32 (c,); vectors: float32 (n, d), unit norm, of all items;
    variants: int32 (n,), of all items, first: for their values; diversity: 0 (pure score) to 1.
    The best of each variant group takes part; the order is by maximal marginal relevance
    (Carbonell & Goldstein, SIGIR 1998): (1 - diversity) x score - diversity x cosine to the most
    similar item already chosen, scores scaled to 0..1 within the best `pool_size(k)` candidates.
    """
    best_first = np.argsort(-scores, kind="stable")
    pool = best_first[first(variants[rows[best_first]])][: pool_size(k)]
    if diversity <= 0 or len(pool) <= 1:
        return pool[:k]

    relevance = scores[pool] - scores[pool].min()
    relevance = (1.0 - diversity) * relevance / max(float(relevance.max()), 1e-9)
    pool_vectors = vectors[rows[pool]]
    # What choosing one item costs another; never less than nothing.
    penalty = np.maximum(diversity * (pool_vectors @ pool_vectors.T), 0.0)
    value = relevance.copy()
    chosen = np.zeros(min(k, len(pool)), dtype=np.intp)
    for place in range(len(chosen)):
        best = value.argmax()
        chosen[place] = best
        relevance[best] = -np.inf
        np.minimum(value, relevance - penalty[best], out=value)
    return pool[chosen]
