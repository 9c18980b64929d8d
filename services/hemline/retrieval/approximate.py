"""Approximate indexes for catalogues too large to scan, honest about what they cannot do.

A graph (HNSW) or a partition (IVF, IVF-PQ) finds most of the nearest quickly while most items are
allowed. Under a selective filter it would miss what matches, so then, and whenever it finds fewer
than asked for, the exact index answers instead. Found items are scored again in float32.

Where few directions hold most of the vectors' energy, only these are indexed: a step through a
graph or a list then reads a fifth of the bytes, and the full scores make good what they leave out.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.retrieval.faiss_seam import Bits, Graph, Lists, bits_of
from hemline.retrieval.interface import Index
from hemline.retrieval.spectral import head_of
from hemline.vectors import F32

AnnKind = Literal["hnsw", "ivf", "ivfpq"]

SELECTIVE = 0.2  # of the items; when fewer match, a masked scan is as fast and misses nothing
_LINKS = 16  # of each item in the graph; twice as many at its ground
_EF_CONSTRUCTION = 200

# How many are scored in full for one that is asked for, and beyond: coarse scores misplace some.
_BEYOND = 100
_RESCORED = {"hnsw": 2, "ivf": 2, "ivfpq": 5}

_SELECTIVE_FILTER = metrics.SEARCH_SCANS.labels("exact_for_ann")
_TOO_FEW = metrics.SEARCH_SCANS.labels("ann_then_exact")
_TOO_MANY = metrics.SEARCH_SCANS.labels("exact_for_k")


class Coarse(Protocol):
    """What finds candidates. max_k: that it can find at a time; None: any number."""

    max_k: int | None

    @property
    def memory_bytes(self) -> int: ...

    def search(
        self, vector: F32, k: int, effort: int, bits: Bits | None
    ) -> npt.NDArray[np.int64]: ...


class ApproximateIndex:
    """The vectors of one space. Safe for any number of threads.

    vectors: float32 (n, d), finite; kept, not copied. exact: over the same ones, for what the
    approximation would miss. effort: how much of the index a search looks at, efSearch or nprobe;
    0: as much as recall@100 of .99 took on CLIP's vectors.
    """

    def __init__(self, vectors: F32, kind: AnnKind, exact: Index, effort: int = 0) -> None:
        self._vectors = vectors
        self._exact = exact
        self._kind = kind
        self._scan = metrics.SEARCH_SCANS.labels(kind)
        head = head_of(vectors)
        self._head = head if 2 * head.shape[1] <= vectors.shape[1] else None
        indexed = vectors if self._head is None else np.ascontiguousarray(vectors @ self._head)
        self._coarse: Coarse
        if kind == "hnsw":
            self._coarse = Graph(indexed, _LINKS, _EF_CONSTRUCTION)
            self.effort = effort or 128
        else:
            lists = Lists(indexed, "pq" if kind == "ivfpq" else "flat")
            self._coarse = lists
            self.effort = effort or max(1, lists.lists // 6)

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
        rows = self._candidates(vector, k, bits_of(allowed, matching))
        if len(rows) < k:
            _TOO_FEW.inc()
            return self._exact.search(vector, k, allowed, matching)
        self._scan.inc()
        scores: F32 = self._vectors[rows] @ vector
        order = np.argsort(-scores)[:k]
        return rows[order].astype(np.int32), scores[order]

    def _candidates(self, vector: F32, k: int, bits: Bits | None) -> npt.NDArray[np.int64]:
        query = vector if self._head is None else vector @ self._head
        wanted = _RESCORED[self._kind] * k + _BEYOND
        effort = self.effort
        if self._kind == "hnsw":
            effort = max(effort, 3 * k)
            wanted = min(wanted, effort)
        return self._coarse.search(query, wanted, effort, bits)
