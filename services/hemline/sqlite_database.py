"""What the embedded event log and the embedded user state share: a durable SQLite file.

Reads go through one connection a thread and never wait for a writer (WAL mode). Writes of one
process go through one thread, which puts everything that waits into one transaction, so that a
thousand concurrent writes cost a few fsyncs and the event loop never blocks on one. Writers of
several processes take turns by a file lock.

The file lock does two things SQLite's own locking does not: a waiting writer goes on within a
millisecond of its turn instead of sleeping up to 100 ms, and no checkpoint ever runs beside another
process's write, the one situation in which SQLite before 3.51.3 can damage a WAL database
(https://www.sqlite.org/wal.html#walresetbug; Debian 12 has 3.40.1).

Open a database after forking, never before. Linux and macOS only, and no network file systems.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hemline.errors import OverloadedError, UnavailableError

T = TypeVar("T")

BATCH_WRITES = 1_000  # most writes put into one transaction
BATCH_BYTES = 16 << 20
LOCK_RETRY_S = 0.0005
FILE_AWAY = "a file of the cluster cannot be read or written just now; try again"
PAGE_BYTES = 4096


@contextlib.contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turns whatever SQLite or the file system says into UnavailableError naming the file."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError(f"{path}: {error}", public=FILE_AWAY) from error


class FileLock:
    """An exclusive lock between processes, and between objects of one process.

    The kernel lets go of it the moment its holder dies, however it dies. The file is never deleted:
    two holders of two different files of one name would both believe they were alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_acquire(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextlib.contextmanager
    def held(self, timeout_s: float) -> Iterator[None]:
        """Holds the lock; raises UnavailableError when others hold it for longer than timeout_s."""
        deadline = time.monotonic() + timeout_s
        while not self.try_acquire():
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"{self._path} was held by others for {timeout_s:g} s", public=FILE_AWAY
                )
            time.sleep(LOCK_RETRY_S)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Lets go of the lock, if held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection in autocommit mode that writes durably and leaves nothing of what it deletes."""
    connection = sqlite3.connect(
        path, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous = FULL")  # fsync before every acknowledgement
    connection.execute("PRAGMA secure_delete = ON")
    return connection


@dataclass(frozen=True, slots=True)
class _Write:
    apply: Callable[[sqlite3.Connection], Any]
    size: int  # bytes
    scrub: bool
    future: asyncio.Future[Any]


class Database:
    """One SQLite file, created with `schema` when it does not exist yet.

    Raises UnavailableError when the file cannot be opened, is no database, or was written by
    another version of this code (`version` differs and `upgrades` do not lead there).
    upgrades: layout -> SQL that makes the next layout of it, in the transaction that says so.
    max_bytes bounds the file: writes beyond it fail as they would on a full disk.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        version: int,
        *,
        timeout_s: float,
        max_waiting: int,
        max_waiting_bytes: int,
        max_bytes: int | None = None,
        upgrades: Mapping[int, str] | None = None,
    ) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        with sqlite_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path.with_name(f"{path.name}.lock"))
            try:
                with self._lock.held(timeout_s):
                    self._connection = self._create(schema, version, upgrades or {})
                if max_bytes is not None:
                    pages = max(1, max_bytes // PAGE_BYTES)
                    self._connection.execute(f"PRAGMA max_page_count = {pages}")
            except BaseException:
                self._lock.close()
                raise

        self._readers = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._waiting: deque[_Write] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._writer = threading.Thread(target=self._run, name=f"write {path.name}", daemon=True)
        self._writer.start()

    def _create(self, schema: str, version: int, upgrades: Mapping[int, str]) -> sqlite3.Connection:
        # The file holds personal data; SQLite gives -wal and -shm the permissions of the file.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = connect(self.path, self._timeout_s)
        try:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found == 0:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {version}; COMMIT;"
                )
                found = version
            while found in upgrades:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {upgrades[found]}; PRAGMA user_version = {found + 1}; COMMIT"
                )
                found += 1
            if found != version:
                raise UnavailableError(
                    f"{self.path} has layout {found}, this version of Hemline reads {version}"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def reader(self) -> sqlite3.Connection:
        """The calling thread's own connection for reading; its statements stay prepared."""
        try:
            connection: sqlite3.Connection = self._readers.connection
        except AttributeError:
            if self._closed:
                raise UnavailableError(f"{self.path} is closed", public=FILE_AWAY) from None
            with sqlite_errors(self.path):
                connection = connect(self.path, self._timeout_s)
            self._readers.connection = connection
            self._opened.append(connection)
        return connection

    def write(
        self, apply: Callable[[sqlite3.Connection], T], *, size: int = 0, scrub: bool = False
    ) -> asyncio.Future[T]:
        """Runs `apply` on the writer thread, in a transaction it may share with other writes.

        The future resolves to what `apply` returned once that is on disk; its UnavailableError
        leaves open whether the write happened. A write whose caller is cancelled may still happen.
        `size` counts against the queue's bound in bytes. With `scrub`, what the write deleted is
        also gone from the write-ahead log when the future resolves.
        Raises OverloadedError when the queue is full, UnavailableError after `close`.
        """
        future = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._closed:
                raise UnavailableError(f"{self.path} is closed", public=FILE_AWAY)
            if len(self._waiting) >= self._max_waiting or (
                self._waiting and self._waiting_bytes + size > self._max_waiting_bytes
            ):
                waiting = f"{len(self._waiting)} writes"
                raise OverloadedError(
                    f"{waiting} to {self.path} are waiting", public=f"{waiting} are waiting"
                )
            self._waiting.append(_Write(apply, size, scrub, future))
            self._waiting_bytes += size
            self._changed.notify()
        return future

    async def close(self) -> None:
        """Finishes the writes that wait, then closes every connection. Harmless twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        await asyncio.to_thread(self._writer.join)
        while self._opened:
            self._opened.pop().close()
        self._connection.close()
        self._lock.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                results = self._commit(batch)
            except BaseException as error:  # whatever it is: the callers get it, the thread lives
                _answer(batch, error)
            else:
                _answer(batch, results)

    def _next_batch(self) -> list[_Write]:
        """Everything that waits, up to the batch's bounds; empty when closed and done."""
        batch: list[_Write] = []
        size = 0
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            while self._waiting and len(batch) < BATCH_WRITES and size < BATCH_BYTES:
                write = self._waiting.popleft()
                self._waiting_bytes -= write.size
                size += write.size
                batch.append(write)
        return batch

    def _commit(self, batch: list[_Write]) -> list[Any]:
        connection = self._connection
        with sqlite_errors(self.path), self._lock.held(self._timeout_s):
            connection.execute("BEGIN IMMEDIATE")
            try:
                results = [write.apply(connection) for write in batch]
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            if any(write.scrub for write in batch):
                busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise UnavailableError(
                        f"{self.path}: readers keep the write-ahead log in use", public=FILE_AWAY
                    )
        return results


def _answer(batch: list[_Write], outcome: list[Any] | BaseException) -> None:
    """Resolves the futures, with one wake-up of each event loop that waits for any of them."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for i, write in enumerate(batch):
        answer = outcome if isinstance(outcome, BaseException) else outcome[i]
        by_loop.setdefault(write.future.get_loop(), []).append((write.future, answer))
    for loop, answers in by_loop.items():
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, answer in answers:
        if future.done():  # its caller was cancelled
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
