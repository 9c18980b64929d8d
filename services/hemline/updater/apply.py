"""What records of the event log do to a shopper's state. Pure, and harmless twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from google.protobuf.message import DecodeError

from hemline.errors import HemlineError, InvalidInputError
from hemline.event_log import Position, Record
from hemline.lineage import Lineage
from hemline.user_profile import EVENT_WEIGHT
from hemline.user_state import (
    MAX_HISTORY,
    MAX_ITEM_ID_BYTES,
    MAX_RECENT_EVENTS,
    MAX_VECTOR_DIM,
    ImportedHistory,
    Interaction,
    UserState,
    event_hash,
)
from hemline.v1 import event_pb2
from hemline.vectors import unpack_f32
from hemline.wire import EVENT_KIND_NAMES

_KINDS = {kind: name for kind, name in EVENT_KIND_NAMES.items() if name in EVENT_WEIGHT}


class OvertakenError(HemlineError):
    """A state was written in a later lineage than ours: somebody has begun to rebuild the store."""

    def __init__(self, lineage_id: int) -> None:
        self.lineage_id = lineage_id
        super().__init__(f"the store is being built anew, in lineage {lineage_id}")


class Change(NamedTuple):
    """One record that was decoded: an interaction, or an import.

    event_hash: of the event's or the import's id. accepted_ms: when the gateway had it, Unix time.
    value: the record as it was logged.
    """

    position: Position
    event_hash: int
    accepted_ms: int
    value: bytes
    interaction: Interaction | None
    imported: event_pb2.LoggedImport | None


def decode_record(record: Record, clip_dims: Mapping[str, int]) -> Change:
    """The change in a log record.

    clip_dims: dimensions of the encoders that are known, by encoder_id.
    Raises InvalidInputError for bytes that are no event of the user the record is keyed by, for
    more bytes than a state has room for, or an import whose vector cannot be its encoder's.
    """
    try:
        message = event_pb2.EventRecord.FromString(record.value)
    except DecodeError as error:
        raise InvalidInputError("value", "is no EventRecord") from error
    which = message.WhichOneof("record")
    interaction, imported = None, None
    if which == "event":
        logged = message.event
        event, accepted_ms = logged.event, logged.accepted_ms
        event_id, item_id = event.event_id, event.item_id
        kind = _KINDS.get(event.kind)
        if kind is None:
            raise InvalidInputError("event.kind", f"{event.kind} is unknown")
        if len(item_id) * 4 > MAX_ITEM_ID_BYTES and len(item_id.encode()) > MAX_ITEM_ID_BYTES:
            raise InvalidInputError("event.item_id", f"is longer than {MAX_ITEM_ID_BYTES} bytes")
        whole = event.user_id == record.key and event_id and item_id
        interaction = Interaction(item_id, kind, event.occurred_ms)
    elif which == "history_import":
        imported = message.history_import
        event_id, accepted_ms = imported.import_id, imported.accepted_ms
        whole = imported.user_id == record.key and event_id and imported.encoder_id
        dim = clip_dims.get(imported.encoder_id, len(imported.vector) // 4)
        if dim > MAX_VECTOR_DIM:
            raise InvalidInputError("history_import.vector", f"has over {MAX_VECTOR_DIM} numbers")
        if len(unpack_f32(imported.vector, dim, "history_import.vector")) != 1:
            raise InvalidInputError(
                "history_import.vector", f"is not one vector of {dim} dimensions"
            )
    else:
        raise InvalidInputError("record", "holds neither an event nor an import")
    if not whole:
        raise InvalidInputError("record", "lacks an id, or is keyed by another user")
    position = Position(record.partition, record.offset)
    hashed = event_hash(event_id)
    return Change(position, hashed, accepted_ms, record.value, interaction, imported)


def base_state(state: UserState, lineage: Lineage) -> UserState:
    """What a change in this lineage starts from: the state itself; without its place in the log
    when that was another log; empty when it is of a lineage that was given up.

    Raises OvertakenError for a state of a later lineage.
    """
    if state.lineage == lineage.id:
        return state
    if lineage.covers(state.lineage):
        return replace(state, applied=None)
    if state.lineage > lineage.id:
        raise OvertakenError(state.lineage)
    return UserState(state.user_id, state.version, erased_ms=state.erased_ms)


def apply_changes(
    state: UserState, changes: Sequence[Change], lineage: Lineage
) -> tuple[UserState, int]:
    """The state after these changes, in the order of the log, and how many of them were new.

    With none it is `state` itself.

    A record that was delivered before is known by its position, an event that a client sent twice
    by its id, and what was accepted before the user was erased by its time. The user vector is left
    for the caller to compute, once for a whole batch. Raises OvertakenError.
    """
    base = base_state(state, lineage)
    history, imported, applied = list(base.history), base.imported, base.applied
    recent = list(base.recent_event_ids)
    known = set(recent)
    new = 0
    for change in changes:
        position = change.position
        if applied and applied[0] == position[0] and position[1] <= applied[1]:
            continue
        if change.event_hash in known or change.accepted_ms <= base.erased_ms:
            continue
        if change.interaction is not None:
            _insert(history, change.interaction)
        if change.imported is not None:
            imported = _with_import(imported, change.imported)
        applied = position
        new += 1
        known.add(change.event_hash)
        recent.append(change.event_hash)
        if len(recent) > MAX_RECENT_EVENTS:
            known.discard(recent.pop(0))
    if not new:
        return state, 0
    after = UserState(
        user_id=base.user_id,
        version=base.version,
        history=tuple(history),
        recent_event_ids=tuple(recent),
        applied=applied,
        imported=imported,
        lineage=lineage.id,
        erased_ms=base.erased_ms,
    )
    return after, new


def _insert(history: list[Interaction], new: Interaction) -> None:
    """One event more, oldest first whatever order the events arrived in."""
    place = len(history)
    while place and history[place - 1].occurred_ms > new.occurred_ms:
        place -= 1
    history.insert(place, new)
    if len(history) > MAX_HISTORY:
        del history[0]


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
