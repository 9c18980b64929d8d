"""Approximate indexes for catalogues too large to scan, honest about what they cannot do.

A graph (HNSW) or a partition (IVF, IVF-PQ) finds most of the nearest quickly while most items are
allowed. Under a selective filter it would miss what matches, so then, and whenever it finds fewer
than asked for, the exact index answers instead. Found items are scored again in float32.

Where few directions hold most of the vectors' energy, only these are indexed: a step through a
graph or a list then reads a fifth of the bytes, and the full scores make good what they leave out.

How far to look depends on the vectors, not on their number alone: what finds .998 of CLIP's with
128 dimensions found .91 of the like with 512. So each index tries itself when it is built, with
items and with means of items, and looks as far as these need.
"""

from __future__ import annotations

import logging
import math
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.retrieval.faiss_seam import Bits, Graph, Lists, bits_of
from hemline.retrieval.interface import Index
from hemline.retrieval.spectral import head_of
from hemline.vectors import F32, normalise

logger = logging.getLogger(__name__)

AnnKind = Literal["hnsw", "ivf", "ivfpq"]

SELECTIVE = 0.2  # of the items; when fewer match, a masked scan is as fast and misses nothing
LINKS = 16  # of each item in the graph; twice as many at its ground
EF_CONSTRUCTION = 200

# How many are scored in full: so many for one that is asked for, and so many more. Coarse scores
# put some in the wrong place, those of 4-bit codes more of them.
_RESCORED = {"hnsw": (2, 20), "ivf": (2, 20), "ivfpq": (4, 100)}

# Of the efforts below, the least that finds so much of the k best is what searches go by.
_WANTED, _TRIED_K, _TRIED = 0.995, 100, 32
_TIMES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)

_UNEQUAL = 1e-3  # less than that between the lengths of items makes no difference

_SELECTIVE_FILTER = metrics.SEARCH_SCANS.labels("exact_for_ann")
_TOO_FEW = metrics.SEARCH_SCANS.labels("ann_then_exact")


class Coarse(Protocol):
    """What finds candidates."""

    @property
    def memory_bytes(self) -> int: ...

    def search(
        self, vector: F32, k: int, effort: int, bits: Bits | None
    ) -> npt.NDArray[np.int64]: ...


class ApproximateIndex:
    """The vectors of one space. Safe for any number of threads.

    vectors: float32 (n, d), finite; kept, not copied. exact: over the same ones, for what the
    approximation would miss. effort: how much of the index a search looks at, efSearch or nprobe;
    0: as much as recall of .99 takes, as far as it was tried when the index was built.
    """

    def __init__(self, vectors: F32, kind: AnnKind, exact: Index, effort: int = 0) -> None:
        self._vectors = vectors
        self._exact = exact
        self._kind = kind
        self._scan = metrics.SEARCH_SCANS.labels(kind)
        self._coarse: Coarse
        if kind == "hnsw":
            self._directions, indexed = _by_distance(vectors)
            self._coarse = Graph(indexed, LINKS, EF_CONSTRUCTION)
            self._lists = 0
        else:
            head = _leading(vectors)
            self._directions = np.eye(self.dim, dtype=np.float32) if head is None else head
            indexed = vectors if head is None else np.ascontiguousarray(vectors @ head)
            lists = Lists(indexed, "pq" if kind == "ivfpq" else "flat")
            self._coarse, self._lists = lists, lists.lists
        self.effort = effort
        self._times = _TIMES[0]
        if not effort and len(vectors) >= 10 * _TRIED_K:
            self._try_out()

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def memory_bytes(self) -> int:
        """Bytes of the exact index and of this one."""
        return self._exact.memory_bytes + self._coarse.memory_bytes

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """As of `ExactIndex.search`, but for items that the approximation misses."""
        if matching < SELECTIVE * len(allowed) or matching < 4 * k:
            _SELECTIVE_FILTER.inc()
            return self._exact.search(vector, k, allowed, matching)
        rows = self._candidates(vector, k, bits_of(allowed, matching), matching / len(allowed))
        if len(rows) < k:
            _TOO_FEW.inc()
            return self._exact.search(vector, k, allowed, matching)
        self._scan.inc()
        scores: F32 = self._vectors.take(rows, axis=0) @ vector
        order = (-scores).argsort()[:k]
        return rows[order].astype(np.int32), scores[order]

    def _candidates(
        self, vector: F32, k: int, bits: Bits | None, share: float
    ) -> npt.NDArray[np.int64]:
        """share: of the items that match; the fewer, the farther away are the k best of them."""
        query = vector @ self._directions
        times, more = _RESCORED[self._kind]
        wanted = int(self._times * (times * k + more))
        farther = self._times / math.sqrt(share)
        if self._kind == "hnsw":
            effort = max(self.effort or int(farther * (128 + 3 * k)), k)
            return self._coarse.search(query, min(wanted, effort), effort, bits)
        effort = self.effort or min(int(farther * max(self._lists // 5, 8)), self._lists)
        return self._coarse.search(query, wanted, effort, bits)

    def _try_out(self) -> None:
        rng = np.random.default_rng(0)
        some = self._vectors[rng.integers(0, len(self._vectors), (_TRIED, 5))]  # (q, 5, d)
        everything: Mask = np.ones(len(self._vectors), dtype=bool)
        tried = []
        for queries in (some[:, 0], normalise(some.mean(axis=1))):  # items, and tastes
            true = [
                self._exact.search(query, _TRIED_K, everything, len(everything))[0]
                for query in queries
            ]
            tried.append(list(zip(queries, true, strict=True)))
        for self._times in _TIMES:
            reached = min(
                float(np.mean([self._found(query, true) for query, true in of_kind]))
                for of_kind in tried
            )
            if reached >= _WANTED:
                return
        logger.warning(
            "%s finds %.3f of the %d nearest at its utmost, wanted %g; use --index exact",
            self._kind,
            reached,
            _TRIED_K,
            _WANTED,
        )

    def _found(self, query: F32, true: Rows) -> float:
        """The share of the truth that a search without a filter finds."""
        rows = self._candidates(query, len(true), None, 1.0)
        scores: F32 = self._vectors.take(rows, axis=0) @ query
        best = rows[(-scores).argsort()[: len(true)]]
        return float(np.isin(true, best).mean())


def _leading(vectors: F32, align: int = 1, beside: int = 0) -> F32 | None:
    """The directions that hold most of the energy; None where these are not few."""
    head = head_of(vectors, align, beside)
    return head if 2 * head.shape[1] <= vectors.shape[1] else None


def _by_distance(vectors: F32) -> tuple[F32, F32]:
    """Directions of queries, float32 (d, m), and items, (n, m), among which the nearest by distance
    are the best by inner product (Bachrach et al., RecSys 2014): one more dimension, of which
    queries have nothing, makes all items equally long. FAISS walks graphs faster by distance.
    """
    head = _leading(vectors, align=8, beside=1)
    heads = vectors if head is None else vectors @ head
    squares = np.einsum("nm,nm->n", heads, heads)
    rest = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0.0))
    directions = np.eye(vectors.shape[1], dtype=np.float32) if head is None else head
    if rest.max(initial=0.0) > _UNEQUAL:
        heads = np.concatenate((heads, rest[:, None]), axis=1)
        directions = np.concatenate((directions, np.zeros_like(directions[:, :1])), axis=1)
    return np.ascontiguousarray(directions), np.ascontiguousarray(heads, dtype=np.float32)
