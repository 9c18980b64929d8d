"""Searches share passes, tenants take turns, the queue is bounded, and nobody waits for nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
import pytest_asyncio

from hemline.contracts import Hits, VectorQuery
from hemline.errors import DeadlineError, OverloadedError, UnavailableError
from hemline.retrieval.queue import MAX_BATCH, SearchQueue


class Gate:
    """An index that answers with each query's k when it is let through, and remembers batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.busy = threading.Event()
        self.batches: list[list[int]] = []

    def search_all(self, queries: Sequence[VectorQuery]) -> list[Hits]:
        self.busy.set()
        assert self.open.wait(60)
        self.batches.append([query.k for query in queries])
        if any(query.k == 666 for query in queries):
            raise ValueError("a defect")
        return [Hits(np.array([q.k], np.int32), np.zeros(1, np.float32), q.k) for q in queries]


def query(number: int) -> VectorQuery:
    return VectorQuery("tower", np.ones(2, np.float32), number)


@pytest_asyncio.fixture
async def queue() -> AsyncIterator[SearchQueue]:
    queue = SearchQueue(max_waiting=200)
    yield queue
    await asyncio.to_thread(queue.close)


async def busy(gate: Gate, queue: SearchQueue) -> asyncio.Task[list[Hits]]:
    """A search that keeps the thread busy until the gate is opened."""
    first = asyncio.create_task(queue.search(gate, [query(0)], 60.0))
    await asyncio.to_thread(gate.busy.wait, 60)
    return first


async def test_everyone_gets_the_answer_to_their_own_queries(queue: SearchQueue) -> None:
    gate = Gate()
    first = await busy(gate, queue)
    asked = [asyncio.create_task(queue.search(gate, [query(n), query(-n)], 60.0)) for n in range(9)]
    await asyncio.sleep(0.01)
    gate.open.set()
    await first
    for n, task in enumerate(asked):
        assert [hits.matching for hits in await task] == [n, -n]
    assert len(gate.batches) == 2 and len(gate.batches[1]) == 18, "they did not share a pass"


async def test_a_batch_is_no_larger_than_what_makes_it_cheaper() -> None:
    queue, gate = SearchQueue(max_batch=4), Gate()
    first = await busy(gate, queue)
    waiting = [asyncio.create_task(queue.search(gate, [query(n)], 60.0)) for n in range(10)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, *waiting)
    assert [len(batch) for batch in gate.batches[1:]] == [4, 4, 2]
    queue.close()


async def test_tenants_take_turns(queue: SearchQueue) -> None:
    gate = Gate()
    first = await busy(gate, queue)
    flood = [
        asyncio.create_task(queue.search(gate, [query(1)], 60.0, "flood"))
        for _ in range(2 * MAX_BATCH)
    ]
    await asyncio.sleep(0)
    modest = asyncio.create_task(queue.search(gate, [query(2)], 60.0, "modest"))
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, modest, *flood)
    assert 2 in gate.batches[1][:2], "the modest tenant waited behind the flood"


async def test_a_full_queue_refuses_and_recovers(queue: SearchQueue) -> None:
    gate = Gate()
    first = await busy(gate, queue)
    waiting = [asyncio.create_task(queue.search(gate, [query(1)], 60.0)) for _ in range(200)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError, match="200 searches are waiting"):
        await queue.search(gate, [query(1)], 60.0)
    gate.open.set()
    await asyncio.gather(first, *waiting)
    assert (await queue.search(gate, [query(3)], 60.0))[0].matching == 3


async def test_a_search_whose_deadline_passed_in_the_queue_is_dropped(queue: SearchQueue) -> None:
    gate = Gate()
    first = await busy(gate, queue)
    with pytest.raises(DeadlineError, match="longer than 20 ms"):
        await queue.search(gate, [query(7)], 0.02)
    gate.open.set()
    await first
    await queue.search(gate, [query(8)], 60.0)
    assert [7] not in gate.batches and all(7 not in batch for batch in gate.batches)


async def test_a_defect_reaches_the_callers_and_the_thread_lives(queue: SearchQueue) -> None:
    gate = Gate()
    gate.open.set()
    with pytest.raises(ValueError, match="a defect"):
        await queue.search(gate, [query(666)], 60.0)
    assert (await queue.search(gate, [query(1)], 60.0))[0].matching == 1


async def test_a_lone_search_does_not_wait_for_others() -> None:
    queue = SearchQueue(gather_ms=600_000)
    gate = Gate()
    gate.open.set()
    async with asyncio.timeout(60):
        for n in range(5):
            await queue.search(gate, [query(n)], 60.0)
    await asyncio.to_thread(queue.close)


async def test_a_thread_that_finds_the_others_faster_waits_on() -> None:
    """Both wait for a larger batch; the one takes everything, and nothing is left for the other."""
    queue = SearchQueue(threads=2, gather_ms=20)
    gate = Gate()
    gate.open.set()
    for _ in range(10):  # after a batch of several the next is waited for, with fewer than enough
        await asyncio.gather(*(queue.search(gate, [query(n)], 60.0) for n in range(3)))
    await asyncio.sleep(0.1)
    assert all(thread.is_alive() for thread in queue._threads)
    await asyncio.to_thread(queue.close)


async def test_a_closed_queue_refuses() -> None:
    queue = SearchQueue()
    await asyncio.to_thread(queue.close)
    with pytest.raises(UnavailableError):
        await queue.search(Gate(), [query(1)], 1.0)


async def test_callers_with_a_thread_share_batches_with_those_on_the_loop(
    queue: SearchQueue,
) -> None:
    gate = Gate()
    first = await busy(gate, queue)
    on_loop = asyncio.create_task(queue.search(gate, [query(1)], 60.0))
    in_thread = asyncio.create_task(
        asyncio.to_thread(queue.search_blocking, gate, [query(2), query(3)], 60.0)
    )
    async with asyncio.timeout(60):
        while queue._waiting < 2:
            await asyncio.sleep(0.001)
    gate.open.set()
    await first
    assert [hits.matching for hits in await on_loop] == [1]
    assert [hits.matching for hits in await in_thread] == [2, 3]
    assert len(gate.batches) == 2


async def test_a_caller_with_a_thread_waits_no_longer_than_it_said(queue: SearchQueue) -> None:
    gate = Gate()
    first = await busy(gate, queue)
    with pytest.raises(DeadlineError, match="longer than 20 ms"):
        await asyncio.to_thread(queue.search_blocking, gate, [query(1)], 0.02)
    gate.open.set()
    await first
    await queue.search(gate, [query(2)], 60.0)
    assert [1] not in gate.batches, "nobody waited for it any more"
