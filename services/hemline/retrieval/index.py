"""The retrieval story: a batch of vector queries against one release, exact and filtered.

Up to about ten million items an exact scan with a mask beats an approximate index in simplicity and
truth; this is that scan, on FAISS's flat inner-product index, one OpenMP thread a query (two
contended threads measured three to six times slower than one).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np

from hemline import metrics
from hemline.contracts import Hits, Rows, Space, VectorQuery
from hemline.errors import DeadlineError, InvalidInputError, ReleaseError
from hemline.filters import FilterMasks, Mask, check_filter
from hemline.releases import Release
from hemline.vectors import F32

MAX_K = 1000
MAX_QUERIES = 64


class FlatRetrieval:
    """Exact search over one release; the in-process form of `contracts.Retrieval`."""

    def __init__(self, release: Release, threads: int = 2) -> None:
        faiss.omp_set_num_threads(1)
        self.release = release
        self._indexes: dict[Space, faiss.IndexFlatIP] = {
            "tower": _flat_index(release.item_tower),
            "content": _flat_index(release.item_content),
        }
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._masks = FilterMasks(release.catalogue)
        metrics.INDEX_ITEMS.set(len(release.catalogue))

    async def search(
        self, release_id: str, queries: Sequence[VectorQuery], timeout_s: float
    ) -> list[Hits]:
        """See `contracts.Retrieval.search`.

        Raises InvalidInputError naming the query whose vector, k or filter cannot be meant.
        """
        if release_id != self.release.id:
            raise ReleaseError(f"retrieval serves release {self.release.id}, not {release_id}")
        self._check(queries)
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_s):
                hits = await loop.run_in_executor(self._pool, self._search_all, queries)
        except TimeoutError as error:
            raise DeadlineError(f"the search took longer than {timeout_s * 1000:.0f} ms") from error
        metrics.SEARCH_SECONDS.observe(time.perf_counter() - began)
        return hits

    def dim(self, space: Space) -> int:
        """Length of the vectors of a space."""
        return int(self._indexes[space].d)

    def memory_bytes(self) -> int:
        """Bytes of vectors held."""
        return sum(4 * int(index.ntotal) * int(index.d) for index in self._indexes.values())

    def close(self) -> None:
        """Let running searches end and drop the threads."""
        self._pool.shutdown()

    def _check(self, queries: Sequence[VectorQuery]) -> None:
        if not 1 <= len(queries) <= MAX_QUERIES:
            raise InvalidInputError("queries", f"needs 1 to {MAX_QUERIES} queries")
        for place, query in enumerate(queries):
            field = f"queries[{place}]"
            dim = self.dim(query.space)
            if query.vector.shape != (dim,):
                raise InvalidInputError(
                    f"{field}.vector",
                    f"has shape {query.vector.shape}; the {query.space} space has {dim} dimensions",
                )
            if not np.isfinite(query.vector).all():
                raise InvalidInputError(f"{field}.vector", "holds NaN or infinity")
            if not 1 <= query.k <= MAX_K:
                raise InvalidInputError(f"{field}.k", f"{query.k} is outside 1..{MAX_K}")
            if query.filter is not None:
                check_filter(query.filter, f"{field}.filter")

    def _search_all(self, queries: Sequence[VectorQuery]) -> list[Hits]:
        return [self._search_one(query) for query in queries]

    def _search_one(self, query: VectorQuery) -> Hits:
        metrics.SEARCH_QUERIES.labels(query.space).inc()
        mask = self._masks.mask(query.filter)
        if query.exclude.size:
            mask = mask.copy()
            mask[query.exclude] = False
        matching = int(np.count_nonzero(mask))
        wanted = min(query.k, matching)
        if wanted == 0:
            return Hits(np.zeros(0, np.int32), np.zeros(0, np.float32), matching=0)
        if not query.collapse_variants:
            rows, scores = self._nearest(query, mask, wanted)
            return Hits(rows, scores, matching)
        # Fetch deeper until k distinct variant groups are found or nothing is left.
        depth = wanted
        while True:
            rows, scores = self._nearest(query, mask, min(depth, matching))
            _, first = np.unique(self.release.catalogue.variant_group[rows], return_index=True)
            best = np.sort(first)
            if len(best) >= wanted or depth >= matching:
                return Hits(rows[best[:wanted]], scores[best[:wanted]], matching)
            depth *= 4

    def _nearest(self, query: VectorQuery, mask: Mask, k: int) -> tuple[Rows, F32]:
        """The k best rows under a mask that holds at least k."""
        index = self._indexes[query.space]
        vector = np.ascontiguousarray(query.vector, dtype=np.float32)[None]
        if mask.all():
            scores, rows = index.search(vector, k)
        else:
            bits = np.packbits(mask, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits))
            scores, rows = index.search(vector, k, params=faiss.SearchParameters(sel=selector))  # type: ignore[call-arg]
        return rows[0].astype(np.int32), scores[0]


def _flat_index(vectors: F32) -> faiss.IndexFlatIP:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))
    return index
