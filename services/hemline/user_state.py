"""What Hemline remembers of a shopper, and the store that keeps it.

A small interface that an embedded SQLite store (`hemline.sqlite_user_state`) and Redis both fit;
tests/contracts/user_state_contract.py holds every implementation to it. States are values: the
updater makes a new one and asks the store to put it in the place of the one it read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np
from google.protobuf.message import DecodeError

from hemline.errors import HemlineError, InvalidInputError
from hemline.event_log import Position
from hemline.lineage import Lineage, Progress
from hemline.v1 import user_state_pb2 as pb
from hemline.vectors import F32, pack_f32, unpack_f32

MAX_HISTORY = 200  # newest interactions kept
MAX_RECENT_EVENTS = 512  # newest event ids kept, to make a client's retries harmless
SCHEMA_VERSION = 1
STATES_AWAY = "the user states cannot be reached just now; try again"

# The updater refuses what is larger, so that these and the counts above bound a user's record.
MAX_ITEM_ID_BYTES = 512  # 128 characters, which is what the gateway allows
MAX_VECTOR_DIM = 4096


class UnreadableStateError(HemlineError):
    """A stored record is damaged or of another version. It is left as it is, never reset."""

    def __init__(self, user_id: str, reason: str) -> None:
        self.user_hash = user_hash(user_id)
        super().__init__(f"the stored state of user {self.user_hash} is unreadable: {reason}")


class Interaction(NamedTuple):
    """One thing a shopper did. A NamedTuple, for a read makes up to MAX_HISTORY of them.

    kind: a key of hemline.user_profile.EVENT_WEIGHT. occurred_ms: Unix time in milliseconds.
    """

    item_id: str
    kind: str
    occurred_ms: int


@dataclass(frozen=True, eq=False)
class ImportedHistory:
    """Purchases on other platforms, folded into one vector.

    encoder_id: the CLIP that made the content vectors.
    vector: float32 (clip_dim,), the weighted sum (not mean) of the items' content vectors.
    weight: the sum of the weights. items: how many. imported_ms: Unix time of the last import.
    """

    encoder_id: str
    vector: F32
    weight: float
    items: int
    imported_ms: int

    def __eq__(self, other: object) -> bool:
        return _equal(self, other)


@dataclass(frozen=True, eq=False)
class UserVector:
    """The user tower's output: float32 (tower_dim,), unit norm, comparable within one release."""

    release: str
    vector: F32

    def __eq__(self, other: object) -> bool:
        return _equal(self, other)


@dataclass(frozen=True)
class UserState:
    """Everything stored of one shopper.

    version: how often the state was stored or erased; 0 means never.
    history: oldest first, at most MAX_HISTORY.
    recent_event_ids: `event_hash` of the events applied last, oldest first, at most
        MAX_RECENT_EVENTS: an event whose client sent it twice is applied once.
    applied: the last record of the event log that was applied: a record delivered twice is
        applied once.
    vector: None when it must be computed anew.
    lineage: the id of the `Lineage` it was written in; 0 for a state from before there were any.
    erased_ms: when the user was erased last, Unix time in milliseconds; 0 for never. Events
        accepted before then are not applied, not even by a rebuild from the log.
    """

    user_id: str
    version: int = 0
    history: tuple[Interaction, ...] = ()
    recent_event_ids: tuple[int, ...] = ()
    applied: Position | None = None
    imported: ImportedHistory | None = None
    vector: UserVector | None = None
    lineage: int = 0
    erased_ms: int = 0

    def seen_event(self, event_id: str) -> bool:
        """Whether the event is among the MAX_RECENT_EVENTS applied last."""
        return event_hash(event_id) in self.recent_event_ids


class UserStates(Protocol):
    """The store. Safe for any number of tasks and processes.

    Every method raises UnavailableError when the store cannot be reached, and InvalidInputError
    for a user id that is not valid Unicode.
    """

    async def get(self, user_id: str) -> UserState | None:
        """The state as last stored, or None for a user unknown or erased.

        Raises UnreadableStateError.
        """
        ...

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        """States to change: one for every id asked for, empty where nothing is stored.

        The empty state of an erased user carries `erased_ms` and the version that
        `compare_and_set` wants, which is why a change starts from here and not from `get`.
        Raises UnreadableStateError for the first that is; ask one by one to find the others.
        """
        ...

    async def compare_and_set(self, states: Sequence[UserState]) -> list[bool]:
        """Stores each state whose `version` is still the stored one, as version + 1.

        Each state stands or falls alone; it returns once all that fitted are durable. False
        marks the states that did not fit: somebody else stored or erased in between, read again.
        Raises ValueError, before storing any, for a state that could not be read back: a history
        or list of event ids that is too long, a vector that is not finite.
        OverloadedError when too many writes wait. UnavailableError leaves open whether the states
        were stored; repeating the call is harmless, for what was stored no longer fits.
        """
        ...

    async def erase(self, user_id: str) -> bool:
        """Removes all that is stored of the user; whether there was anything.

        What remains is `user_hash`, a version and the time, so that a change begun before the
        erasure can never bring the user back. Returns once no byte of the rest is left in the
        store's files.
        Raises UnavailableError when that could not be assured: repeat it.
        """
        ...

    async def check(self) -> None:
        """Whether the store can be used at all; to be asked when a process starts.

        Raises SetupError when somebody has to change something first (credentials, settings that
        would lose states, states of another version), UnavailableError when it is merely away.
        """
        ...

    async def progress(self) -> Progress | None:
        """What has been applied, see hemline.lineage; None when nothing says so: the store is new,
        or was lost."""
        ...

    async def begin(self, lineage: Lineage, instead_of: Lineage | None) -> bool:
        """Makes this the lineage, without positions; False when the stored one is no longer
        `instead_of`. The states stay as they are."""
        ...

    async def advance(self, lineage: Lineage, steps: Mapping[int, range]) -> bool:
        """Remembers that these offsets of each partition are applied; to be called after their
        states were stored. A position never moves back.

        False, and nothing is remembered, when another lineage is stored, or when a position lies
        before the start of its range: the store was lost, or fell back to an older copy.
        """
        ...

    async def close(self) -> None:
        """Finishes the writes that wait, then closes. Harmless twice."""
        ...


