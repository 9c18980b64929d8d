"""The embedded event log: one SQLite file, for all processes of one machine.

What it is not: it has one partition (0), so one consumer of a group works and the others stand by;
it keeps every record of topics that are not compacted for ever, unless max_bytes stops the
publishers first; and it is lost with its disk. Kafka is the log of a cluster.

The consumer that works holds a file lock on its group, taken by its first poll. The kernel lets go
of it when the consumer closes or its process dies, and a standby that polls takes over within
STANDBY_RETRY_S, at the committed position. No lease expires under a consumer that is slow; the
price is that a process that hangs, alive, keeps its group until someone ends it.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hemline.errors import InvalidInputError, UnavailableError
from hemline.event_log import CompactionRules, Position, Record, check_name, check_record
from hemline.sqlite_compaction import compact_topic
from hemline.sqlite_database import Database, FileLock, connect, sqlite_errors
from hemline.topic_bells import Bell, ring_all

STANDBY_RETRY_S = 0.02
POLL_BYTES = 32 << 20  # a poll returns fewer records rather than more bytes

_IDENTITY_TABLE = """
CREATE TABLE identity (id TEXT NOT NULL) STRICT;
INSERT INTO identity VALUES (lower(hex(randomblob(16))))
"""
_SCHEMA = f"""
{_IDENTITY_TABLE};
CREATE TABLE records (
    topic TEXT NOT NULL,
    offset INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    published_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, offset)
) STRICT;
CREATE TABLE committed (
    topic TEXT NOT NULL,
    consumer_group TEXT NOT NULL,
    offset INTEGER NOT NULL,  -- of the next record to read
    PRIMARY KEY (topic, consumer_group)
) STRICT, WITHOUT ROWID
"""
_APPEND = """
INSERT INTO records (topic, offset, key, value, published_ms)
SELECT ?1, coalesce(max(offset) + 1, 0), ?2, ?3, ?4 FROM records WHERE topic = ?1
RETURNING offset
"""
_READ = """
SELECT offset, key, value, published_ms FROM records WHERE topic = ? AND offset >= ?
ORDER BY offset LIMIT ?
"""
_COMMIT = """
INSERT INTO committed (topic, consumer_group, offset) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET offset = max(offset, excluded.offset)
"""
_COMMITTED = "SELECT offset FROM committed WHERE topic = ? AND consumer_group = ?"
_BEGIN = "SELECT coalesce(min(offset), 0) FROM records WHERE topic = ?1"
_END = "SELECT coalesce(max(offset) + 1, 0) FROM records WHERE topic = ?1"
EXTENT = f"SELECT ({_BEGIN}), ({_END})"  # both in one query of the table would read all of it


class SqliteEventLog:
    """`hemline.event_log.EventLog` on the SQLite file at `path`, created when absent.

    timeout_s: how long a publish or commit waits for writers of other processes.
    max_waiting, max_waiting_bytes: bounds of the queue of publishes, beyond them OverloadedError.
    max_bytes: the most the file may grow to, beyond it publishes raise UnavailableError.
    Raises UnavailableError when the file cannot be opened.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        timeout_s: float = 5.0,
        max_waiting: int = 10_000,
        max_waiting_bytes: int = 64 << 20,
        max_bytes: int | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._database = Database(
            Path(path),
            _SCHEMA,
            version=2,
            upgrades={1: _IDENTITY_TABLE},
            timeout_s=timeout_s,
            max_waiting=max_waiting,
            max_waiting_bytes=max_waiting_bytes,
            max_bytes=max_bytes,
        )
        self._readers: list[SqliteReader] = []
        self._unrung: set[str] = set()  # topics written to in this turn of the event loop

    async def check(self, reads: Collection[str] = (), writes: Collection[str] = ()) -> None:
        """The file was opened, and its layout checked, by the constructor."""

    async def publish(self, topic: str, key: str, value: bytes) -> Position:
        (position,) = await self.publish_all(topic, [(key, value)])
        return position

    async def publish_all(self, topic: str, records: Sequence[tuple[str, bytes]]) -> list[Position]:
        size = sum(check_record(topic, key, value) for key, value in records)
        now_ms = time.time_ns() // 1_000_000

        def append(connection: sqlite3.Connection) -> list[Position]:
            rows = ((topic, key, value, now_ms) for key, value in records)
            return [Position(0, connection.execute(_APPEND, row).fetchone()[0]) for row in rows]

        positions = await self._database.write(append, size=size)
        if not self._unrung:  # what was committed together is rung for together
            asyncio.get_running_loop().call_soon(self._ring)
        self._unrung.add(topic)
        return positions

    def _ring(self) -> None:
        while self._unrung:
            ring_all(_bells(self._database.path, self._unrung.pop()))

    def consumer(self, topic: str, group: str) -> SqliteConsumer:
        check_name("topic", topic)
        check_name("group", group)
        consumer = SqliteConsumer(self._database, topic, group, self._timeout_s)
        self._readers.append(consumer)
        return consumer

    def reader(self, topic: str, offsets: Mapping[int, int]) -> SqliteReader:
        check_name("topic", topic)
        reader = SqliteReader(self._database, topic, self._timeout_s)
        reader.start_at(offsets.get(0, 0))
        self._readers.append(reader)
        return reader

    async def identity(self, topic: str) -> str:
        check_name("topic", topic)
        reader = self._database.reader()
        with sqlite_errors(self._database.path):
            (made_with,) = reader.execute("SELECT id FROM identity").fetchone()
        return f"sqlite:{made_with}"

    async def extent(self, topic: str) -> dict[int, range]:
        check_name("topic", topic)
        reader = self._database.reader()
        with sqlite_errors(self._database.path):
            oldest, end = reader.execute(EXTENT, (topic,)).fetchone()
        return {0: range(oldest, end)}

    async def compact(self, topic: str, groups: Collection[str], rules: CompactionRules) -> int:
        check_name("topic", topic)
        return await compact_topic(self._database, topic, groups, rules)

    async def close(self) -> None:
        while self._readers:
            await self._readers.pop().close()
        await self._database.close()


