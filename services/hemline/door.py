"""Where calls come in: gRPC's own threads accept or refuse them, the event loop answers.

A `grpc.aio` server accepts a call only when the event loop comes round to it, which takes as long
as everything that is being answered, so that at five times what it can answer nearly all calls die
waiting to be refused. Here the thread that takes calls from the network asks the method's `Gate`
first, and refuses without reading the request (`hemline.taking_calls`). A unary call that is let in
is answered by a coroutine on the loop (`hemline.unary_call`); a stream waits meanwhile in a thread
of the pool. A method that is no coroutine is answered in such a thread itself: for one that does
nothing but wait for a thread of its own, as a search does, the way over the loop would cost more
than all the rest of the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from prometheus_client import Counter

from hemline import metrics
from hemline.boundary import (
    Blocking,
    Boundary,
    Call,
    Metadata,
    RefusedError,
    Streamed,
    Unary,
)
from hemline.gate import Gate
from hemline.taking_calls import REFUSED
from hemline.unary_call import Answerer, UnaryCall

Handler = Any  # grpc.RpcMethodHandler, which is generic in the stubs alone

MAX_CALLS = 192  # of one unary method under way at a time, where there is no other limit
MAX_STREAMS = 128  # open at a time, of all methods; each holds two threads
_CALL_THREADS = 3 * MAX_CALLS  # they are started when they are needed
_UNREAD = 64  # messages of a stream that may lie here unread
_NO_DEADLINE_S = 1e9  # gRPC gives centuries to a caller without a deadline


@dataclass(frozen=True)
class _Entrance:
    """What lets the calls of a method in, and counts those that it does not."""

    gate: Gate
    refused: Counter

    def begin(self, waited_s: float) -> None:
        """The loop has come round to a call. Raises RefusedError when that took too long."""
        if not self.gate.begins(waited_s):
            self.refused.inc()
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, REFUSED)


@dataclass(frozen=True)
class _OnTheLoop:
    """A unary method, as `hemline.unary_call` wants it."""

    loop: asyncio.AbstractEventLoop
    entrance: _Entrance
    encode: Callable[[Any], bytes]
    method: Unary
    room: threading.Event

    async def answer(self, request: bytes, call: UnaryCall) -> bytes:
        self.entrance.begin(time.perf_counter() - call.received)
        answer = await self.method(request, _call(call.metadata, call.deadline - time.time()))
        return self.encode(answer)

    def ended(self) -> None:
        self.entrance.gate.leave()
        self.room.set()


class _Through(ThreadPoolExecutor):
    """Hands on to other threads, and counts out of the gate whatever has run there.

    A call may end before its method is ever asked, so that the method cannot do the counting.
    """

    def __init__(self, gate: Gate, threads: ThreadPoolExecutor, room: threading.Event) -> None:
        super().__init__(1)  # starts no thread before something is submitted
        self._gate = gate
        self._room = room
        self._behind = threads

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = self._behind.submit(fn, *args, **kwargs)
        future.add_done_callback(self._leave)
        return future

    def _leave(self, _: Future[Any]) -> None:
        self._gate.leave()
        self._room.set()


class Registrar:
    """Stands in for a server where generated `add_…_to_server` functions want one."""

    def __init__(self, door: Door, server: grpc.Server, most: int, few: int) -> None:
        self._door = door
        self._server = server
        self._most = most
        self._few = few

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Generated code offers its methods twice; C-core is to know them by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        answered = self._door.add(service, handlers, self._most, self._few)
        self._server.add_registered_method_handlers(service, answered)  # type: ignore[attr-defined]


class Door(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """The methods of a server, answered on `loop`."""

    def __init__(self, boundary: Boundary, loop: asyncio.AbstractEventLoop) -> None:
        self._boundary = boundary
        self._loop = loop
        self._room = threading.Event()
        self._entrances: dict[str, _Entrance] = {}
        self._on_the_loop: dict[str, _OnTheLoop] = {}
        self._call_threads = ThreadPoolExecutor(_CALL_THREADS, thread_name_prefix="call")
        self._stream_threads = ThreadPoolExecutor(2 * MAX_STREAMS, thread_name_prefix="stream")
        self._streams = Gate(MAX_STREAMS, few=MAX_STREAMS)

    def service(self, handler_call_details: Any) -> None:
        """gRPC asks about calls of methods that were not added."""
        metrics.REQUESTS.labels("unknown", "UNIMPLEMENTED").inc()

    def lets_in(self, method: str) -> bool:
        """Count a call of "/package.Service/Method" in, or as refused; of others, none is."""
        entrance = self._entrances.get(method)
        if entrance is None or entrance.gate.enter():
            return True
        entrance.refused.inc()
        return False

    def answerer(self, method: str) -> Answerer | None:
        """What answers a unary method on the loop; None for others, and for what is no method."""
        return self._on_the_loop.get(method)

    def wait_for_room(self, most_s: float) -> None:
        """Return when a call has ended since this was asked last, or after so many seconds."""
        self._room.wait(most_s)
        self._room.clear()

    def add(
        self, service: str, handlers: Mapping[str, Handler], most: int, few: int
    ) -> dict[str, Handler]:
        """The methods as gRPC is to call them, by name, from the moment `lets_in` agrees.

        most, few: calls of one of them under way, if unary, see `Gate`; most 0: as many as there
        are threads. Raises TypeError for a method that streams its answer: none of ours does.
        """
        return {
            name: self._method(f"{service}/{name}", handler, most, few)
            for name, handler in handlers.items()
        }

    def close(self) -> None:
        """Let go of the threads; what still runs in them ends by itself."""
        for threads in (self._call_threads, self._stream_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    def _method(self, name: str, handler: Any, most: int, few: int) -> Handler:
        decode, encode = handler.request_deserializer, _encoded_by(handler.response_serializer)
        gate = (
            Gate(min(most or MAX_CALLS, MAX_CALLS), few) if handler.unary_unary else self._streams
        )
        entrance = _Entrance(gate, metrics.REQUESTS.labels(name, "RESOURCE_EXHAUSTED"))
        method = handler.unary_unary
        if inspect.iscoroutinefunction(method):
            unary = self._boundary.unary(name, method, decode)
            on_the_loop = _OnTheLoop(self._loop, entrance, encode, unary, self._room)
            self._on_the_loop[f"/{name}"] = on_the_loop
            accept = grpc.unary_unary_rpc_method_handler(_answered_on_the_loop)
        elif method is not None:
            behave = self._blocking(self._boundary.blocking(name, method, decode), gate)
            accept = grpc.unary_unary_rpc_method_handler(behave, response_serializer=encode)
        elif handler.stream_unary:
            answer = self._boundary.streamed(name, handler.stream_unary, decode)
            behave = self._streamed(answer, entrance)
            accept = grpc.stream_unary_rpc_method_handler(behave, response_serializer=encode)
        else:
            raise TypeError(f"{name} streams its answer")
        self._entrances[f"/{name}"] = entrance
        return accept

    def _blocking(self, answer: Blocking, gate: Gate) -> Any:
        def behave(request: bytes, context: grpc.ServicerContext) -> Any:
            try:
                return answer(request, _call_of(context))
            except RefusedError as error:
                refused = error.with_traceback(None)
            return _refuse(refused, context)

        behave.experimental_thread_pool = _Through(gate, self._call_threads, self._room)  # type: ignore[attr-defined]
        return behave

    def _streamed(self, answer: Streamed, entrance: _Entrance) -> Any:
        def behave(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            messages = _Messages(self._loop)
            self._stream_threads.submit(messages.take_from, requests)
            call = _call_of(context)
            try:
                return self._wait_for(lambda: answer(messages.all(), call), context, entrance)
            finally:
                messages.close()

        behave.experimental_thread_pool = _Through(entrance.gate, self._stream_threads, self._room)  # type: ignore[attr-defined]
        return behave

    def _wait_for(
        self,
        answer: Callable[[], Awaitable[Any]],
        context: grpc.ServicerContext,
        entrance: _Entrance,
    ) -> Any:
        """Answer on the loop and wait in this thread. A caller that goes away cancels it."""
        let_in = time.perf_counter()

        async def begin() -> Any:
            entrance.begin(time.perf_counter() - let_in)
            return await answer()

        future = asyncio.run_coroutine_threadsafe(begin(), self._loop)
        context.add_callback(partial(_cancel, future))
        try:
            return future.result()
        except RefusedError as error:
            # Its traceback leads to this very future, and to the request: a cycle that would keep
            # them until the garbage collector comes by.
            refused = error.with_traceback(None)
        except CancelledError:
            refused = RefusedError(grpc.StatusCode.CANCELLED, "nobody waits for the answer")
        return _refuse(refused, context)


class _Messages:
    """A stream's messages, on their way from the thread that reads them to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(_UNREAD)
        self._closed = False

    def take_from(self, requests: Iterator[bytes]) -> None:
        """Read in a thread of its own, no further ahead than there is room."""
        # Whatever ends the iterator other than its end, the call itself will tell its servicer.
        with contextlib.suppress(Exception):
            for request in requests:
                self._room.acquire()
                if self._closed:
                    return
                self._loop.call_soon_threadsafe(self._queue.put_nowait, request)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._queue.put_nowait, None)

    async def all(self) -> AsyncIterator[bytes]:
        """The messages, on the loop."""
        while (request := await self._queue.get()) is not None:
            self._room.release()
            yield request

    def close(self) -> None:
        """Nobody reads on: let the thread go."""
        self._closed = True
        self._room.release()


def _encoded_by(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """What a method answers is a message, or one that it has encoded already."""
    return lambda answer: answer if isinstance(answer, bytes) else encode(answer)


def _refuse(refused: RefusedError, context: grpc.ServicerContext) -> Any:
    if refused.details:
        context.set_trailing_metadata(tuple(refused.details))
    return context.abort(refused.code, refused.message)


def _cancel(future: Future[Any]) -> None:
    future.cancel()


def _answered_on_the_loop(request: bytes, context: grpc.ServicerContext) -> None:
    """Stands for a method that gRPC shall know the name of and is never asked to answer."""
    raise AssertionError("a call of this method does not come this way")


def _call_of(context: grpc.ServicerContext) -> Call:
    return _call(context.invocation_metadata(), context.time_remaining())


def _call(metadata: Metadata, left_s: float) -> Call:
    ends = None if left_s > _NO_DEADLINE_S else time.monotonic() + left_s
    return Call(metadata, ends)