def user_hash(user_id: str) -> str:
    """What logs and errors call a user: 32 hexadecimal digits. A pseudonym, not anonymous: who has
    a list of user ids can look them up. Raises InvalidInputError for invalid Unicode."""
    try:
        return hashlib.blake2b(user_id.encode(), digest_size=16).hexdigest()
    except UnicodeEncodeError as error:
        raise InvalidInputError("user_id", "is not valid Unicode") from error


def event_hash(event_id: str) -> int:
    """The 64-bit hash kept of an event id. Raises InvalidInputError for invalid Unicode."""
    try:
        return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest(), "big")
    except UnicodeEncodeError as error:
        raise InvalidInputError("event_id", "is not valid Unicode") from error


def encode_user_state(state: UserState) -> bytes:
    """The record of a state, without version and erased_ms.

    Raises ValueError as `compare_and_set` says.
    """
    if len(state.history) > MAX_HISTORY or len(state.recent_event_ids) > MAX_RECENT_EVENTS:
        raise ValueError(f"{len(state.history)} interactions, {len(state.recent_event_ids)} ids")
    record = pb.StoredUserState(schema_version=SCHEMA_VERSION, user_id=state.user_id)
    record.lineage = state.lineage
    record.recent_event_ids.extend(state.recent_event_ids)
    if state.history:
        item_ids, kinds, occurred_ms = zip(*state.history, strict=True)
        names = {kind: index for index, kind in enumerate(dict.fromkeys(kinds))}
        record.history.item_ids.extend(item_ids)
        record.history.kinds.extend([names[kind] for kind in kinds])
        record.history.occurred_ms.extend(occurred_ms)
        record.history.kind_names.extend(names)
    if (applied := state.applied) is not None:
        record.applied.partition, record.applied.offset = applied
        record.applied.SetInParent()
    if (imported := state.imported) is not None:
        record.imported.encoder_id = imported.encoder_id
        record.imported.vector = _pack(imported.vector)
        record.imported.weight = imported.weight
        record.imported.items = imported.items
        record.imported.imported_ms = imported.imported_ms
    if state.vector is not None:
        record.vector.release = state.vector.release
        record.vector.vector = _pack(state.vector.vector)
    return record.SerializeToString()


def decode_user_state(user_id: str, version: int, data: bytes, erased_ms: int = 0) -> UserState:
    """The state in a record that `encode_user_state` made. Raises UnreadableStateError."""
    try:
        record = pb.StoredUserState.FromString(data)
        if record.schema_version != SCHEMA_VERSION:
            raise ValueError(f"schema {record.schema_version}, expected {SCHEMA_VERSION}")
        if record.user_id != user_id:
            raise ValueError(f"it belongs to user {user_hash(record.user_id)}")
        return UserState(
            user_id=user_id,
            version=version,
            history=_history(record.history) if record.HasField("history") else (),
            recent_event_ids=tuple(record.recent_event_ids[:]),
            applied=(
                Position(record.applied.partition, record.applied.offset)
                if record.HasField("applied")
                else None
            ),
            imported=_imported(record.imported) if record.HasField("imported") else None,
            vector=(
                UserVector(record.vector.release, _unpack(record.vector.vector))
                if record.HasField("vector")
                else None
            ),
            lineage=record.lineage,
            erased_ms=erased_ms,
        )
    except (DecodeError, ValueError, IndexError, InvalidInputError) as error:
        raise UnreadableStateError(user_id, str(error)) from error


def _history(history: pb.StoredHistory) -> tuple[Interaction, ...]:
    # Slices are lists: iterating over protobuf's own containers takes three times as long.
    names = history.kind_names[:]
    kinds = [names[index] for index in history.kinds[:]]
    rows = zip(history.item_ids[:], kinds, history.occurred_ms[:], strict=True)
    return tuple([Interaction(*row) for row in rows])


def _imported(record: pb.StoredImport) -> ImportedHistory:
    return ImportedHistory(
        record.encoder_id, _unpack(record.vector), record.weight, record.items, record.imported_ms
    )


def _pack(vector: F32) -> bytes:
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise ValueError("a vector is not a non-empty row of finite numbers")
    return pack_f32(vector)


def _unpack(data: bytes) -> F32:
    vector: F32 = unpack_f32(data, len(data) // 4)[0]  # read-only, as it is a view of `data`
    return vector


def _equal(a: object, b: object) -> bool:
    """Equality by value of dataclasses that hold arrays."""
    if type(a) is not type(b):
        return False
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)]  # type: ignore[arg-type]
    return all(
        np.array_equal(x, y) if isinstance(x, np.ndarray) else bool(x == y) for x, y in pairs
    )
