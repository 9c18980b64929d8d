"""One unary call that was let in: its request to the event loop, the loop's answer to the caller.

`grpc._server` gives each call a thread, which waits for the request, waits while a coroutine
answers it on the loop, and sends the answer: three turns of a thread for which the loop has to
pause. Here the thread that takes calls hands the request on to the loop, and the loop sends its
answer itself.

C-core tells the end of three things, always in the thread that takes calls: that the request was
received, that the answer was sent, and that the call is closed. After the third, nothing is left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
from grpc import _common
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from hemline.boundary import RefusedError

logger = logging.getLogger(__name__)

_CODES = _common.STATUS_CODE_TO_CYGRPC_STATUS_CODE
_OK = _CODES[grpc.StatusCode.OK]
_NO_FLAGS = 0
_RECEIVED, _SENT, _CLOSED = 1, 2, 4
_ENDED = _RECEIVED | _SENT | _CLOSED

Answer = Callable[[bytes, Any], Awaitable[bytes]]


class Answerer(Protocol):
    """A method, as its calls know it."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    async def answer(self, request: bytes, call: UnaryCall) -> bytes:
        """The encoded answer. Raises RefusedError."""

    def ended(self) -> None:
        """Told once of every call, when its answer is on its way or nobody waits for it."""


class UnaryCall:
    """A call of a method, from the event that says it has come."""

    __slots__ = ("_call", "_done", "_gone", "_method", "_task", "deadline", "metadata", "received")

    def __init__(self, event: Any, method: Answerer) -> None:
        """event: a RequestCallEvent of C-core."""
        self.metadata = event.invocation_metadata
        self.deadline: float = event.call_details.deadline  # by time.time()
        self._call = event.call
        self._method = method
        self._done = 0
        self._gone = False
        self.received = 0.0  # when its request was, by time.perf_counter()
        self._task: asyncio.Task[None] | None = None  # while it answers

    def begin(self) -> None:
        """Ask C-core for the request, and to be told when the caller goes away."""
        start = self._call.start_server_batch
        start((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), self._closed)
        start((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), self._received)

    def _received(self, event: Any) -> Any:
        request = event.batch_operations[0].message()
        if request is None:  # the caller went away, or has none
            self._refuse(grpc.StatusCode.UNIMPLEMENTED, "this call has exactly one request")
            self._method.ended()
        else:
            self.received = time.perf_counter()
            try:
                self._method.loop.call_soon_threadsafe(self._start, request)
            except RuntimeError:  # the loop is closed
                self._refuse(grpc.StatusCode.UNAVAILABLE, "this server has stopped")
                self._method.ended()
        return self._is_done(_RECEIVED)

    def _closed(self, event: Any) -> Any:
        if event.batch_operations[0].cancelled() and not self._done & _SENT:
            try:
                self._method.loop.call_soon_threadsafe(self._cancel)
            except RuntimeError:
                logger.debug("nobody to be told that a caller went away: the loop is closed")
        return self._is_done(_CLOSED)

    def _sent(self, _: Any) -> Any:
        return self._is_done(_SENT)

    def _is_done(self, part: int) -> Any:
        """What `grpc._server` asks of tags: the call, if that was the last of it; what to call."""
        self._done |= part
        return (self if self._done == _ENDED else None), ()

    def _start(self, request: bytes) -> None:
        # Held by the loop until it begins, and from then on by `_task`.
        self._method.loop.create_task(self._answer(request))

    def _cancel(self) -> None:
        self._gone = True
        if self._task is not None:  # cancelled before it begins, it would never send anything
            self._task.cancel()

    async def _answer(self, request: bytes) -> None:
        self._task = asyncio.current_task()
        try:
            if self._gone:
                raise asyncio.CancelledError
            answer = await self._method.answer(request, self)
            self._send(
                cygrpc.SendMessageOperation(answer, _NO_FLAGS),
                cygrpc.SendStatusFromServerOperation(None, _OK, b"", _NO_FLAGS),
            )
        except RefusedError as error:
            self._refuse(error.code, error.message, error.details)
        except asyncio.CancelledError:
            self._refuse(grpc.StatusCode.CANCELLED, "nobody waits for the answer")
        except Exception:
            logger.exception("an answer was not sent")
            self._refuse(grpc.StatusCode.INTERNAL, "internal error; see the server's log")
        finally:
            self._task = None
            self._method.ended()

    def _refuse(self, code: grpc.StatusCode, message: str, details: Any = ()) -> None:
        status = cygrpc.SendStatusFromServerOperation(
            tuple(details) or None, _CODES[code], message.encode(), _NO_FLAGS
        )
        self._send(status)

    def _send(self, *operations: Any) -> None:
        headers = cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)
        self._call.start_server_batch((headers, *operations), self._sent)
