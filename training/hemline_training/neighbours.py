"""Item-to-item neighbours: shrunk cosine over the users two items share.

    s(i, j) = Σᵤ wᵤᵢ wᵤⱼ / (‖wᵢ‖ ‖wⱼ‖) · nᵢⱼ / (nᵢⱼ + shrinkage)

with nᵢⱼ the number of users who touched both (Bell & Koren 2007): two items that one shopper
happens to share are not yet alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from hemline.vectors import F32
from hemline_training.interactions import I32, Histories


@dataclass(frozen=True)
class NeighboursConfig:
    k: int = 50
    shrinkage: float = 20.0


def fit_neighbours(histories: Histories, config: NeighboursConfig) -> tuple[I32, F32]:
    """Each item's k nearest others, best first.

    Disliked items take no part; a user's weight on an item is log1p of their summed profile weight,
    so that one purchase does not drown ten views. Returns int32 (n, k), -1 padded, and float32
    (n, k), 0 padded. Memory is one block of co-occurrences at a time.
    """
    weights = histories.item_weights.copy()
    weights.data = np.log1p(np.maximum(weights.data, 0.0)).astype(np.float32)
    weights.eliminate_zeros()
    by_item = weights.T.tocsr()  # (n, users)
    norms = np.sqrt(np.asarray(by_item.multiply(by_item).sum(axis=1)).ravel())
    both = (by_item > 0).astype(np.float32)
    n = histories.n_items
    rows = np.full((n, config.k), -1, dtype=np.int32)
    scores = np.zeros((n, config.k), dtype=np.float32)
    for start in range(0, n, 2048):
        part = slice(start, min(start + 2048, n))
        dot = (by_item[part] @ weights).tocsr()
        shared = (both[part] @ both.T).tocsr()
        dot.sort_indices()
        shared.sort_indices()  # the same pattern as `dot`: all weights are positive
        owner = np.repeat(np.arange(part.start, part.stop), np.diff(dot.indptr))
        value = dot.data / (norms[owner] * norms[dot.indices])
        value *= shared.data / (shared.data + config.shrinkage)
        value[owner == dot.indices] = 0.0
        _keep_best(rows[part], scores[part], owner - start, dot.indices, value, config.k)
    return rows, scores


def neighbour_matrix(rows: I32, scores: F32) -> csr_matrix:
    """The stored neighbours as CSR (n, n): weights (b, n) @ it are `NeighbourTable.scores`."""
    n, _ = rows.shape
    known = rows >= 0
    indptr = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
    return csr_matrix((scores[known], rows[known], indptr), shape=(n, n))


def best_of_rows(matrix: csr_matrix, k: int) -> tuple[I32, F32]:
    """The inverse of `neighbour_matrix`, of at most the k highest positive values of each row."""
    rows = np.full((matrix.shape[0], k), -1, dtype=np.int32)
    scores = np.zeros((matrix.shape[0], k), dtype=np.float32)
    for start in range(0, len(rows), 2048):
        part = slice(start, min(start + 2048, len(rows)))
        block = matrix[part]
        owner = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        _keep_best(rows[part], scores[part], owner, block.indices, block.data, k)
    return rows, scores


def _keep_best(
    rows: I32, scores: F32, owner: npt.NDArray[np.int64], other: I32, value: F32, k: int
) -> None:
    """Write each owner's k highest positive values into its row, best first, ties by lower row."""
    order = np.lexsort((other, -value, owner))
    owner, other, value = owner[order], other[order], value[order]
    first = np.searchsorted(owner, np.arange(len(rows)))
    place = np.arange(len(owner)) - first[owner]
    kept = (place < k) & (value > 0)
    rows[owner[kept], place[kept]] = other[kept]
    scores[owner[kept], place[kept]] = value[kept]
