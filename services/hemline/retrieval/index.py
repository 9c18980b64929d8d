"""The retrieval story: a batch of vector queries against one release, exact, filtered, and live.

    the release asked for -> the queries checked -> its present view -> the best of what matches

Up to about ten million items an exact scan with a mask beats an approximate index in simplicity and
truth. There are two, each one thread a query (two contended threads measured three to six times
slower than one): `retrieval.spectral` where few directions hold most of the vectors' energy, as in
the spaces of CLIP and of the towers, and `retrieval.exact` where they do not. On an event loop, a
search over a small catalogue runs where it is asked for; others wait in `retrieval.queue` for the
next batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from hemline import metrics
from hemline.boundary import CALLER
from hemline.contracts import Hits, Space, VectorQuery, WeightedVector
from hemline.errors import InvalidInputError, ReleaseError
from hemline.filters import WRAPPED, check_filter
from hemline.live_items import LiveItems
from hemline.live_view import LiveView
from hemline.releases import Release
from hemline.retrieval.folding import FOLD_AFTER
from hemline.retrieval.kinds import IndexSettings, checked_settings
from hemline.retrieval.loaded_release import LoadedRelease
from hemline.retrieval.queue import SearchQueue
from hemline.retrieval.recall_watch import RecallWatch

_BY_SIZE = IndexSettings()

MAX_K = 1000
MAX_QUERIES = 64
MAX_EXCLUDED = 10_000
MAX_ALSO = 3
LOADED = 2  # releases at a time: the current one, and the one before for whoever still asks for it


class FlatRetrieval:
    """Exact search over one release; the in-process form of `contracts.Retrieval`.

    items: the release, or its live items, which others may share. threads: that search catalogues
    of more than `indexes.brief` items. gather_ms, max_waiting: see `SearchQueue`. watched_share: of
    the searches, to be worked out again by the `RecallWatch`. fold_after: see `Folding`. Raises
    InvalidInputError or SetupError for indexes that cannot be had, see `checked_settings`.
    """

    def __init__(
        self,
        items: LiveItems | Release,
        threads: int = 1,
        gather_ms: float = 1.0,
        max_waiting: int = 1024,
        indexes: IndexSettings = _BY_SIZE,
        watched_share: float = 0.0,
        fold_after: int = FOLD_AFTER,
    ) -> None:
        self.indexes = checked_settings(indexes, threads)
        live = LiveItems(items) if isinstance(items, Release) else items
        self._watch = RecallWatch(watched_share) if watched_share else None
        self._queue = SearchQueue(threads, gather_ms, max_waiting, self.indexes.at_once)
        self._fold_after = fold_after
        self._current = self.load(live)
        self._loaded = {live.release.id: self._current}
        metrics.INDEX_ITEMS.set(live.view.count)

    @property
    def release(self) -> Release:
        """The current release."""
        return self._current.release

    @property
    def items(self) -> LiveItems:
        """The live items of the current release."""
        return self._current.items

    @property
    def view(self) -> LiveView:
        """The items of the current release as they are now."""
        return self._current.items.view

    @property
    def waits(self) -> bool:
        """Whether `search` waits for a thread; see `contracts.Retrieval`."""
        return len(self.view) > self.indexes.brief

    @property
    def loaded(self) -> list[LiveItems]:
        """The live items of the releases that are answered for, the current one last."""
        return [loaded.items for loaded in self._loaded.values()]

    def items_of(self, release_id: str) -> LiveItems:
        """The live items of a release. Raises ReleaseError when it is not loaded."""
        return self._of(release_id).items

    def load(self, items: LiveItems) -> LoadedRelease:
        """The indexes of a release, beside those there are; `flip` puts them in place."""
        return LoadedRelease(items, self.indexes, self._fold_after)

    def flip(self, loaded: LoadedRelease) -> None:
        """Make a release that was loaded and warmed the current one, in one step.

        The one before it stays for those who still ask for it; older ones are dropped, and their
        memory comes back when their last search has ended.
        """
        self._loaded.pop(loaded.release.id, None)
        self._loaded[loaded.release.id] = loaded
        self._current = loaded
        while len(self._loaded) > LOADED:
            self._loaded.pop(next(iter(self._loaded)))
        metrics.INDEX_ITEMS.set(loaded.items.view.count)
        metrics.RELEASE.set(loaded.release.version)

    async def search(
        self, release_id: str, queries: Sequence[VectorQuery], timeout_s: float, tenant: str = ""
    ) -> list[Hits]:
        """See `contracts.Retrieval.search`. tenant: whose turn it takes in the queue; else that of
        the present caller.

        Raises InvalidInputError naming the query whose vector, k or filter cannot be meant,
        OverloadedError when too many searches wait.
        """
        loaded = self._of(release_id)
        self._check(queries, loaded)
        with self._watched(loaded, queries) as hits:
            if len(loaded.items.view) <= self.indexes.brief:
                hits += [loaded.search(query) for query in queries]
            else:
                if not tenant and (caller := CALLER.get()) is not None:
                    tenant = caller.tenant
                hits += await self._queue.search(loaded, queries, timeout_s, tenant)
        return hits

    def search_blocking(
        self, release_id: str, queries: Sequence[VectorQuery], timeout_s: float, tenant: str = ""
    ) -> list[Hits]:
        """The same, for a caller with a thread to wait in. Always a matter of the queue: so many
        threads that search at once would be in each other's way."""
        loaded = self._of(release_id)
        self._check(queries, loaded)
        with self._watched(loaded, queries) as hits:
            hits += self._queue.search_blocking(loaded, queries, timeout_s, tenant)
        return hits

    @contextmanager
    def _watched(
        self, loaded: LoadedRelease, queries: Sequence[VectorQuery]
    ) -> Iterator[list[Hits]]:
        """Measures what fills the list, and shows it to the watch."""
        began = time.perf_counter()
        before = loaded.items.view
        hits: list[Hits] = []
        yield hits
        metrics.SEARCH_SECONDS.observe(time.perf_counter() - began)
        if self._watch is not None:
            self._watch.offer(before, loaded.items.view, queries, hits)

    def dim(self, space: Space) -> int:
        """Length of the vectors of a space."""
        return self._current.dim(space)

    def memory_bytes(self) -> int:
        """Bytes of vectors and codes held, of all loaded releases."""
        return sum(loaded.memory_bytes() for loaded in self._loaded.values())

    def close(self) -> None:
        """Let running searches end and drop the threads."""
        self._queue.close()
        if self._watch is not None:
            self._watch.close()

    def _of(self, release_id: str) -> LoadedRelease:
        loaded = self._loaded.get(release_id)
        if loaded is None:
            known = ", ".join(self._loaded)
            raise ReleaseError(f"retrieval serves release {known}, not {release_id!r}")
        return loaded

    def _check(self, queries: Sequence[VectorQuery], loaded: LoadedRelease) -> None:
        if not 1 <= len(queries) <= MAX_QUERIES:
            raise InvalidInputError("queries", f"needs 1 to {MAX_QUERIES} queries")
        for place, query in enumerate(queries):
            field = f"queries[{place}]"
            if len(query.also) > MAX_ALSO:
                raise InvalidInputError(
                    f"{field}.also", f"{len(query.also)} vectors, at most {MAX_ALSO} are allowed"
                )
            _check_vector(query, field, loaded)
            for also_place, also in enumerate(query.also):
                _check_vector(also, f"{field}.also[{also_place}]", loaded)
            if not 1 <= query.k <= MAX_K:
                raise InvalidInputError(f"{field}.k", f"{query.k} is outside 1..{MAX_K}")
            if query.exclude.size > MAX_EXCLUDED:
                raise InvalidInputError(
                    f"{field}.exclude",
                    f"{query.exclude.size} items, at most {MAX_EXCLUDED} are allowed",
                )
            if query.filter is not None:
                check_filter(query.filter, f"{field}.filter", WRAPPED)


def _check_vector(asked: VectorQuery | WeightedVector, field: str, loaded: LoadedRelease) -> None:
    """Raises InvalidInputError naming what of a space, its vector or its weight cannot be meant."""
    known = loaded.release.spaces
    if asked.space not in known:
        raise InvalidInputError(
            f"{field}.space",
            f"release {loaded.release.id} was made without the space {asked.space!r}; it has "
            f"{', '.join(known)}",
        )
    dim = loaded.dim(asked.space)
    if asked.vector.shape != (dim,):
        raise InvalidInputError(
            f"{field}.vector",
            f"has shape {asked.vector.shape}; the {asked.space} space has {dim} dimensions",
        )
    if not np.isfinite(asked.vector).all():
        raise InvalidInputError(f"{field}.vector", "holds NaN or infinity")
    if not 0 < asked.weight <= 1:
        raise InvalidInputError(f"{field}.weight", f"{asked.weight:g} is not above 0 and up to 1")
