"""Honest clients of a whole cluster: clicks and Recommends at a steady rate, whatever comes back.

A client knows both gateways, takes them in turn, and asks the other one when the first fails or
says nothing for TRY_S; one that has too much to do is asked again a little later, within that time.
Whatever is due is sent when it is due: a slow answer delays nobody else.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc.aio
from ledger import Click, Ledger

from hemline.v1.event_pb2 import Event, RecordEventRequest
from hemline.v1.event_pb2_grpc import EventServiceStub
from hemline.v1.recommender_pb2 import RecommendRequest, RecommendResponse
from hemline.v1.recommender_pb2_grpc import RecommenderServiceStub
from hemline.v1.user_pb2 import GetUserRequest
from hemline.v1.user_pb2_grpc import UserServiceStub
from hemline.wire import EVENT_KINDS

TRY_S = 1.5  # patience with one gateway
TRIES = 2  # of one Recommend
FULL_S = 0.1  # until a gateway with too much to do is asked again, and twice as long after each
K = 10
HEART = 0.95  # a client tries a click again with this probability, otherwise it gives up
EVENT_RETRY_S = 0.1  # and twice as long after each try, up to
LONGEST_RETRY_S = 2.0
LATE_S = 0.5  # what is due longer ago than this is not sent: all of us were frozen meanwhile
RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True)
class Asked:
    """What became of one Recommend. at: when it was due, time.monotonic(). wrong: what no answer
    may be, "" if it is as it should be; error: why there was none."""

    at: float
    answered: bool
    degraded: tuple[str, ...] = ()
    wrong: str = ""
    error: str = ""
    took_s: float = 0.0


class Gateway:
    """One gateway's calls."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, options=RECONNECT)
        self._events = EventServiceStub(self._channel)
        self._recommender = RecommenderServiceStub(self._channel)
        self._users = UserServiceStub(self._channel)

    async def click(self, click: Click, timeout_s: float = TRY_S) -> None:
        event = Event(
            event_id=click.event_id,
            user_id=click.user_id,
            item_id=click.item_id,
            kind=EVENT_KINDS[click.kind],
            occurred_ms=click.occurred_ms,
        )
        await self._events.RecordEvent(RecordEventRequest(event=event), timeout=timeout_s)

    async def recommend(self, user_id: str, timeout_s: float = TRY_S) -> RecommendResponse:
        request = RecommendRequest(user_id=user_id, k=K)
        return await self._recommender.Recommend(request, timeout=timeout_s)

    async def events_of(self, user_id: str, timeout_s: float = TRY_S) -> int:
        """How many events the state knows."""
        found = await self._users.GetUser(GetUserRequest(user_id=user_id), timeout=timeout_s)
        return len(found.history)

    async def close(self) -> None:
        await self._channel.close()


class Clients:
    """All clients of a run. known: shoppers with a history from before the first fault."""

    def __init__(self, gateways: Sequence[str], known: Sequence[str], seed: int) -> None:
        self.gateways = [Gateway(address) for address in gateways]
        self.known = known
        self.ledger = Ledger()
        self.asked: list[Asked] = []
        self._rng = random.Random(seed)
        self._turn = count()

    async def close(self) -> None:
        for gateway in self.gateways:
            await gateway.close()

    async def insist(self, click: Click, heart: float = 1.0) -> bool:
        """Send a click until it is acknowledged, or, one chance in twenty a try, give up."""
        retry_s = EVENT_RETRY_S
        for gateway in self._in_turn():
            self.ledger.trying(click)
            try:
                await gateway.click(click)
            except grpc.aio.AioRpcError:
                if self._rng.random() > heart:
                    return False
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
                continue
            self.ledger.acknowledged[click.event_id] += 1
            return True
        raise AssertionError("gateways take turns for ever")

    async def click(self, click: Click) -> None:
        if await self.insist(click, HEART) and self._rng.random() < 0.1:
            await self.insist(click, HEART)  # a client that lost the answer, so it thinks

    async def ask(self, user_id: str) -> None:
        """One Recommend, of the next gateway and, if need be, of the other."""
        at, gateways, error = time.monotonic(), self._in_turn(), ""
        for _ in range(TRIES):
            try:
                answer = await _try(next(gateways), user_id)
            except grpc.aio.AioRpcError as failed:
                error += f"{failed.code().name} "
                continue
            degraded = tuple(f"{each.stage}: {each.reason}" for each in answer.info.degraded)
            wrong = self._wrong(user_id, answer)
            took_s = time.monotonic() - at
            self.asked.append(Asked(at, True, degraded, wrong, error, took_s))
            return
        self.asked.append(Asked(at, False, error=error, took_s=time.monotonic() - at))

    def _wrong(self, user_id: str, answer: RecommendResponse) -> str:
        ids = [scored.item.item_id for scored in answer.items]
        if len(ids) != K:
            return f"{len(ids)} items instead of {K}"
        if len(set(ids)) != K:
            return "an item twice"
        if user_id in self.known and not answer.info.personal and not answer.info.degraded:
            return "not personal, and not a word about it"
        return ""

    def _in_turn(self) -> Iterator[Gateway]:
        turn = next(self._turn)
        while True:
            yield self.gateways[turn % len(self.gateways)]
            turn += 1


async def _try(gateway: Gateway, user_id: str) -> RecommendResponse:
    ends, pause_s = time.monotonic() + TRY_S, FULL_S
    while True:
        try:
            return await gateway.recommend(user_id, ends - time.monotonic())
        except grpc.aio.AioRpcError as failed:
            full = failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            if not full or time.monotonic() + pause_s > ends:
                raise
        await asyncio.sleep(pause_s)
        pause_s *= 2


class Freezes:
    """When this process itself did not get the processor for longer than LATE_S: whatever clients
    saw around then says nothing about the cluster."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []  # time.monotonic(), from and to

    def touched(self, asked: Asked) -> bool:
        """Whether a freeze came within two seconds of a Recommend."""
        ended = asked.at + asked.took_s
        return any(asked.at < to + 2.0 and since - 2.0 < ended for since, to in self.spans)

    async def watch(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(0.05)
            now = time.monotonic()
            if now - before > LATE_S:
                self.spans.append((before, now))
            before = now


@asynccontextmanager
async def at_a_rate(per_s: float, send: Callable[[], Coroutine[Any, Any, None]]):
    """`send` so often while the block runs; at its end, waits for those under way."""
    sending: set[asyncio.Task[None]] = set()
    failed: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        sending.discard(task)
        if not task.cancelled() and (error := task.exception()):
            failed.append(error)

    async def pace() -> None:
        due = time.monotonic()
        while True:
            task = asyncio.create_task(send())
            sending.add(task)
            task.add_done_callback(ended)
            due += 1 / per_s
            if due < time.monotonic() - LATE_S:
                due = time.monotonic()
            await asyncio.sleep(due - time.monotonic())

    pacing = asyncio.create_task(pace())
    try:
        yield
    finally:
        pacing.cancel()
        await asyncio.wait((pacing, *sending))
    if failed:
        raise failed[0]
