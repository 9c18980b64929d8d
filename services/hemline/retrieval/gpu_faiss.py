"""FAISS's indexes on a GPU, which know no filters and no k above a limit, with an exact one beside.

What the GPU can honour goes there, a batch in one call; whatever leaves items out, or asks for more
than the limit, is answered by the exact index on the CPU, and counted. Candidates of approximate
kinds are scored again in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.retrieval import faiss_seam
from hemline.retrieval.interface import Index, Search
from hemline.vectors import F32

_RESCORED = 2  # for one that is asked for

_ON_GPU = metrics.SEARCH_SCANS.labels("gpu_faiss")
_BESIDE = metrics.SEARCH_SCANS.labels("exact_for_gpu")
_TOO_FEW = metrics.SEARCH_SCANS.labels("gpu_then_exact")


class GpuFaissIndex:
    """The vectors of one space on a GPU; its own batches. For one thread at a time.

    vectors: float32 (n, d); kept, and copied to the GPU. beside: exact, over the same ones.
    library: FAISS, or what stands for it in a test. Raises SetupError as of `OnGpu`.
    """

    def __init__(
        self, vectors: F32, kind: faiss_seam.GpuKind, beside: Index, library: Any = None
    ) -> None:
        self._vectors = vectors
        self._beside = beside
        self._exact = kind == "flat"
        given = () if library is None else (library,)
        self._gpu = faiss_seam.OnGpu(vectors, kind, *given)
        self._effort = 128 if kind == "cagra" else self._gpu.lists // 6 + 1
        self.dim = int(vectors.shape[1])

    @property
    def memory_bytes(self) -> int:
        """On the GPU and beside."""
        return self._gpu.memory_bytes + self._beside.memory_bytes

    def suits(self, k: int, matching: int) -> bool:
        return 0 < matching == len(self._vectors) and self._asked(k) <= self._gpu.max_k

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """See `hemline.retrieval.interface.Index`."""
        return self.search_batch([Search(vector, k, allowed, matching)])[0]

    def search_batch(self, searches: Sequence[Search]) -> list[tuple[Rows, F32]]:
        """As of `search`, for each, those that the GPU can honour in one call."""
        on_gpu = [place for place, s in enumerate(searches) if self.suits(s.k, s.matching)]
        found: dict[int, tuple[Rows, F32]] = {}
        if on_gpu:
            queries = np.stack([searches[place].vector for place in on_gpu])
            deepest = max(self._asked(searches[place].k) for place in on_gpu)
            scores, rows = self._gpu.search(queries, deepest, self._effort)
            for place, of_query, r in zip(on_gpu, scores, rows, strict=True):
                search, real = searches[place], r >= 0
                if np.count_nonzero(real) < search.k:
                    _TOO_FEW.inc()
                    continue
                _ON_GPU.inc()
                found[place] = self._best(search, r[real], of_query[real])
        for place, search in enumerate(searches):
            if place not in found:
                if place not in on_gpu:
                    _BESIDE.inc()
                found[place] = self._beside.search(
                    search.vector, search.k, search.allowed, search.matching
                )
        return [found[place] for place in range(len(searches))]

    def _asked(self, k: int) -> int:
        return min(k if self._exact else _RESCORED * k, len(self._vectors))

    def _best(self, search: Search, rows: faiss_seam.FoundRows, scores: F32) -> tuple[Rows, F32]:
        if not self._exact:
            scores = self._vectors.take(rows, axis=0) @ search.vector
            order = (-scores).argsort()
            rows, scores = rows[order], scores[order]
        return rows[: search.k].astype(np.int32), scores[: search.k]
