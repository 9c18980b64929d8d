"""The user-item-attribute graph and the sampling of neighbourhoods in it.

Nodes are numbered users first, then items, then attribute values ("colour = Red"). Neighbours are
drawn with replacement, a fixed number a node and hop, as in GraphSAGE's Algorithm 2; PyTorch
Geometric's own sampler needs compiled extensions that PyPI does not have for this torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.sparse import bmat, csr_matrix, diags, vstack

from hemline.catalogue import ATTRIBUTES
from hemline_training.recommenders.base import I64, Feedback

NO_NODE = -1


@dataclass(frozen=True)
class Graph:
    """adjacency: float32 CSR (nodes, nodes), symmetric, ones. described: the same with the edges
    between items and attribute values alone, what is left of a cold item. counts: users, items,
    attribute values.
    """

    adjacency: csr_matrix
    described: csr_matrix
    counts: tuple[int, int, int]

    @classmethod
    def of(cls, feedback: Feedback) -> Graph:
        likes = (feedback.likes > 0).astype(np.float32)
        described = attribute_matrix(feedback.items, feedback.n_items)
        users, items, values = likes.shape[0], likes.shape[1], described.shape[1]
        bare = csr_matrix((users + items, users + items), dtype=np.float32)
        of_nodes = vstack([csr_matrix((users, values), dtype=np.float32), described])
        alone = csr_matrix((values, values), dtype=np.float32)
        pairs = bmat([[csr_matrix((users, users)), likes], [likes.T, csr_matrix((items, items))]])
        return cls(
            bmat([[pairs, of_nodes], [of_nodes.T, alone]], format="csr", dtype=np.float32),
            bmat([[bare, of_nodes], [of_nodes.T, alone]], format="csr", dtype=np.float32),
            (users, items, values),
        )

    @property
    def means(self) -> csr_matrix:
        """The adjacency with rows summing to 1 (or 0 without neighbours): `means @ x` averages."""
        degree = np.maximum(np.asarray(self.adjacency.sum(axis=1)).ravel(), 1)
        return (diags((1 / degree).astype(np.float32)) @ self.adjacency).tocsr()


def draw(
    adjacency: csr_matrix, nodes: I64, each: int, rng: np.random.Generator, barred: I64
) -> I64:
    """int64 (n, each) neighbours of nodes int64 (n,), NO_NODE where there are none.

    barred: int64 (n,), a neighbour not to be drawn (its edge is what is to be predicted); a draw of
    it is given up, so that what is left is a uniform draw from the others.
    """
    start = adjacency.indptr[nodes].astype(np.int64)
    degree = adjacency.indptr[nodes + 1] - start
    at = start[:, None] + (rng.random((len(nodes), each)) * degree[:, None]).astype(np.int64)
    drawn = np.full((len(nodes), each), NO_NODE, dtype=np.int64)
    some = degree > 0
    drawn[some] = adjacency.indices[at[some]]
    drawn[drawn == barred[:, None]] = NO_NODE
    return drawn


def attribute_matrix(items: pa.Table | None, n_items: int) -> csr_matrix:
    """float32 CSR (n_items, attribute values): 1 where the item has the value."""
    rows: list[int] = []
    columns: list[int] = []
    number: dict[tuple[str, str], int] = {}
    for name in ATTRIBUTES if items is not None else ():
        if items is None or name not in items.column_names:
            continue
        for row, value in enumerate(items[name].to_pylist()):
            if value is not None:
                rows.append(row)
                columns.append(number.setdefault((name, value), len(number)))
    ones = np.ones(len(rows), np.float32)
    return csr_matrix((ones, (rows, columns)), shape=(n_items, len(number)))
