"""The embedded user state store: one SQLite file, for all processes of one machine.

A user's row is found by the hash of its id, so that the row of an erased user, a hash and a version
without a record, keeps nothing personal. What is deleted is overwritten with zeros in the file and
cut off the write-ahead log; copies that the file system or the disk made are beyond its reach.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hemline.errors import UnavailableError
from hemline.lineage import Lineage, Progress
from hemline.sqlite_database import FILE_AWAY, Database, sqlite_errors
from hemline.user_state import UserState, decode_user_state, encode_user_state, user_hash

_LINEAGE_TABLES = """
CREATE TABLE lineage (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id INTEGER NOT NULL,
    log TEXT NOT NULL,
    kept TEXT NOT NULL  -- ids, with spaces between
) STRICT;
CREATE TABLE positions (
    partition INTEGER PRIMARY KEY,
    offset INTEGER NOT NULL  -- of the next record to apply
) STRICT
"""
_ERASED_COLUMN = "ALTER TABLE users ADD COLUMN erased_ms INTEGER NOT NULL DEFAULT 0"
_SCHEMA = f"""
{_LINEAGE_TABLES};
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    user_hash BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    record BLOB,  -- a hemline.v1.StoredUserState; NULL: erased
    erased_ms INTEGER NOT NULL DEFAULT 0  -- Unix time of the last erasure; 0: never
) STRICT
"""
_GET = "SELECT version, record, erased_ms FROM users WHERE user_hash = ?"
_INSERT = "INSERT INTO users (user_hash, version, record) VALUES (?, 1, ?) ON CONFLICT DO NOTHING"
_UPDATE = "UPDATE users SET version = version + 1, record = ? WHERE user_hash = ? AND version = ?"
_ERASE = """
INSERT INTO users (user_hash, version, record, erased_ms) VALUES (?, 1, NULL, ?)
ON CONFLICT DO UPDATE SET version = version + 1, record = NULL, erased_ms = excluded.erased_ms
"""

_LINEAGE = "SELECT id FROM lineage"
_PROGRESS = "SELECT id, log, kept, partition, offset FROM lineage LEFT JOIN positions"
_ADVANCE = """
INSERT INTO positions (partition, offset) VALUES (?, ?)
ON CONFLICT DO UPDATE SET offset = max(offset, excluded.offset)
"""


class SqliteUserStates:
    """`hemline.user_state.UserStates` on the SQLite file at `path`, created when absent.

    `get` reads on the event loop, in tens of microseconds, without waiting for any writer;
    `get_many` reads on a thread, writes wait on the writer's.
    timeout_s: how long a write waits for writers of other processes.
    max_waiting, max_waiting_bytes: bounds of the queue of writes, beyond them OverloadedError.
    max_bytes: the most the file may grow to, beyond it writes raise UnavailableError.
    Raises UnavailableError when the file cannot be opened.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        timeout_s: float = 5.0,
        max_waiting: int = 1_000,
        max_waiting_bytes: int = 64 << 20,
        max_bytes: int | None = None,
    ) -> None:
        self._database = Database(
            Path(path),
            _SCHEMA,
            version=2,
            upgrades={1: f"{_LINEAGE_TABLES}; {_ERASED_COLUMN}"},
            timeout_s=timeout_s,
            max_waiting=max_waiting,
            max_waiting_bytes=max_waiting_bytes,
            max_bytes=max_bytes,
        )

    async def get(self, user_id: str) -> UserState | None:
        version, record, erased_ms = self._row(user_id)
        return None if record is None else decode_user_state(user_id, version, record, erased_ms)

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        return await asyncio.to_thread(self._read_many, tuple(user_ids))

    async def compare_and_set(self, states: Sequence[UserState]) -> list[bool]:
        rows = [(_key(s.user_id), s.version, encode_user_state(s)) for s in states]
        if not rows:
            return []

        def store(connection: sqlite3.Connection) -> list[bool]:
            return [_store(connection, *row) for row in rows]

        return await self._database.write(store, size=sum(len(record) for _, _, record in rows))

    async def erase(self, user_id: str) -> bool:
        key, now_ms = _key(user_id), time.time_ns() // 1_000_000

        def erase(connection: sqlite3.Connection) -> bool:
            row = connection.execute(_GET, (key,)).fetchone()
            connection.execute(_ERASE, (key, now_ms))
            return row is not None and row[1] is not None

        return await self._database.write(erase, scrub=True)

    async def check(self) -> None:
        self._database.reader()

    async def progress(self) -> Progress | None:
        reader = self._database.reader()
        with sqlite_errors(self._database.path):
            found = _read_progress(reader)
        return found

    async def begin(self, lineage: Lineage, instead_of: Lineage | None) -> bool:
        kept = " ".join(map(str, lineage.kept))

        def begin(connection: sqlite3.Connection) -> bool:
            row = connection.execute(_LINEAGE).fetchone()
            if (row and row[0]) != (instead_of and instead_of.id):
                return False
            connection.execute("DELETE FROM lineage")
            connection.execute("DELETE FROM positions")
            row = (lineage.id, lineage.log, kept)
            connection.execute("INSERT INTO lineage VALUES (1, ?, ?, ?)", row)
            return True

        return await self._database.write(begin)

    async def advance(self, lineage: Lineage, steps: Mapping[int, range]) -> bool:
        rows = [(partition, applied.stop) for partition, applied in steps.items()]

        def advance(connection: sqlite3.Connection) -> bool:
            found = _read_progress(connection)
            if found is None or found.lineage.id != lineage.id:
                return False
            if any(found.positions.get(p, 0) < applied.start for p, applied in steps.items()):
                return False
            connection.executemany(_ADVANCE, rows)
            return True

        return await self._database.write(advance)

    async def close(self) -> None:
        await self._database.close()

    def _read_many(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        states: dict[str, UserState] = {}
        for user_id in user_ids:
            version, record, erased_ms = self._row(user_id)
            states[user_id] = (
                UserState(user_id, version, erased_ms=erased_ms)
                if record is None
                else decode_user_state(user_id, version, record, erased_ms)
            )
        return states

    def _row(self, user_id: str) -> tuple[int, bytes | None, int]:
        """The stored version, 0 if never stored, the record, None if there is none, erased_ms."""
        key = _key(user_id)
        try:
            row = self._database.reader().execute(_GET, (key,)).fetchone()
        except sqlite3.Error as error:
            raise UnavailableError(f"{self._database.path}: {error}", public=FILE_AWAY) from error
        return (0, None, 0) if row is None else (row[0], row[1], row[2])


def _read_progress(connection: sqlite3.Connection) -> Progress | None:
    rows = connection.execute(_PROGRESS).fetchall()
    if not rows:
        return None
    id_, log, kept = rows[0][:3]
    positions = {partition: offset for *_, partition, offset in rows if partition is not None}
    return Progress(Lineage(id_, log, tuple(map(int, kept.split()))), positions)


def _key(user_id: str) -> bytes:
    return bytes.fromhex(user_hash(user_id))


def _store(connection: sqlite3.Connection, key: bytes, version: int, record: bytes) -> bool:
    if version == 0:
        return connection.execute(_INSERT, (key, record)).rowcount == 1
    return connection.execute(_UPDATE, (record, key, version)).rowcount == 1
