"""A call answered on the event loop: whatever becomes of it, it is told once and nothing is left.

Stands on private parts of `grpc._server`, as `test_taking_calls.py` does.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from hemline.boundary import RefusedError
from hemline.taking_calls import start_taking
from hemline.unary_call import UnaryCall

METHOD = "/hemline.v1.RecommenderService/Recommend"
PATIENCE_S = 30.0


class Reversing:
    """Answers with the request reversed, when told to."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.may_answer = asyncio.Event()
        self.asked: list[bytes] = []
        self.metadata: list[Any] = []
        self.cancelled = 0
        self.told = 0

    async def answer(self, request: bytes, call: UnaryCall) -> bytes:
        self.asked.append(request)
        self.metadata.append(call.metadata)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if request == b"bad":
            raise RefusedError(grpc.StatusCode.NOT_FOUND, "nô such thing", (("field", "what"),))
        if request == b"worse":
            raise ValueError("a mistake of ours")
        return request[::-1]

    def ended(self) -> None:
        self.told += 1


class Keeper:
    """Lets everything in; has one method."""

    def __init__(self, method: Reversing) -> None:
        self.method = method

    def lets_in(self, method: str) -> bool:
        return True

    def answerer(self, method: str) -> Reversing | None:
        return self.method if method == METHOD else None

    def wait_for_room(self, most_s: float) -> None:
        raise AssertionError("nothing was refused")


class NoThreads:
    """Fails where a thread is asked for."""

    def submit(self, fn, *args) -> None:
        raise AssertionError("a thread was asked for")


@asynccontextmanager
async def served(method: Reversing) -> AsyncIterator[tuple[grpc.Server, grpc.aio.Channel]]:
    server = grpc.server(NoThreads())
    service, name = METHOD[1:].split("/")
    known = grpc.unary_unary_rpc_method_handler(lambda request, context: None)
    server.add_registered_method_handlers(service, {name: known})
    server.port = server.add_insecure_port("127.0.0.1:0")
    start_taking(server, Keeper(method))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield server, channel
    assert await asyncio.to_thread(server.stop(PATIENCE_S).wait, PATIENCE_S)
    assert not server._state.rpc_states and not server._state.due


async def until(done) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            await asyncio.sleep(0.005)


def wait_until(done) -> None:
    """As `until`, with the event loop kept from coming round."""
    latest = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < latest
        time.sleep(0.005)


async def test_calls_are_answered_without_a_thread_and_nothing_is_left_of_them() -> None:
    method = Reversing()
    method.may_answer.set()
    async with served(method) as (server, channel):
        ask = channel.unary_unary(METHOD)
        requests = [b"", *(b"%d apples" % number for number in range(50))]
        calls = [ask(request, metadata=(("shop", "one"),)) for request in requests]
        assert await asyncio.gather(*calls) == [request[::-1] for request in requests]
        assert ("shop", "one") in [(e.key, e.value) for e in method.metadata[0]]
        await until(lambda: not server._state.rpc_states)
        assert method.told == 51


async def test_a_refusal_carries_its_status_text_and_details() -> None:
    method = Reversing()
    method.may_answer.set()
    async with served(method) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(METHOD)(b"bad")
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    assert error.value.details() == "nô such thing"
    assert tuple(error.value.trailing_metadata()) == (("field", "what"),)
    assert method.told == 1


async def test_a_mistake_of_ours_is_logged_and_internal(caplog: pytest.LogCaptureFixture) -> None:
    method = Reversing()
    method.may_answer.set()
    async with served(method) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(METHOD)(b"worse")
        assert await channel.unary_unary(METHOD)(b"ok") == b"ko"
    assert error.value.code() is grpc.StatusCode.INTERNAL
    assert "a mistake of ours" not in error.value.details()
    assert "a mistake of ours" in caplog.text


async def test_a_call_without_a_request_is_refused() -> None:
    method = Reversing()
    async with served(method) as (_, channel):

        async def nothing() -> AsyncIterator[bytes]:
            return
            yield b""

        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.stream_unary(METHOD)(nothing())
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "exactly one request" in error.value.details()
    assert (method.asked, method.told) == ([], 1)


async def test_callers_that_go_away_cancel_what_is_being_answered() -> None:
    method = Reversing()
    async with served(method) as (server, channel):
        calls = [channel.unary_unary(METHOD)(b"%d" % number) for number in range(5)]
        await until(lambda: len(method.asked) == 5)
        for call in calls[:3]:
            call.cancel()
        await until(lambda: method.cancelled == 3)
        method.may_answer.set()
        assert await asyncio.gather(*calls[3:]) == [b"3", b"4"]
        await until(lambda: not server._state.rpc_states)
    assert method.told == 5


async def test_callers_that_go_away_before_the_loop_came_round_are_found_out() -> None:
    method = Reversing()
    may_go = threading.Event()

    def come_and_go(address: str) -> None:
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary(METHOD).future(b"late")
            assert may_go.wait(PATIENCE_S)
            call.cancel()

    async with served(method) as (server, channel):
        calls = server._state.rpc_states
        caller = threading.Thread(target=come_and_go, args=(f"127.0.0.1:{server.port}",))
        caller.start()
        # From here on, the loop does not come round before the caller has gone.
        wait_until(lambda: any(call.received for call in set(calls)))
        may_go.set()
        caller.join(PATIENCE_S)
        await until(lambda: not calls)
        assert (method.asked, method.cancelled, method.told) == ([b"late"], 1, 1)
        method.may_answer.set()
        assert await channel.unary_unary(METHOD)(b"ok") == b"ko"


async def test_when_the_loop_has_ended_callers_are_told_so() -> None:
    method = Reversing()
    method.loop = asyncio.new_event_loop()
    method.loop.close()
    async with served(method) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(METHOD)(b"ok")
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert method.told == 1
