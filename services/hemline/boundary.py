"""What every call to a server passes: may the caller, is it a message, how long did it take, and
which status did an error become.

Requests come here as bytes and are decoded after the caller was let in, so that strangers cost no
decoding, and bytes that are no message are the caller's mistake, not the server's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from hemline import metrics
from hemline.errors import (
    DeadlineError,
    HemlineError,
    InvalidInputError,
    OverloadedError,
    RateLimitedError,
)
from hemline.statuses import details_of, message_of, status_of

logger = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]


class Caller(Protocol):
    """Who makes the present call, as an `Admission` knows them."""

    @property
    def key_id(self) -> str: ...

    @property
    def tenant(self) -> str: ...

    def charge(self) -> None:
        """Count one message. Raises RateLimitedError when it is one too many just now,
        UnauthenticatedError when the caller is not welcome any more."""


class Admission(Protocol):
    """Who may call what."""

    def guard(self, method: str) -> Callable[[Metadata], Caller] | None:
        """What to ask at each call of "package.Service/Method"; None: anybody may.

        The guard raises UnauthenticatedError or ForbiddenError.
        """


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)


class CallerInLogs(logging.Filter):
    """Gives every log record `caller`: tenant and key of the call it was written in, or nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        caller = CALLER.get()
        record.caller = f" [{caller.tenant} {caller.key_id}]" if caller else ""
        return True


class Boundary(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """The one interceptor of a server."""

    def __init__(
        self,
        admission: Admission | None = None,
        stream_idle_s: float = 120.0,
        max_in_flight: int = 0,
    ) -> None:
        """max_in_flight: of one unary method at a time, others are refused at once; 0: no limit."""
        self._admission = admission
        self._stream_idle_s = stream_idle_s
        self._max_in_flight = max_in_flight
        self._handlers: dict[str, Any] = {}  # by method, made at its first call

    async def intercept_service(
        self, continuation: Callable[..., Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        bounded = self._handlers.get(details.method)
        if bounded is None:
            handler = await continuation(details)
            if handler is None:
                metrics.REQUESTS.labels("unknown", "UNIMPLEMENTED").inc()
                return None
            bounded = self._handlers[details.method] = self._bounded(details.method, handler)
        return bounded

    def _bounded(self, path: str, handler: Any) -> Any:
        method = path.removeprefix("/")
        guard = self._admission.guard(method) if self._admission else None
        decode, encode = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary:
            answer = _decoded(handler.unary_unary, decode)
            answer = _bounded(method, answer, guard, max_in_flight=self._max_in_flight)
            return grpc.unary_unary_rpc_method_handler(answer, response_serializer=encode)
        if handler.stream_unary:
            answer = _decoded_stream(handler.stream_unary, decode, self._stream_idle_s)
            answer = _bounded(method, answer, guard, streamed=True)
            return grpc.stream_unary_rpc_method_handler(answer, response_serializer=encode)
        return handler  # health watches and reflection, which stream answers and are open to all


Answer = Callable[[Any, Any], Awaitable[Any]]


def _bounded(
    method: str,
    answer: Answer,
    guard: Callable[[Metadata], Caller] | None,
    streamed: bool = False,
    max_in_flight: int = 0,
) -> Answer:
    seconds = metrics.REQUEST_SECONDS.labels(method)
    answered_ok = metrics.REQUESTS.labels(method, "OK")
    # Counted by method, so that events waiting for a log that is away leave room for answers.
    in_flight = 0

    async def bounded(request: Any, context: Any) -> Any:
        nonlocal in_flight
        began = time.perf_counter()
        metrics.REQUESTS_IN_FLIGHT.inc()
        in_flight += 1
        try:
            if 0 < max_in_flight < in_flight:
                raise OverloadedError(
                    f"{max_in_flight} calls of {method} are being answered; try again shortly"
                )
            if guard is not None:
                caller = guard(context.invocation_metadata())
                CALLER.set(caller)
                if not streamed:
                    caller.charge()
            response = await answer(request, context)
            answered_ok.inc()
            return response
        except HemlineError as error:
            refusal = status_of(error), message_of(error), details_of(error)
        except asyncio.CancelledError:
            metrics.REQUESTS.labels(method, "CANCELLED").inc()
            raise
        except grpc.aio.AbortError:  # the health service ends its own calls
            raise
        except Exception:
            logger.exception("%s failed", method)
            refusal = grpc.StatusCode.INTERNAL, "internal error; see the server's log", ()
        finally:
            in_flight -= 1
            metrics.REQUESTS_IN_FLIGHT.dec()
            seconds.observe(time.perf_counter() - began)
        metrics.REQUESTS.labels(method, refusal[0].name).inc()
        # gRPC keeps what `abort` raises with the call, and so its traceback, with all frames and
        # what they hold. Aborting here, outside the handlers above and without request and context,
        # leaves no cycle: else 100 refused requests of a megabyte would hold 100 MB until the
        # garbage collector comes by.
        try:
            await context.abort(*refusal)
        finally:
            del request, context

    return bounded


def _decoded(answer: Answer, decode: Callable[[bytes], Any]) -> Answer:
    async def decoded(request: bytes, context: Any) -> Any:
        try:
            message = decode(request)
        except DecodeError as error:
            raise _undecodable(len(request)) from error
        return await answer(message, context)

    return decoded


def _decoded_stream(answer: Answer, decode: Callable[[bytes], Any], idle_s: float) -> Answer:
    async def decoded(requests: AsyncIterator[bytes], context: Any) -> Any:
        return await answer(_messages(requests, decode, idle_s), context)

    return decoded


async def _messages(
    requests: AsyncIterator[bytes], decode: Callable[[bytes], Any], idle_s: float
) -> AsyncIterator[Any]:
    """The messages of a stream, no faster than the caller's rate limit allows.

    Not reading on slows the sender down, which serves a bulk load better than a refusal.
    """
    caller = CALLER.get()
    stream = aiter(requests)
    while True:
        try:
            async with asyncio.timeout(idle_s):
                request = await anext(stream, None)
        except TimeoutError:
            raise DeadlineError(
                f"no message for {idle_s:g} s on this stream; end it, and begin another when "
                "there is more to send"
            ) from None
        if request is None:
            return
        if caller is not None:
            await _charged(caller)
        try:
            message = decode(request)
        except DecodeError as error:
            raise _undecodable(len(request)) from error
        yield message


async def _charged(caller: Caller) -> None:
    while True:
        try:
            return caller.charge()
        except RateLimitedError as error:
            await asyncio.sleep(error.retry_after_s)


def _undecodable(length: int) -> InvalidInputError:
    return InvalidInputError(
        "request",
        f"these {length} bytes are not the message of this call; is the client's .proto of "
        "package hemline.v1?",
    )
