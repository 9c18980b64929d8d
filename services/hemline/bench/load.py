"""The two ways of asking: a closed loop, which finds the peak, and an open loop, which is life.

Requests are serialised before the first one is sent and answers are kept as bytes, because the
client shares its cores with the servers it measures.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import cycle

import grpc
import grpc.aio
import numpy as np

from hemline.bench.arrivals import F64
from hemline.bench.latency import OK, Calls
from hemline.credentials import NO_CREDENTIALS, Credentials
from hemline.errors import UnavailableError

Call = Callable[[bytes], Awaitable[bytes]]
KEPT_ANSWERS = 500
CONNECT_TIMEOUT_S = 10.0


def precise_loop() -> asyncio.AbstractEventLoop:
    """An event loop that wakes to the microsecond; asyncio's usual one rounds up to milliseconds,
    which is as long as an answer may take."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class Requests:
    """Serialised requests, each given out once before any is given out again."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self._messages = cycle(messages)
        self._different = len(messages)
        self.taken = 0

    def take(self) -> bytes:
        self.taken += 1
        return next(self._messages)

    @property
    def repeated(self) -> int:
        """How many requests were given out a second time or more often."""
        return max(0, self.taken - self._different)


@asynccontextmanager
async def raw_calls(
    address: str,
    method: str,
    connections: int,
    deadline_s: float,
    credentials: Credentials = NO_CREDENTIALS,
) -> AsyncIterator[Call]:
    """A unary call of bytes to bytes, over several connections in turn, already connected.

    Raises UnavailableError when nobody answers at the address, AioRpcError on calling.
    """
    tls, metadata = credentials.tls, credentials.metadata or None
    async with AsyncExitStack() as stack:
        stubs = []
        for _ in range(connections):
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
            channel = (
                grpc.aio.secure_channel(address, tls.credentials(), options=options)
                if tls
                else grpc.aio.insecure_channel(address, options=options)
            )
            await stack.enter_async_context(channel)
            try:
                await asyncio.wait_for(channel.channel_ready(), CONNECT_TIMEOUT_S)
            except TimeoutError as error:
                raise UnavailableError(
                    f"nobody answered at {address} for {CONNECT_TIMEOUT_S:g} s; is the cluster up? "
                    "(`hemline status`)"
                ) from error
            stubs.append(channel.unary_unary(method))  # type: ignore[call-arg]  # none: bytes
        turn = cycle(stubs)

        def call(request: bytes) -> Awaitable[bytes]:
            return next(turn)(request, timeout=deadline_s, metadata=metadata)

        yield call


async def open_loop(call: Call, requests: Requests, schedule: F64) -> Calls:
    """Send a request at each time of `schedule`, in seconds, whatever has become of the others."""
    record = _Record(schedule, keep_every=max(1, len(schedule) // KEPT_ANSWERS))
    clock = asyncio.get_running_loop().time
    with _no_garbage_collection():
        async with asyncio.TaskGroup() as sending:
            began = clock()
            for place, due in enumerate(schedule.tolist()):
                wait_s = began + due - clock()
                # 0 too: without it, a sender that is late would never let anything be received.
                await asyncio.sleep(max(0.0, wait_s))
                sending.create_task(record.ask(place, call, requests.take(), began))
    return record.calls()


async def closed_loop(call: Call, requests: Requests, in_flight: int, seconds: float) -> Calls:
    """Keep so many calls in flight for so long; a call is due when it is sent."""
    record = _Record(np.zeros(0), keep_every=20)
    clock = asyncio.get_running_loop().time
    with _no_garbage_collection():
        began = clock()

        async def ask_on() -> None:
            while clock() - began < seconds:
                await record.ask(record.grow(), call, requests.take(), began)

        await asyncio.gather(*(ask_on() for _ in range(in_flight)))
    return record.calls()


class _Record:
    """The times of calls while they are made."""

    def __init__(self, schedule: F64, keep_every: int) -> None:
        n = len(schedule)
        self._due: F64 | None = schedule if n else None
        self._sent, self._done, self._codes = [0.0] * n, [0.0] * n, [""] * n
        self._keep_every = keep_every
        self._answers: list[bytes] = []

    def grow(self) -> int:
        """Make room for one call more; its place."""
        for column in (self._sent, self._done):
            column.append(0.0)
        self._codes.append("")
        return len(self._codes) - 1

    async def ask(self, place: int, call: Call, request: bytes, began: float) -> None:
        clock = asyncio.get_running_loop().time
        self._sent[place] = clock() - began
        try:
            answer = await call(request)
            self._codes[place] = OK
            if place % self._keep_every == 0:
                self._answers.append(answer)
        except grpc.aio.AioRpcError as error:
            self._codes[place] = error.code().name
        self._done[place] = clock() - began

    def calls(self) -> Calls:
        sent = np.array(self._sent)
        due = sent if self._due is None else self._due
        return Calls(due, sent, np.array(self._done), tuple(self._codes), tuple(self._answers))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Nothing here makes cycles by the thousand, and a full collection takes as long as answers."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
