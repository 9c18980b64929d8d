"""What one record of the event log does to a shopper's state. Pure, and harmless twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from google.protobuf.message import DecodeError

from hemline.errors import InvalidInputError
from hemline.event_log import Position, Record
from hemline.user_profile import EVENT_WEIGHT
from hemline.user_state import (
    MAX_HISTORY,
    MAX_RECENT_EVENTS,
    ImportedHistory,
    Interaction,
    UserState,
    event_hash,
)
from hemline.v1 import event_pb2
from hemline.vectors import unpack_f32
from hemline.wire import EVENT_KIND_NAMES


def decode_record(record: Record, clip_dims: Mapping[str, int]) -> event_pb2.EventRecord:
    """The message in a log record.

    clip_dims: dimensions of the encoders that are known, by encoder_id.
    Raises InvalidInputError for bytes that are no event of the user the record is keyed by, or an
    import whose vector cannot be its encoder's.
    """
    try:
        message = event_pb2.EventRecord.FromString(record.value)
    except DecodeError as error:
        raise InvalidInputError("value", "is no EventRecord") from error
    kind = message.WhichOneof("record")
    if kind == "event":
        event = message.event.event
        if EVENT_KIND_NAMES.get(event.kind) not in EVENT_WEIGHT:
            raise InvalidInputError("event.kind", f"{event.kind} is unknown")
        user_id, must_have = event.user_id, (event.event_id, event.item_id)
    elif kind == "history_import":
        imported = message.history_import
        user_id, must_have = imported.user_id, (imported.import_id, imported.encoder_id)
        dim = clip_dims.get(imported.encoder_id, len(imported.vector) // 4)
        if len(unpack_f32(imported.vector, dim, "history_import.vector")) != 1:
            raise InvalidInputError(
                "history_import.vector", f"is not one vector of {dim} dimensions"
            )
    else:
        raise InvalidInputError("record", "holds neither an event nor an import")
    if user_id != record.key or not all(must_have):
        raise InvalidInputError("record", "lacks an id, or is keyed by another user")
    return message


def apply_record(
    state: UserState, message: event_pb2.EventRecord, position: Position
) -> UserState | None:
    """The state after a record, or None when the state already holds it.

    A record that was delivered before is known by its position, an event that a client sent twice
    by its id. The user vector is left for the caller to compute, once for a whole batch.
    """
    done = state.applied
    if done and done.partition == position.partition and position.offset <= done.offset:
        return None
    if message.WhichOneof("record") == "event":
        event = message.event.event
        if state.seen_event(event.event_id):
            return None
        clicked = Interaction(event.item_id, EVENT_KIND_NAMES[event.kind], event.occurred_ms)
        changed = replace(state, history=_in_order(state.history, clicked))
        event_id = event.event_id
    else:
        logged = message.history_import
        if state.seen_event(logged.import_id):
            return None
        changed = replace(state, imported=_with_import(state.imported, logged))
        event_id = logged.import_id
    recent = (*state.recent_event_ids, event_hash(event_id))[-MAX_RECENT_EVENTS:]
    return replace(changed, recent_event_ids=recent, applied=position)


def _in_order(history: tuple[Interaction, ...], new: Interaction) -> tuple[Interaction, ...]:
    """The history with one more event, oldest first whatever order the events arrived in."""
    place = len(history)
    while place and history[place - 1].occurred_ms > new.occurred_ms:
        place -= 1
    return (*history[:place], new, *history[place:])[-MAX_HISTORY:]


def _with_import(before: ImportedHistory | None, logged: event_pb2.LoggedImport) -> ImportedHistory:
    vector = unpack_f32(logged.vector, len(logged.vector) // 4)[0]
    if before is None or logged.replace or before.encoder_id != logged.encoder_id:
        return ImportedHistory(
            logged.encoder_id, vector, logged.weight, logged.items, logged.accepted_ms
        )
    return ImportedHistory(
        encoder_id=logged.encoder_id,
        vector=before.vector + vector,
        weight=before.weight + logged.weight,
        items=before.items + logged.items,
        imported_ms=logged.accepted_ms,
    )
