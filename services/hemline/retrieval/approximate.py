"""Approximate indexes of FAISS for catalogues too large to scan, honest about what they cannot do.

A graph (HNSW) or a partition (IVF) finds most of the nearest quickly while most items are allowed.
Under a selective filter it would miss what matches, so then, and whenever it finds fewer than asked
for, the exact index answers instead. Found items are scored again in float32.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import faiss
import numpy as np

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.retrieval.exact import ExactIndex
from hemline.retrieval.spectral import SpectralIndex
from hemline.vectors import F32

AnnKind = Literal["hnsw", "ivf"]

SELECTIVE = 0.2  # of the items; when fewer match, a masked scan is as fast and misses nothing
_LINKS = 32  # of each item in the graph; twice as many at its ground
_EF_CONSTRUCTION = 100
_TRAINED_ON = 50  # items a list, for the partition's centres

_SELECTIVE_FILTER = metrics.SEARCH_SCANS.labels("exact_for_ann")
_TOO_FEW = metrics.SEARCH_SCANS.labels("ann_then_exact")


class ApproximateIndex:
    """The vectors of one space. Safe for any number of threads.

    vectors: float32 (n, d), finite; kept by `exact`, and here once more in 16 (hnsw) or 8 bits
    (ivf). effort: how much of the index a search looks at, efSearch or nprobe; 0: as much as
    recall@10 of .99 and more took on CLIP's vectors.
    """

    def __init__(
        self, vectors: F32, kind: AnnKind, exact: ExactIndex | SpectralIndex, effort: int = 0
    ) -> None:
        faiss.omp_set_num_threads(1)
        n, dim = vectors.shape
        self._vectors = vectors
        self._exact = exact
        self._kind = kind
        self._scan = metrics.SEARCH_SCANS.labels(kind)
        self._index: Any
        if kind == "hnsw":
            self._effort = effort or 128
            self._index = faiss.IndexHNSWSQ(
                dim,
                faiss.ScalarQuantizer.QT_fp16,  # type: ignore[arg-type]
                _LINKS,
                faiss.METRIC_INNER_PRODUCT,
            )
            self._index.hnsw.efConstruction = _EF_CONSTRUCTION
            self._index.train(vectors[:1])
        else:
            lists = max(1, min(int(4 * math.sqrt(n)), n // _TRAINED_ON))
            self._effort = effort or max(1, lists // 6)
            self._centres = faiss.IndexFlatIP(dim)  # kept here: FAISS does not own it
            self._index = faiss.IndexIVFScalarQuantizer(
                self._centres,
                dim,
                lists,
                faiss.ScalarQuantizer.QT_8bit,
                faiss.METRIC_INNER_PRODUCT,
            )
            stride = max(1, n // (lists * _TRAINED_ON))
            self._index.train(np.ascontiguousarray(vectors[::stride]))
        self._index.add(vectors)

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def memory_bytes(self) -> int:
        """Bytes of the exact index and of this one."""
        codes = len(self._vectors) * int(self._index.sa_code_size())
        links = len(self._vectors) * _LINKS * 2 * 4 if self._kind == "hnsw" else 0
        return self._exact.memory_bytes + codes + links

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """As of `ExactIndex.search`, but for items that the approximation misses."""
        if matching < SELECTIVE * len(allowed) or matching < 4 * k:
            _SELECTIVE_FILTER.inc()
            return self._exact.search(vector, k, allowed, matching)
        bits = None if matching == len(allowed) else np.packbits(allowed, bitorder="little")
        _, found = self._index.search(
            vector[None], 2 * k, params=self._parameters(bits, allowed, k)
        )
        rows = found[0][found[0] >= 0]
        if len(rows) < k:
            _TOO_FEW.inc()
            return self._exact.search(vector, k, allowed, matching)
        self._scan.inc()
        scores: F32 = self._vectors[rows] @ vector
        order = np.argsort(-scores)[:k]
        return rows[order].astype(np.int32), scores[order]

    def _parameters(self, bits: np.typing.NDArray[np.uint8] | None, allowed: Mask, k: int) -> Any:
        selector = None
        if bits is not None:
            selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
        if self._kind == "hnsw":
            wide = max(self._effort, 6 * k)
            return faiss.SearchParametersHNSW(sel=selector, efSearch=wide)  # type: ignore[attr-defined]
        return faiss.SearchParametersIVF(sel=selector, nprobe=self._effort)  # type: ignore[call-arg]
