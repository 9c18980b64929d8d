"""Searches from many callers, gathered into batches for the threads that own the indexes.

A search waits for others only while there are others: after a batch of one it goes at once, after a
larger one at most `gather_ms`, and only until there are enough for one pass over the index to pay.
Tenants take turns, so that one that floods the queue waits for itself. The queue is bounded; a
search whose caller's deadline has passed is dropped, not answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from hemline import metrics, one_core
from hemline.contracts import Hits, VectorQuery
from hemline.errors import DeadlineError, OverloadedError, UnavailableError

MAX_BATCH = 64  # queries
ENOUGH = 4  # searches; to wait for more would leave the thread idle while others write answers


class Index(Protocol):
    """What answers a batch, on a thread of the queue's."""

    def search_all(self, queries: Sequence[VectorQuery]) -> list[Hits]: ...


@dataclass(eq=False)
class _Search:
    index: Index
    queries: Sequence[VectorQuery]
    deadline: float  # of time.monotonic()
    future: Future[list[Hits]]


class SearchQueue:
    """threads: that own the indexes, one where an index is not safe for concurrent readers.

    max_waiting: searches, beyond them OverloadedError. max_batch: queries.
    """

    def __init__(
        self,
        threads: int = 1,
        gather_ms: float = 1.0,
        max_waiting: int = 1024,
        max_batch: int = MAX_BATCH,
    ) -> None:
        self._gather_s = gather_ms / 1000
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._changed = threading.Condition()  # guards what follows
        self._by_tenant: OrderedDict[str, deque[_Search]] = OrderedDict()
        self._waiting = 0
        self._closed = False
        self._crowded = False  # the last batch held several searches
        self._threads = [
            threading.Thread(target=self._run, name=f"search {number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def search(
        self, index: Index, queries: Sequence[VectorQuery], timeout_s: float, tenant: str = ""
    ) -> list[Hits]:
        """The index's answer to these queries.

        Raises OverloadedError when the queue is full, DeadlineError after `timeout_s`,
        UnavailableError after `close`.
        """
        future = self._submit(index, queries, timeout_s, tenant)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise _late(timeout_s) from error

    def search_blocking(
        self, index: Index, queries: Sequence[VectorQuery], timeout_s: float, tenant: str = ""
    ) -> list[Hits]:
        """The same, for a caller with a thread to wait in."""
        future = self._submit(index, queries, timeout_s, tenant)
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            future.cancel()
            raise _late(timeout_s) from error

    def _submit(
        self, index: Index, queries: Sequence[VectorQuery], timeout_s: float, tenant: str
    ) -> Future[list[Hits]]:
        deadline = time.monotonic() + timeout_s
        future: Future[list[Hits]] = Future()
        with self._changed:
            if self._closed:
                raise UnavailableError("the retrieval is stopping")
            if self._waiting >= self._max_waiting:
                metrics.SEARCH_DROPPED.labels("queue_full").inc()
                raise OverloadedError(f"{self._waiting} searches are waiting; try again shortly")
            search = _Search(index, queries, deadline, future)
            self._by_tenant.setdefault(tenant, deque()).append(search)
            self._waiting += 1
            if self._waiting in (1, ENOUGH):  # what the threads wait for; to be woken costs
                self._changed.notify()
        return future

    def close(self) -> None:
        """Answer what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        one_core.unbound()
        while batch := self._next_batch():
            now = time.monotonic()
            waited_for = []
            for search in batch:
                if search.deadline > now and search.future.set_running_or_notify_cancel():
                    waited_for.append(search)
            metrics.SEARCH_DROPPED.labels("deadline").inc(len(batch) - len(waited_for))
            for index in dict.fromkeys(search.index for search in waited_for):
                _answer(index, [search for search in waited_for if search.index is index])

    def _next_batch(self) -> list[_Search]:
        """The next searches, tenant by tenant; empty when closed and done."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._crowded and self._gather_s:
                    self._changed.wait_for(
                        lambda: self._waiting >= ENOUGH or self._closed, self._gather_s
                    )
                if self._waiting or self._closed:  # else another thread was faster
                    break
            batch: list[_Search] = []
            queries = 0
            while self._by_tenant and queries < self._max_batch:
                tenant, searches = self._by_tenant.popitem(last=False)
                search = searches.popleft()
                if searches:
                    self._by_tenant[tenant] = searches  # behind the others
                batch.append(search)
                queries += len(search.queries)
                self._waiting -= 1
            if self._waiting:
                self._changed.notify()
            self._crowded = len(batch) > 1
            metrics.SEARCH_WAITING.set(self._waiting)
            return batch


def _answer(index: Index, searches: Sequence[_Search]) -> None:
    queries = [query for search in searches for query in search.queries]
    metrics.SEARCH_BATCH.observe(len(queries))
    error: BaseException | None = None
    hits: list[Hits] = []
    try:
        hits = index.search_all(queries)
    except Exception as failed:  # whatever it is: the callers get it, the thread lives
        error = failed
    start = 0
    for search in searches:
        of_search = hits[start : start + len(search.queries)]
        start += len(search.queries)
        # A caller on a loop that was closed meanwhile is told nothing.
        with contextlib.suppress(RuntimeError):
            if error is not None:
                search.future.set_exception(error)
            else:
                search.future.set_result(of_search)


def _late(timeout_s: float) -> DeadlineError:
    return DeadlineError(f"the search took longer than {timeout_s * 1000:.0f} ms")
