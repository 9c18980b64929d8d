"""One unary call that was let in: its request to the event loop, the loop's answer to the caller.

`grpc._server` gives each call a thread, which waits for the request, waits while a coroutine
answers it on the loop, and sends the answer: three turns of a thread for which the loop has to
pause. Here the thread that takes calls hands the request on to the loop, and the loop sends its
answer itself.

C-core tells the end of what it was asked for in the thread that takes calls, which has to wait for
the interpreter each time. So it is asked for little: for the request, and with the answer for the
end of the call. Only of a call that is not answered at once is it asked whether the caller is there
still.
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
WATCH_S = 0.05  # a call that takes so long is cancelled when its caller goes away

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

    __slots__ = (
        "_asked",
        "_call",
        "_method",
        "_task",
        "_watched",
        "deadline",
        "metadata",
        "received",
    )

    def __init__(self, event: Any, method: Answerer) -> None:
        """event: a RequestCallEvent of C-core."""
        self.metadata = event.invocation_metadata
        self.deadline: float = event.call_details.deadline  # by time.time()
        self._call = event.call
        self._method = method
        self._asked = 2  # things of C-core, the request and the end, that it has not told yet
        self._watched = False
        self.received = 0.0  # when its request was, by time.perf_counter()
        self._task: asyncio.Task[None] | None = None  # while it answers

    def begin(self) -> None:
        """Ask C-core for the request."""
        message = cygrpc.ReceiveMessageOperation(_NO_FLAGS)
        self._call.start_server_batch((message,), self._received)

    def _received(self, event: Any) -> Any:
        told = self._told()  # before the loop knows of the request, and asks for more
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
        return told

    def _closed(self, event: Any) -> Any:
        if event.batch_operations[0].cancelled():
            try:
                self._method.loop.call_soon_threadsafe(self._cancel)
            except RuntimeError:
                logger.debug("nobody to be told that a caller went away: the loop is closed")
        return self._told()

    def _ended(self, _: Any) -> Any:
        return self._told()

    def _told(self) -> Any:
        """What `grpc._server` asks of tags: the call, if that was the last of it; what to call."""
        self._asked -= 1
        return (None if self._asked else self), ()

    def _start(self, request: bytes) -> None:
        # Held by the loop until it begins, and from then on by `_task`.
        self._method.loop.create_task(self._answer(request))

    def _watch(self) -> None:
        """Ask to be told when the caller goes away."""
        self._watched = True
        self._asked += 1  # while C-core has nothing to tell: of the request it has told already
        close = cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)
        self._call.start_server_batch((close,), self._closed)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _answer(self, request: bytes) -> None:
        self._task = asyncio.current_task()
        watching = self._method.loop.call_later(WATCH_S, self._watch)
        try:
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
            watching.cancel()
            self._task = None
            self._method.ended()

    def _refuse(self, code: grpc.StatusCode, message: str, details: Any = ()) -> None:
        status = cygrpc.SendStatusFromServerOperation(
            tuple(details) or None, _CODES[code], message.encode(), _NO_FLAGS
        )
        self._send(status)

    def _send(self, *operations: Any) -> None:
        headers = cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)
        if not self._watched:
            operations = (*operations, cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS))
        self._call.start_server_batch((headers, *operations), self._ended)
