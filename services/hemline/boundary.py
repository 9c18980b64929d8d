"""What every call to a server passes: may the caller, is it a message, how long did it take, and
which status did an error become.

Requests come here as bytes and are decoded after the caller was let in, so that strangers cost no
decoding, and bytes that are no message are the caller's mistake, not the server's.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError

from hemline import metrics
from hemline.errors import (
    DeadlineError,
    HemlineError,
    InvalidInputError,
    RateLimitedError,
)
from hemline.statuses import details_of, message_of, status_of

logger = logging.getLogger(__name__)

_SAY_EVERY_S = 10.0
_said_at: dict[str, float] = {}  # what callers are told -> when its reason was logged last

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


@dataclass(frozen=True)
class Call:
    """What a servicer may ask about the call it answers."""

    metadata: Metadata
    ends: float | None  # when the caller stops waiting, by time.monotonic(); None: never

    def time_remaining(self) -> float | None:
        """Seconds until the caller stops waiting; None for a caller without a deadline."""
        return None if self.ends is None else max(0.0, self.ends - time.monotonic())


class RefusedError(Exception):
    """A call that ends with this status, not OK."""

    def __init__(self, code: grpc.StatusCode, message: str, details: Metadata = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


Unary = Callable[[bytes, Call], Awaitable[Any]]
Blocking = Callable[[bytes, Call], Any]
Streamed = Callable[[AsyncIterator[bytes], Call], Awaitable[Any]]


class Boundary:
    """Makes of a servicer's methods what a server can call.

    admission: who may call what; None: anybody anything. stream_idle_s: a stream on which nothing
    comes for so long is ended.
    """

    def __init__(self, admission: Admission | None = None, stream_idle_s: float = 120.0) -> None:
        self._admission = admission
        self._stream_idle_s = stream_idle_s

    def unary(self, method: str, answer: Any, decode: Callable[[bytes], Any]) -> Unary:
        """A bounded `async answer(message, call)`. It raises RefusedError and nothing else.

        method: "package.Service/Method". decode: bytes to message, raising DecodeError.
        """

        async def decoded(request: bytes, call: Call) -> Any:
            return await answer(_decoded(request, decode), call)

        return self._bounded(method, decoded, charged=True)

    def blocking(self, method: str, answer: Any, decode: Callable[[bytes], Any]) -> Blocking:
        """The same for a plain function, which is answered where it is called."""
        bounds = self._bounds(method)

        def bounded(request: bytes, call: Call) -> Any:
            with bounds(call, True):
                return answer(_decoded(request, decode), call)

        return bounded

    def streamed(self, method: str, answer: Any, decode: Callable[[bytes], Any]) -> Streamed:
        """The same for a stream of messages, which are decoded and charged one by one."""

        async def decoded(requests: AsyncIterator[bytes], call: Call) -> Any:
            return await answer(_messages(requests, decode, self._stream_idle_s), call)

        return self._bounded(method, decoded, charged=False)

    def _bounded(
        self, method: str, answer: Callable[[Any, Call], Awaitable[Any]], charged: bool
    ) -> Callable[[Any, Call], Awaitable[Any]]:
        bounds = self._bounds(method)

        async def bounded(request: Any, call: Call) -> Any:
            with bounds(call, charged):
                return await answer(request, call)

        return bounded

    def _bounds(self, method: str) -> Callable[[Call, bool], AbstractContextManager[None]]:
        """What surrounds each answer: the caller let in, the call counted, errors made statuses."""
        guard = self._admission.guard(method) if self._admission else None
        seconds = metrics.REQUEST_SECONDS.labels(method)
        answered_ok = metrics.REQUESTS.labels(method, "OK")

        @contextmanager
        def bounds(call: Call, charged: bool) -> Iterator[None]:
            began = time.perf_counter()
            metrics.REQUESTS_IN_FLIGHT.inc()
            known = None
            try:
                if guard is not None:
                    caller = guard(call.metadata)
                    known = CALLER.set(caller)
                    if charged:
                        caller.charge()
                yield
                answered_ok.inc()
            except HemlineError as error:
                raise refusal(method, error) from error
            except asyncio.CancelledError:
                metrics.REQUESTS.labels(method, "CANCELLED").inc()
                raise
            except Exception as error:
                metrics.REQUESTS.labels(method, "INTERNAL").inc()
                logger.exception("%s failed", method)
                raise RefusedError(
                    grpc.StatusCode.INTERNAL, "internal error; see the server's log"
                ) from error
            finally:
                if known is not None:
                    CALLER.reset(known)  # a thread answers for others next
                metrics.REQUESTS_IN_FLIGHT.dec()
                seconds.observe(time.perf_counter() - began)

        return bounds


def refusal(method: str, error: HemlineError) -> RefusedError:
    """The status that an error becomes, counted."""
    code = status_of(error)
    metrics.REQUESTS.labels(method, code.name).inc()
    if error.public != str(error):
        _keep_in_log(method, error)
    return RefusedError(code, message_of(error), details_of(error))


def _keep_in_log(method: str, error: HemlineError) -> None:
    """What the caller is not told; now and then, for in an outage every call has the same."""
    now = time.monotonic()
    if now >= _said_at.get(error.public, -math.inf) + _SAY_EVERY_S:
        _said_at[error.public] = now
        logger.warning("%s: callers are told %r, because: %s", method, error.public, error)


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
        yield _decoded(request, decode)


async def _charged(caller: Caller) -> None:
    while True:
        try:
            return caller.charge()
        except RateLimitedError as error:
            await asyncio.sleep(error.retry_after_s)


def _decoded(request: bytes, decode: Callable[[bytes], Any]) -> Any:
    try:
        return decode(request)
    except DecodeError as error:
        raise InvalidInputError(
            "request",
            f"these {len(request)} bytes are not the message of this call; is the client's .proto "
            "of package hemline.v1?",
        ) from error
