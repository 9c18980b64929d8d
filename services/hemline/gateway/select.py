"""From scores to the list that is shown: one of each variant group, and not all alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.best_first import best_first
from hemline.compiled import compiled, read, scalar
from hemline.contracts import Rows
from hemline.distinct import FirstPlaces, Places
from hemline.live_columns import RowVectors
from hemline.vector_rows import dot
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
    wanted = pool_size(k)
    order = best_first(scores, 2 * wanted)
    pool = order[first(variants[rows[order]])[:wanted]]
    if len(pool) < wanted and len(order) < len(scores):  # the best are variants of each other
        order = best_first(scores, len(scores))
        pool = order[first(variants[rows[order]])[:wanted]]
    if diversity <= 0 or len(pool) <= 1:
        return pool[:k]
    return pool[_diversified(scores[pool], vectors[rows[pool]], k, diversity)]


@compiled(read("f4"), read("f4", 2), scalar("i8"), scalar("f8"))
def _diversified(scores: F32, vectors: F32, k: int, diversity: float) -> Places:
    """What is chosen can only cost the others more, so that only those that would be next are
    compared with what they have not been compared with yet (Minoux's lazy greedy algorithm, 1978).
    """
    n = len(scores)
    lowest = scores.min()
    relevance = (1.0 - diversity) * (scores - lowest) / max(scores.max() - lowest, 1e-9)
    value = relevance.copy()
    compared_with = np.zeros(n, np.int64)  # so many of the chosen, the first ones
    chosen = np.empty(min(k, n), np.intp)
    for place in range(len(chosen)):
        while True:
            best = value.argmax()
            if compared_with[best] == place:
                break
            for other in chosen[compared_with[best] : place]:
                cost = diversity * dot(vectors[best], vectors[other])
                value[best] = min(value[best], relevance[best] - max(cost, 0.0))
            compared_with[best] = place
        chosen[place] = best
        value[best] = relevance[best] = -np.inf
        compared_with[best] = len(chosen)
    return chosen
