"""The retrieval story: a batch of vector queries against one release, exact and filtered.

Up to about ten million items an exact scan with a mask beats an approximate index in simplicity and
truth; `retrieval.exact` is that scan, one OpenMP thread a query (two contended threads measured
three to six times slower than one).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hemline import metrics
from hemline.contracts import Hits, Space, VectorQuery
from hemline.errors import DeadlineError, InvalidInputError, ReleaseError
from hemline.filters import FilterMasks, check_filter
from hemline.releases import Release
from hemline.retrieval.exact import ExactIndex

MAX_K = 1000
MAX_QUERIES = 64

# A scan of so few items takes half a millisecond, and handing it to a thread a tenth: it runs where
# it is asked for.
_BRIEF = 100_000


class FlatRetrieval:
    """Exact search over one release; the in-process form of `contracts.Retrieval`."""

    def __init__(self, release: Release, threads: int = 2) -> None:
        self.release = release
        self._indexes: dict[Space, ExactIndex] = {
            "tower": ExactIndex(release.item_tower),
            "content": ExactIndex(release.item_content),
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
        began = time.perf_counter()
        if len(self.release.catalogue) <= _BRIEF:
            hits = self._search_all(queries)
        else:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(timeout_s):
                    hits = await loop.run_in_executor(self._pool, self._search_all, queries)
            except TimeoutError as error:
                late = f"the search took longer than {timeout_s * 1000:.0f} ms"
                raise DeadlineError(late) from error
        metrics.SEARCH_SECONDS.observe(time.perf_counter() - began)
        return hits

    def dim(self, space: Space) -> int:
        """Length of the vectors of a space."""
        return self._indexes[space].dim

    def memory_bytes(self) -> int:
        """Bytes of vectors and codes held."""
        return sum(index.memory_bytes for index in self._indexes.values())

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
        index = self._indexes[query.space]
        vector = np.ascontiguousarray(query.vector, dtype=np.float32)
        if not query.collapse_variants:
            rows, scores = index.search(vector, wanted, mask, matching)
            return Hits(rows, scores, matching)
        # Fetch deeper until k distinct variant groups are found or nothing is left.
        depth = wanted
        while True:
            rows, scores = index.search(vector, min(depth, matching), mask, matching)
            _, first = np.unique(self.release.catalogue.variant_group[rows], return_index=True)
            best = np.sort(first)
            if len(best) >= wanted or depth >= matching:
                return Hits(rows[best[:wanted]], scores[best[:wanted]], matching)
            depth *= 4