class SqliteReader:
    """`hemline.event_log.Reader`; it waits and reads on a thread of its own."""

    def __init__(self, database: Database, topic: str, timeout_s: float) -> None:
        self._database = database
        self._topic = topic
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"poll {topic}")
        self._connection: sqlite3.Connection | None = None
        self._next: int | None = None  # offset of the next record to deliver; None: on standby
        self._stop: threading.Event | None = None  # of the poll under way
        self._bell: Bell | None = None
        self._closed = False

    def start_at(self, offset: int) -> None:
        """The next record to deliver is the first from this offset on."""
        self._next = offset

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if self._closed:
            raise UnavailableError(f"this consumer of {self._topic} is closed")
        if self._stop is not None:
            raise RuntimeError("a consumer polls for one task at a time")
        stop = self._stop = threading.Event()
        deadline = time.monotonic() + timeout_s
        try:
            records = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._wait, max_records, deadline, stop
            )
        except asyncio.CancelledError:
            self._end(stop)  # what the thread finds is left for the next poll
            raise
        finally:
            self._stop = None
        if records:
            self._next = records[-1].offset + 1
        return records

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._stop is not None:
            self._end(self._stop)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._release)
        self._thread.shutdown(wait=False)

    def _end(self, stop: threading.Event) -> None:
        stop.set()
        if self._bell is not None:
            self._bell.ring()

    def _release(self) -> None:
        if self._bell is not None:
            self._bell.close()
        if self._connection is not None:
            self._connection.close()

    def _wait(self, max_records: int, deadline: float, stop: threading.Event) -> list[Record]:
        """Runs on the consumer's thread, like everything below."""
        with sqlite_errors(self._database.path):
            if self._connection is None:
                self._connection = connect(self._database.path, self._timeout_s)
            if self._bell is None:
                self._bell = Bell(_bells(self._database.path, self._topic))
            connection, bell = self._connection, self._bell
            while True:
                version = _data_version(connection)  # before reading, so that no write is missed
                active = self._is_active(connection)
                if active and (records := self._read(connection, max_records)):
                    return records
                while True:
                    left_s = deadline - time.monotonic()
                    if left_s <= 0 or stop.is_set():
                        return []
                    bell.wait(left_s if active else min(left_s, STANDBY_RETRY_S))
                    if not active or _data_version(connection) != version:
                        break

    def _is_active(self, connection: sqlite3.Connection) -> bool:
        return True

    def _read(self, connection: sqlite3.Connection, max_records: int) -> list[Record]:
        records: list[Record] = []
        size = 0
        cursor = connection.execute(_READ, (self._topic, self._next, max_records))
        for offset, key, value, published_ms in cursor:
            records.append(Record(self._topic, 0, offset, key, value, published_ms))
            size += len(value)
            if size >= POLL_BYTES:
                break
        cursor.close()  # an open read would keep the write-ahead log from being reused
        return records


class SqliteConsumer(SqliteReader):
    """`hemline.event_log.Consumer`: a reader that has its group to itself."""

    def __init__(self, database: Database, topic: str, group: str, timeout_s: float) -> None:
        super().__init__(database, topic, timeout_s)
        self._group = group
        name = hashlib.blake2b(f"{topic}/{group}".encode(), digest_size=8).hexdigest()
        with sqlite_errors(database.path):
            self._lock = FileLock(
                database.path.with_name(f"{database.path.name}.group-{name}.lock")
            )

    async def commit(self, done: Sequence[Record | Position]) -> None:
        if not done:
            return
        if self._next is None or self._closed:
            raise UnavailableError(f"this consumer does not hold {self._topic} for {self._group}")
        offset = max(position.offset for position in done) + 1
        if offset > self._next:
            raise InvalidInputError("done", f"offset {offset - 1} was never polled")
        row = (self._topic, self._group, offset)

        def commit(connection: sqlite3.Connection) -> None:
            connection.execute(_COMMIT, row)

        await self._database.write(commit)

    async def lag(self) -> int:
        reader = self._database.reader()
        with sqlite_errors(self._database.path):
            # The committed offset first: a record published in between counts as lag, and the
            # difference is never negative.
            committed = self._committed(reader)
            end: int = reader.execute(_END, (self._topic,)).fetchone()[0]
        return end - committed

    async def seek(self, offsets: Mapping[int, int]) -> None:
        if self._next is None or self._closed:
            raise UnavailableError(f"this consumer does not hold {self._topic} for {self._group}")
        if self._stop is not None:
            raise RuntimeError("a consumer is not sought while it polls")
        self._next = offsets.get(0, self._next)

    def assigned(self) -> frozenset[int]:
        return frozenset() if self._next is None or self._closed else frozenset((0,))

    def _release(self) -> None:
        super()._release()
        self._lock.close()

    def _is_active(self, connection: sqlite3.Connection) -> bool:
        if self._next is None and self._lock.try_acquire():
            self._next = self._committed(connection)
        return self._next is not None

    def _committed(self, connection: sqlite3.Connection) -> int:
        row = connection.execute(_COMMITTED, (self._topic, self._group)).fetchone()
        return 0 if row is None else int(row[0])


def _bells(path: Path, topic: str) -> Path:
    """The folder of a topic's bells."""
    return path.with_name(f"{path.name}.readers") / f"of-{topic}"


def _data_version(connection: sqlite3.Connection) -> int:
    """Changes whenever another connection, of any process, commits; 3 µs."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
