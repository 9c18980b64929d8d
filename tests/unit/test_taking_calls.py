"""The thread that takes calls: what it refuses costs one event, and nothing of it is left over.

It stands on private parts of `grpc._server`; a grpcio that has others fails here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import grpc
import grpc.aio
import pytest

from hemline.taking_calls import REFUSED, start_taking

METHOD = "/hemline.v1.RecommenderService/Recommend"


class Keeper:
    """Lets in only while told to, and counts."""

    def __init__(self) -> None:
        self.open = True
        self.asked: list[str] = []
        self.waits = threading.Event()
        self.room = threading.Event()
        self.room.set()

    def lets_in(self, method: str) -> bool:
        if method == METHOD:
            self.asked.append(method)
        return self.open or method != METHOD

    def answerer(self, method: str) -> None:
        return None

    def wait_for_room(self, most_s: float) -> None:
        self.waits.set()
        self.room.wait()


class Threads:
    """Runs what is submitted in a new thread each, and counts."""

    def __init__(self) -> None:
        self.used = 0

    def submit(self, fn, *args) -> Future:
        self.used += 1
        future: Future = Future()
        threading.Thread(target=lambda: future.set_result(fn(*args)), daemon=True).start()
        return future


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def threads() -> Threads:
    return Threads()


@pytest.fixture
def server(keeper: Keeper, threads: Threads) -> Iterator[grpc.Server]:
    server = grpc.server(threads)
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1])
    service, name = METHOD[1:].split("/")
    server.add_registered_method_handlers(service, {name: handler})
    server.port = server.add_insecure_port("127.0.0.1:0")
    start_taking(server, keeper)
    yield server
    server.stop(0).wait(60)


@pytest.fixture
def call(server: grpc.Server) -> Iterator[grpc.UnaryUnaryMultiCallable]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel.unary_unary(METHOD)


def refusal(call: grpc.UnaryUnaryMultiCallable) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(b"abc", timeout=60)
    return error.value.code(), error.value.details()


def test_calls_are_let_in_or_refused_with_a_status_as_they_are_told_apart(
    call, keeper: Keeper
) -> None:
    assert call(b"abc", timeout=60) == b"cba"
    keeper.open = False
    assert refusal(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, REFUSED)
    keeper.open = True
    assert call(b"abc", timeout=60) == b"cba"
    assert keeper.asked == [METHOD] * 3


def test_a_refused_call_takes_no_thread_and_leaves_no_state_and_no_request_behind(
    call, server: grpc.Server, keeper: Keeper, threads: Threads
) -> None:
    keeper.open = False
    for _ in range(50):
        refusal(call)
    assert threads.used == 0
    assert not server._state.rpc_states
    ends = time.monotonic() + 60  # the caller hears of its refusal before that is done with
    while server._state.due != {METHOD, "request_call"}:  # one of each is asked for, as at first
        assert time.monotonic() < ends, f"asked for: {server._state.due}"
        time.sleep(0.01)
    keeper.open = True
    assert call(b"abc", timeout=60) == b"cba"


async def test_when_all_was_refused_it_takes_no_more_before_there_may_be_room(
    server: grpc.Server, keeper: Keeper
) -> None:
    keeper.open = False
    keeper.room.clear()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        ask = channel.unary_unary(METHOD)
        first = ask(b"abc", timeout=60)
        assert await first.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await asyncio.to_thread(keeper.waits.wait, 60)
        calls = [ask(b"abc", timeout=60) for _ in range(20)]
        await asyncio.sleep(0.2)
        assert len(keeper.asked) == 1
        keeper.room.set()
        codes = {await one.code() for one in calls}
    assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(keeper.asked) == 21


def test_other_methods_are_not_asked_about_and_unknown_ones_are_unimplemented(
    server: grpc.Server, keeper: Keeper
) -> None:
    keeper.open = False
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        code, _ = refusal(channel.unary_unary(METHOD + "s"))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert not keeper.asked


async def test_a_flood_of_calls_of_which_half_are_given_up_is_refused_until_the_server_stops(
    server: grpc.Server, keeper: Keeper
) -> None:
    keeper.open = False
    codes: set[grpc.StatusCode | None] = set()

    async def flood() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            ask = channel.unary_unary(METHOD)
            while grpc.StatusCode.UNAVAILABLE not in codes:
                calls = [ask(b"abc", timeout=60) for _ in range(20)]
                for given_up in calls[::2]:
                    given_up.cancel()
                codes.update([await one.code() for one in calls])

    floods = [asyncio.ensure_future(flood()) for _ in range(3)]
    async with asyncio.timeout(120):
        while len(keeper.asked) < 500:
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(server.stop(5).wait, 60)
        await asyncio.gather(*floods)
    allowed = {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNAVAILABLE,
    }
    assert codes == allowed


def test_a_server_that_nobody_holds_any_more_lets_its_thread_go(keeper: Keeper) -> None:
    before = set(threading.enumerate())
    server = grpc.server(Threads())
    server.add_insecure_port("127.0.0.1:0")
    start_taking(server, keeper)
    started = set(threading.enumerate()) - before
    (taking,) = (thread for thread in started if thread.name == "taking calls")
    del server
    taking.join(60)
    assert not taking.is_alive()
