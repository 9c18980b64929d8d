"""Takes calls from the network, in place of gRPC's own thread, and refuses at a lower price.

gRPC's thread makes of each call, of a refused one too, a state with locks, a batch of operations
and a second event that says that these are done, and for each step it needs the interpreter, in
which the event loop is at work. At five times what can be answered, that takes more of the
processor than is left. Here,

- a call that is one too many is cancelled with its status as soon as it is known which method it is
  for. C-core needs no more to tell the caller, and there is no second event;
- a unary call that is answered on the event loop goes there without a thread of its own
  (`hemline.unary_call`);
- when all that has come was refused, there is nothing to take before a call has ended: the thread
  waits for that, a few milliseconds at most, and then refuses many calls at a time.

The rest goes the way of `grpc._server`, on whose private parts this stands. grpcio is pinned, and
`tests/unit/test_taking_calls.py` fails if another version behaves differently.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

import grpc
from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from hemline.unary_call import Answerer, UnaryCall

REFUSED = "too many calls are under way; try again later"
FULL_S = 0.003  # refusals wait so long at most, for others to be refused with
_EVENT_S = 0.2  # then look whether anybody holds the server still, as gRPC's own thread does


class Doorkeeper(Protocol):
    """Says who may come in."""

    def lets_in(self, method: str) -> bool:
        """Count a call of "/package.Service/Method" in, or refuse it."""

    def answerer(self, method: str) -> Answerer | None:
        """What answers the calls of a method on the event loop; None: gRPC's threads do it."""

    def wait_for_room(self, most_s: float) -> None:
        """Return when a call has ended, at the latest after so many seconds."""


def start_taking(server: grpc.Server, doorkeeper: Doorkeeper) -> None:
    """Start a server, whose ports and methods have been added."""
    state: Any = server._state  # type: ignore[attr-defined]
    with state.lock:
        state.server.start()
        state.stage = _server._ServerStage.STARTED
        for method in state.registered_method_handlers:
            _server._request_registered_call(state, method)
        _server._request_call(state)
    threading.Thread(
        target=_take, args=(state, doorkeeper), name="taking calls", daemon=True
    ).start()


def _take(state: Any, doorkeeper: Doorkeeper) -> None:
    only_refused = False  # calls, since this thread last waited
    goes_on = True
    while goes_on:
        event = state.completion_queue.poll(time.time() + (0.0 if only_refused else _EVENT_S))
        if state.server_deallocated:
            _server._begin_shutdown_once(state)
        if event.completion_type == cygrpc.CompletionType.queue_timeout:
            if only_refused:
                doorkeeper.wait_for_room(FULL_S)
                only_refused = False
        elif event.success and not doorkeeper.lets_in(event.tag):
            goes_on = _refuse(state, event)
            only_refused = True
        elif event.success and (method := doorkeeper.answerer(event.tag)):
            goes_on = _begin(state, event, method)
            only_refused = False
        else:
            goes_on = _server._process_event_and_continue(state, event)
            only_refused = only_refused and type(event.tag) is not str
        event = None  # gRPC: a call kept over the next poll can make that spin


def _refuse(state: Any, event: Any) -> bool:
    event.call.cancel(cygrpc.StatusCode.resource_exhausted, REFUSED)
    return _ask_for_another(state, event)


def _begin(state: Any, event: Any, method: Answerer) -> bool:
    call = UnaryCall(event, method)
    with state.lock:
        state.rpc_states.add(call)  # the server does not end before it has
        call.begin()
        return _ask_for_another(state, event)


def _ask_for_another(state: Any, event: Any) -> bool:
    with state.lock:
        state.due.remove(event.tag)
        if state.stage is _server._ServerStage.STARTED:
            _server._request_registered_call(state, event.tag)
            return True
        return not _server._stop_serving(state)
