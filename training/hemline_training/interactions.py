"""A user-item event log in columns, and the histories cut out of it.

Events lie sorted by user and, within a user, oldest first; all ragged data here is (indptr, values)
as in a CSR matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.user_profile import (
    EVENT_WEIGHT,
    MS_PER_DAY,
    RECENCY_HALF_LIFE_DAYS,
    RECENCY_PER_EVENT,
)
from hemline.user_state import MAX_HISTORY
from hemline.vectors import F32, normalise

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

KINDS = tuple(EVENT_WEIGHT)
GRADE = np.array([EVENT_WEIGHT[kind] for kind in KINDS])
LIKED_GRADE = EVENT_WEIGHT["click"]  # from here on an event says "liked"; a view does not

SIMULATED = b"hemline.simulated"


@dataclass(frozen=True)
class Interactions:
    """Who did what with which item, and when.

    users int32 (e,), indices into user_ids; rows int32 (e,), catalogue rows; kinds int8 (e,),
    indices into KINDS; occurred_ms int64 (e,); sessions int32 (e,). `user_ids` also names users
    without any event. `about` describes the log in the manifest ({"simulated": true, ...}).
    """

    users: I32
    rows: I32
    kinds: npt.NDArray[np.int8]
    occurred_ms: I64
    sessions: I32
    user_ids: Sequence[str]
    n_items: int
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def indptr(self) -> I64:
        """int64 (users + 1,): the events of user u are indptr[u]:indptr[u + 1]."""
        return np.searchsorted(self.users, np.arange(len(self.user_ids) + 1))

    @property
    def grades(self) -> F32:
        return GRADE[self.kinds].astype(np.float32)

    def select(self, mask: npt.NDArray[np.bool_]) -> Interactions:
        return replace(
            self,
            users=self.users[mask],
            rows=self.rows[mask],
            kinds=self.kinds[mask],
            occurred_ms=self.occurred_ms[mask],
            sessions=self.sessions[mask],
        )

    def before(self, cutoff_ms: int) -> Interactions:
        """The events with occurred_ms < cutoff_ms."""
        return self.select(self.occurred_ms < cutoff_ms)

    def between(self, start_ms: int, end_ms: int) -> Interactions:
        """The events with start_ms <= occurred_ms < end_ms."""
        return self.select((self.occurred_ms >= start_ms) & (self.occurred_ms < end_ms))

    def histories(self, users: npt.ArrayLike | None = None, limit: int = MAX_HISTORY) -> Histories:
        """The last `limit` events of each of `users` (default: of every user, in order).

        The default limit is what serving remembers.
        """
        chosen = np.arange(len(self.user_ids)) if users is None else np.asarray(users, np.int64)
        return cut_histories(self, chosen, self.indptr[chosen + 1], limit)

    def to_table(self, item_ids: Sequence[str]) -> pa.Table:
        """Columns user_id, item_id, kind, occurred_ms, session_id; in time order, by user on ties.

        The schema's metadata says whether the log is simulated.
        """
        order = np.lexsort((np.arange(len(self)), self.occurred_ms))
        simulated = str(bool(self.about.get("simulated", False))).lower()
        columns = {
            "user_id": _take(self.user_ids, self.users[order]),
            "item_id": _take(item_ids, self.rows[order]),
            "kind": _take(KINDS, self.kinds[order]),
            "occurred_ms": pa.array(self.occurred_ms[order]),
            "session_id": pc.cast(pa.array(self.sessions[order]), pa.string()),
        }
        return pa.table(columns).replace_schema_metadata({SIMULATED: simulated.encode()})

    @classmethod
    def from_table(cls, table: pa.Table, item_ids: Sequence[str]) -> Interactions:
        """The inverse of `to_table`; events on items outside `item_ids` are left out and counted
        in about["unknown_items"]. session_id may be missing.

        Raises InvalidInputError naming a missing column or an unknown kind.
        """
        for name in ("user_id", "item_id", "kind", "occurred_ms"):
            if name not in table.column_names:
                raise InvalidInputError(name, "the event log lacks this column")
        rows = _codes(table["item_id"], item_ids)
        kinds = _codes(table["kind"], KINDS)
        if (kinds < 0).any():
            kind = table["kind"][int(np.argmax(kinds < 0))].as_py()
            raise InvalidInputError("kind", f"{kind!r} is none of {', '.join(KINDS)}")
        user_ids = sorted(pc.unique(table["user_id"]).to_pylist())
        users = _codes(table["user_id"], user_ids)
        occurred_ms = table["occurred_ms"].to_numpy().astype(np.int64)
        sessions = np.zeros(len(users), dtype=np.int32)
        if "session_id" in table.column_names:
            named = pc.unique(table["session_id"]).to_pylist()
            sessions = _codes(table["session_id"], named)
        known = rows >= 0
        simulated = (table.schema.metadata or {}).get(SIMULATED) == b"true"
        about = {"simulated": simulated, "unknown_items": int((~known).sum())}
        return cls.sorted(
            users[known],
            rows[known],
            kinds[known].astype(np.int8),
            occurred_ms[known],
            sessions[known],
            user_ids,
            len(item_ids),
            about,
        )

    @classmethod
    def sorted(
        cls,
        users: I32,
        rows: I32,
        kinds: npt.NDArray[np.int8],
        occurred_ms: I64,
        sessions: I32,
        user_ids: Sequence[str],
        n_items: int,
        about: dict[str, Any],
    ) -> Interactions:
        """Interactions of events in any order; events of one user at one time keep theirs."""
        order = np.lexsort((occurred_ms, users))
        return cls(
            users[order].astype(np.int32),
            rows[order].astype(np.int32),
            kinds[order],
            occurred_ms[order],
            sessions[order].astype(np.int32),
            user_ids,
            n_items,
            about,
        )


@dataclass(frozen=True)
class Histories:
    """Many histories, each oldest event first: history b is indptr[b]:indptr[b + 1]."""

    indptr: I64  # (b + 1,)
    rows: I32  # (t,)
    kinds: npt.NDArray[np.int8]  # (t,)
    occurred_ms: I64  # (t,)
    n_items: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def part(self, start: int, stop: int) -> Histories:
        """Histories start to stop (exclusive)."""
        events = slice(self.indptr[start], self.indptr[stop])
        return Histories(
            self.indptr[start : stop + 1] - self.indptr[start],
            self.rows[events],
            self.kinds[events],
            self.occurred_ms[events],
            self.n_items,
        )

    @cached_property
    def owner(self) -> I64:
        """int64 (t,): which history each event belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    @cached_property
    def weights(self) -> F32:
        """`user_profile.profile_weights` of every history at once, float32 (t,)."""
        lengths = np.diff(self.indptr)
        newest = self.occurred_ms[self.indptr[1:][lengths > 0] - 1]
        age_days = (np.repeat(newest, lengths[lengths > 0]) - self.occurred_ms) / MS_PER_DAY
        later = self.indptr[1:][self.owner] - 1 - np.arange(len(self.rows))
        recency = 0.5 ** (age_days / RECENCY_HALF_LIFE_DAYS) * RECENCY_PER_EVENT**later
        return np.asarray(GRADE[self.kinds] * recency, dtype=np.float32)

    @cached_property
    def seen(self) -> csr_matrix:
        """(b, n_items), nonzero where the history touches the item."""
        return self._matrix(np.ones(len(self.rows), np.float32))

    @cached_property
    def item_weights(self) -> csr_matrix:
        """float32 (b, n_items): the profile weights summed per item."""
        return self._matrix(self.weights)

    def _matrix(self, values: F32) -> csr_matrix:
        shape = (len(self), self.n_items)
        matrix = csr_matrix((values, self.rows, self.indptr), shape=shape, copy=True)
        matrix.sum_duplicates()
        return matrix

    @cached_property
    def known_items(self) -> I64:
        """int64 (b,): distinct items of each history, what `hemline.blend.segment_of` takes."""
        return np.asarray(np.diff(self.seen.indptr), dtype=np.int64)

    def profiles(self, content: F32) -> tuple[F32, npt.NDArray[np.bool_]]:
        """`user_profile.profile_vector` of every history at once.

        Returns float32 (b, clip_dim), unit norm, and bool (b,), False where there is no profile
        (its vector is then zero).
        """
        shape = (len(self), self.n_items)
        mean = csr_matrix((self.weights, self.rows, self.indptr), shape=shape) @ content
        total = np.bincount(self.owner, weights=np.abs(self.weights), minlength=len(self))
        liked = np.bincount(self.owner, weights=self.weights > 0, minlength=len(self)) > 0
        known = liked & (np.linalg.norm(mean, axis=1) > 1e-6 * total)
        return normalise(np.where(known[:, None], mean, np.float32(0))), known


def cut_histories(log: Interactions, users: I64, ends: I64, limit: int | I64) -> Histories:
    """The events of users[b] up to (not including) event index ends[b], the last `limit` of them.

    users: int (b,). ends: int (b,), indices into the log within the user's own events. limit: one
    for all, or int (b,).
    """
    starts = np.maximum(log.indptr[users], ends - limit)
    take, indptr = ranges(starts, ends)
    return Histories(indptr, log.rows[take], log.kinds[take], log.occurred_ms[take], log.n_items)


def ranges(starts: I64, ends: I64) -> tuple[I64, I64]:
    """The concatenated ranges starts[b]:ends[b] and their indptr, both int64."""
    lengths = ends - starts
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    offset = np.repeat(starts - indptr[:-1], lengths)
    return np.asarray(np.arange(indptr[-1]) + offset), indptr


def _take(values: Sequence[str], codes: npt.NDArray[Any]) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(codes))


def _codes(column: pa.ChunkedArray, values: Sequence[str]) -> I32:
    found = pc.index_in(column, value_set=pa.array(values, column.type))
    return np.asarray(found.fill_null(-1).to_numpy(), dtype=np.int32)
