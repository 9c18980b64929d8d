"""The retrieval story: a batch of vector queries against one release, exact, filtered, and live.

    the release asked for -> the queries checked -> its present view -> the best of what matches

Up to about ten million items an exact scan with a mask beats an approximate index in simplicity and
truth. There are two, each one thread a query (two contended threads measured three to six times
slower than one): `retrieval.spectral` where few directions hold most of the vectors' energy, as in
the spaces of CLIP and of the towers, and `retrieval.exact` where they do not.
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
from hemline.filters import check_filter
from hemline.live_items import LiveItems, LiveView
from hemline.releases import Release
from hemline.retrieval.loaded_release import LoadedRelease

MAX_K = 1000
MAX_QUERIES = 64
MAX_EXCLUDED = 10_000

# A scan of so few items takes half a millisecond, and handing it to a thread a tenth: it runs where
# it is asked for.
_BRIEF = 100_000


class FlatRetrieval:
    """Exact search over one release; the in-process form of `contracts.Retrieval`.

    items: the release, or its live items, which others may share.
    """

    def __init__(self, items: LiveItems | Release, threads: int = 2) -> None:
        live = LiveItems(items) if isinstance(items, Release) else items
        self._loaded = LoadedRelease(live)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        metrics.INDEX_ITEMS.set(live.view.count)

    @property
    def release(self) -> Release:
        """The current release."""
        return self._loaded.release

    @property
    def items(self) -> LiveItems:
        """The live items of the current release."""
        return self._loaded.items

    @property
    def view(self) -> LiveView:
        """The items as they are now."""
        return self._loaded.items.view

    async def search(
        self, release_id: str, queries: Sequence[VectorQuery], timeout_s: float
    ) -> list[Hits]:
        """See `contracts.Retrieval.search`.

        Raises InvalidInputError naming the query whose vector, k or filter cannot be meant.
        """
        loaded = self._loaded
        if release_id != loaded.release.id:
            raise ReleaseError(f"retrieval serves release {loaded.release.id}, not {release_id}")
        self._check(queries, loaded)
        began = time.perf_counter()
        if len(loaded.items.view) <= _BRIEF:
            hits = _search_all(loaded, queries)
        else:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(timeout_s):
                    hits = await loop.run_in_executor(self._pool, _search_all, loaded, queries)
            except TimeoutError as error:
                late = f"the search took longer than {timeout_s * 1000:.0f} ms"
                raise DeadlineError(late) from error
        metrics.SEARCH_SECONDS.observe(time.perf_counter() - began)
        return hits

    def dim(self, space: Space) -> int:
        """Length of the vectors of a space."""
        return self._loaded.dim(space)

    def memory_bytes(self) -> int:
        """Bytes of vectors and codes held."""
        return self._loaded.memory_bytes()

    def close(self) -> None:
        """Let running searches end and drop the threads."""
        self._pool.shutdown()

    def _check(self, queries: Sequence[VectorQuery], loaded: LoadedRelease) -> None:
        if not 1 <= len(queries) <= MAX_QUERIES:
            raise InvalidInputError("queries", f"needs 1 to {MAX_QUERIES} queries")
        for place, query in enumerate(queries):
            field = f"queries[{place}]"
            dim = loaded.dim(query.space)
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


def _search_all(loaded: LoadedRelease, queries: Sequence[VectorQuery]) -> list[Hits]:
    return [loaded.search(query) for query in queries]
