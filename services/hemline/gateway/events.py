"""One click, up to its acknowledgement: checked, given an id, and durably in the event log."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

from hemline import metrics
from hemline.errors import InvalidInputError
from hemline.event_log import EVENTS_TOPIC, EventLog, Position
from hemline.gateway.checks import check_text
from hemline.gateway.tenants import check_visible
from hemline.live_view import LiveView
from hemline.v1 import event_pb2
from hemline.wire import EVENT_KIND_NAMES, ItemIds

MAX_AHEAD_MS = 5 * 60 * 1000  # clocks of other machines may run a little fast
MAX_AGE_MS = 400 * 24 * 3600 * 1000
_ACCEPTED = {kind: metrics.EVENTS_ACCEPTED.labels(name) for kind, name in EVENT_KIND_NAMES.items()}


def checked_event(event: event_pb2.Event, catalogue: ItemIds, now_ms: int) -> event_pb2.Event:
    """A copy of the event with its id and time filled in.

    Raises InvalidInputError naming the field that is empty, too long, unknown or out of time.
    """
    check_text("event.user_id", event.user_id, most=128, least=1)
    check_text("event.item_id", event.item_id, most=128, least=1)
    check_text("event.event_id", event.event_id, most=64)
    check_text("event.session_id", event.session_id, most=128)
    check_text("event.request_id", event.request_id, most=128)
    if event.kind not in EVENT_KIND_NAMES:
        raise InvalidInputError(
            "event.kind", "must be one of " + ", ".join(EVENT_KIND_NAMES.values())
        )
    if event.item_id not in catalogue.row_of:
        raise InvalidInputError("event.item_id", f"unknown item {event.item_id!r}")
    if event.position < 0:
        raise InvalidInputError("event.position", "must not be negative")
    if event.occurred_ms:
        _check_time(event.occurred_ms, now_ms)
    checked = event_pb2.Event()
    checked.CopyFrom(event)
    checked.event_id = event.event_id or uuid.uuid4().hex
    checked.occurred_ms = event.occurred_ms or now_ms
    return checked


def _check_time(occurred_ms: int, now_ms: int) -> None:
    """A clock that is fast would put its events above all others for as long; they are refused, so
    that somebody mends it. One that is slow only makes its events look older, among themselves in
    their order: nothing can be told from an event that arrives late, and it is welcome."""
    if now_ms - MAX_AGE_MS <= occurred_ms <= now_ms + MAX_AHEAD_MS:
        return
    clocks = f"it says {_utc(occurred_ms)}, the gateway's clock {_utc(now_ms)}"
    if occurred_ms > now_ms:
        problem = (
            f"is {(occurred_ms - now_ms) / 1000:.0f} s in the future, at most "
            f"{MAX_AHEAD_MS // 1000} are allowed"
        )
    else:
        problem = "is more than 400 days ago"
    raise InvalidInputError(
        "event.occurred_ms", f"{problem}: {clocks}; set the clock that is wrong, or leave it out"
    )


def _utc(unix_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # no year of four digits
        return f"{unix_ms} ms"


async def record_event(
    event: event_pb2.Event, catalogue: LiveView, log: EventLog
) -> tuple[str, Position]:
    """Check an event and append it to the log; returns its id and place once it is durable.

    Raises InvalidInputError, OverloadedError or UnavailableError; the event is not acknowledged
    then, and the caller may send it again with the same event_id.
    """
    now_ms = int(time.time() * 1000)
    try:
        checked = checked_event(event, catalogue, now_ms)
        check_visible("event.item_id", event.item_id, catalogue)
    except InvalidInputError as error:
        metrics.EVENTS_REJECTED.labels(error.field).inc()
        raise
    record = event_pb2.EventRecord(event=event_pb2.LoggedEvent(event=checked, accepted_ms=now_ms))
    with metrics.PUBLISH_QUEUE.track_inprogress():
        position = await log.publish(EVENTS_TOPIC, checked.user_id, record.SerializeToString())
    _ACCEPTED[checked.kind].inc()
    return checked.event_id, position
