"""Where calls come in: gRPC's own threads accept or refuse them, the event loop answers.

A `grpc.aio` server accepts a call only when the event loop comes round to it, which takes as long
as everything that is being answered, so that at five times what it can answer nearly all calls die
waiting to be refused. Here the thread that takes calls from the network asks the method's `Gate`
first, and refuses without reading the request, at a thirtieth of what an answer costs. A call that
is let in waits in a thread of the pool while a coroutine answers it on the loop. A method that is
no coroutine is answered in that thread itself: for one that does nothing but wait for a thread of
its own, as a search does, the way over the loop would cost more than all the rest of the call.
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
from hemline.boundary import Blocking, Boundary, Call, RefusedError, Streamed, Unary
from hemline.gate import Gate

Handler = Any  # grpc.RpcMethodHandler, which is generic in the stubs alone

MAX_CALLS = 192  # of one unary method under way at a time, where there is no other limit
MAX_STREAMS = 128  # open at a time, of all methods; each holds two threads
_CALL_THREADS = 3 * MAX_CALLS  # they are started when they are needed
_UNREAD = 64  # messages of a stream that may lie here unread
_NO_DEADLINE_S = 1e9  # gRPC gives centuries to a caller without a deadline


class TooMany(int):
    """What `grpc.server` is given as the most calls under way; the gate of each method decides.

    gRPC's only cheap refusal, without a thread and without reading the request, is for calls beyond
    one number for all methods, health checks included. It compares with that number, looks the
    method up, and then asks whether the outcome of the comparison is true. Here that outcome is
    this object, and its truth is what the door found out when the method was looked up.
    """

    _refused = False

    def refuse_this(self) -> None:
        self._refused = True

    def __le__(self, calls_under_way: int) -> Any:
        return self

    def __bool__(self) -> bool:
        refused, self._refused = self._refused, False
        return refused


@dataclass(frozen=True)
class _Method:
    handler: Handler
    gate: Gate
    refused: Counter


class _Through(ThreadPoolExecutor):
    """Hands on to other threads, and counts out of the gate whatever has run there.

    A call may end before its method is ever asked, so that the method cannot do the counting.
    """

    def __init__(self, gate: Gate, threads: ThreadPoolExecutor) -> None:
        super().__init__(1)  # starts no thread before something is submitted
        self._gate = gate
        self._behind = threads

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = self._behind.submit(fn, *args, **kwargs)
        future.add_done_callback(lambda _: self._gate.leave())
        return future


class Registrar:
    """Stands in for a server where generated `add_…_to_server` functions want one."""

    def __init__(self, door: Door, most: int, few: int) -> None:
        self._door = door
        self._most = most
        self._few = few

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Generated code offers its methods twice; once is enough to look them up by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        self._door.add(service, handlers, self._most, self._few)


class Door(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """The methods of a server, answered on `loop`."""

    def __init__(self, boundary: Boundary, loop: asyncio.AbstractEventLoop) -> None:
        self._boundary = boundary
        self._loop = loop
        self._methods: dict[str, _Method] = {}
        self._call_threads = ThreadPoolExecutor(_CALL_THREADS, thread_name_prefix="call")
        self._stream_threads = ThreadPoolExecutor(2 * MAX_STREAMS, thread_name_prefix="stream")
        self._streams = Gate(MAX_STREAMS, few=MAX_STREAMS)
        self.too_many = TooMany()

    def service(self, handler_call_details: Any) -> Handler | None:
        """gRPC asks in the thread that takes calls from the network; None: there is no such."""
        method = self._methods.get(handler_call_details.method)
        if method is None:
            metrics.REQUESTS.labels("unknown", "UNIMPLEMENTED").inc()
            return None
        if not method.gate.enter():
            method.refused.inc()
            self.too_many.refuse_this()
        return method.handler

    def add(self, service: str, handlers: Mapping[str, Handler], most: int, few: int) -> None:
        """Take in methods. most, few: calls of one of them under way, if unary, see `Gate`;
        most 0: as many as there are threads.

        Raises TypeError for a method that streams its answer: none of ours does.
        """
        for name, handler in handlers.items():
            self._methods[f"/{service}/{name}"] = self._method(
                f"{service}/{name}", handler, most, few
            )

    def close(self) -> None:
        """Let go of the threads; what still runs in them ends by itself."""
        for threads in (self._call_threads, self._stream_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    def _method(self, name: str, handler: Any, most: int, few: int) -> _Method:
        decode, encode = handler.request_deserializer, _encoded_by(handler.response_serializer)
        refused = metrics.REQUESTS.labels(name, "RESOURCE_EXHAUSTED")
        if handler.unary_unary:
            gate = Gate(min(most or MAX_CALLS, MAX_CALLS), few)
            method = handler.unary_unary
            behave = (
                self._unary(self._boundary.unary(name, method, decode), gate)
                if inspect.iscoroutinefunction(method)
                else self._blocking(self._boundary.blocking(name, method, decode), gate)
            )
            accept = grpc.unary_unary_rpc_method_handler(behave, response_serializer=encode)
        elif handler.stream_unary:
            gate = self._streams
            answer = self._boundary.streamed(name, handler.stream_unary, decode)
            behave = self._streamed(answer, gate)
            accept = grpc.stream_unary_rpc_method_handler(behave, response_serializer=encode)
        else:
            raise TypeError(f"{name} streams its answer")
        return _Method(accept, gate, refused)

    def _unary(self, answer: Unary, gate: Gate) -> Any:
        def behave(request: bytes, context: grpc.ServicerContext) -> Any:
            return self._wait_for(answer(request, _call_of(context)), context, gate)

        behave.experimental_thread_pool = _Through(gate, self._call_threads)  # type: ignore[attr-defined]
        return behave

    def _blocking(self, answer: Blocking, gate: Gate) -> Any:
        def behave(request: bytes, context: grpc.ServicerContext) -> Any:
            try:
                return answer(request, _call_of(context))
            except RefusedError as error:
                refused = error.with_traceback(None)
            return _refuse(refused, context)

        behave.experimental_thread_pool = _Through(gate, self._call_threads)  # type: ignore[attr-defined]
        return behave

    def _streamed(self, answer: Streamed, gate: Gate) -> Any:
        def behave(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            messages = _Messages(self._loop)
            self._stream_threads.submit(messages.take_from, requests)
            try:
                return self._wait_for(answer(messages.all(), _call_of(context)), context, gate)
            finally:
                messages.close()

        behave.experimental_thread_pool = _Through(gate, self._stream_threads)  # type: ignore[attr-defined]
        return behave

    def _wait_for(self, answer: Awaitable[Any], context: grpc.ServicerContext, gate: Gate) -> Any:
        """Answer on the loop and wait in this thread. A caller that goes away cancels it."""
        let_in = time.perf_counter()

        async def begin() -> Any:
            gate.began(time.perf_counter() - let_in)
            return await answer

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


def _call_of(context: grpc.ServicerContext) -> Call:
    left = context.time_remaining()
    ends = None if left > _NO_DEADLINE_S else time.monotonic() + left
    return Call(context.invocation_metadata(), ends)
