"""The embedded event log: the contract, and what only a file on disk can do wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from contracts.event_log_contract import PATIENCE_S, EventLogContract, LogTarget, read_all
from hemline.errors import OverloadedError, UnavailableError
from hemline.sqlite_database import FileLock, connect
from hemline.sqlite_event_log import EXTENT, SqliteEventLog


class TestSqliteEventLog(EventLogContract):
    @pytest.fixture
    def target(self, tmp_path: Path) -> LogTarget:
        return LogTarget("hemline.sqlite_event_log:SqliteEventLog", str(tmp_path / "log" / "db"))


def commits_in_wal(database: Path) -> int:
    """Counts the transactions in the write-ahead log: frames that carry a database size."""
    wal = database.with_name(database.name + "-wal").read_bytes()
    frames = range(32, len(wal), 24 + 4096)
    return sum(wal[start + 4 : start + 8] != bytes(4) for start in frames)


async def test_concurrent_publishes_share_transactions(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db", timeout_s=PATIENCE_S)
    await log.publish("t", "k", b"first")
    before = commits_in_wal(tmp_path / "db")
    lock = FileLock(tmp_path / "db.lock")
    with lock.held(PATIENCE_S):  # until all are there
        publishing = [asyncio.create_task(log.publish("t", "k", b"v")) for _ in range(1_000)]
        await asyncio.sleep(0)
    await asyncio.gather(*publishing)
    assert 1 <= commits_in_wal(tmp_path / "db") - before <= 20
    await log.close()
    lock.close()


def test_every_connection_waits_for_the_disk_and_overwrites_what_it_deletes(tmp_path: Path) -> None:
    connection = connect(tmp_path / "db", 1.0)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    connection.close()


async def test_a_full_queue_refuses_and_recovers(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db", max_waiting=3, timeout_s=PATIENCE_S)
    lock = FileLock(tmp_path / "db.lock")
    with lock.held(PATIENCE_S):
        held_up = asyncio.create_task(log.publish("t", "k", b"0"))
        waiting: list[asyncio.Task[object]] = []
        with pytest.raises(OverloadedError):
            for _ in range(20):  # the writer holds one batch, the queue three more
                waiting.append(asyncio.create_task(log.publish("t", "k", b"1")))
                await asyncio.sleep(0.01)
                if waiting[-1].done():
                    await waiting.pop()
    await asyncio.gather(held_up, *waiting)
    await log.publish("t", "k", b"2")
    assert len(await read_all(log, "t")) == len(waiting) + 2
    await log.close()
    lock.close()


async def test_the_queue_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db", max_waiting_bytes=1_000, timeout_s=PATIENCE_S)
    published = await asyncio.gather(
        *(log.publish("t", "k", bytes(600)) for _ in range(50)), return_exceptions=True
    )
    refused = [outcome for outcome in published if isinstance(outcome, OverloadedError)]
    assert refused
    assert len(await read_all(log, "t")) == 50 - len(refused)
    await log.close()


async def test_another_processs_lock_is_waited_for_and_then_reported(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db", timeout_s=0.05)
    lock = FileLock(tmp_path / "db.lock")
    with lock.held(PATIENCE_S), pytest.raises(UnavailableError, match="held by others"):
        await log.publish("t", "k", b"v")
    lock.close()

    stranger = sqlite3.connect(tmp_path / "db", isolation_level=None)  # one that ignores our lock
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError, match="locked"):
        await log.publish("t", "k", b"v")
    stranger.execute("ROLLBACK")
    stranger.close()

    await log.publish("t", "k", b"after")
    assert [r.value for r in await read_all(log, "t")] == [b"after"]
    await log.close()


async def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db", max_bytes=200_000)
    acked = 0
    with pytest.raises(UnavailableError, match="full"):
        while True:
            await log.publish("t", "k", bytes(10_000))
            acked += 1
    with pytest.raises(UnavailableError, match="full"):
        await log.publish("t", "k", bytes(10_000))
    assert len(await read_all(log, "t")) == acked > 5
    await log.close()

    log = SqliteEventLog(tmp_path / "db", max_bytes=400_000)
    assert (await log.publish("t", "k", bytes(10_000))).offset == acked
    await log.close()


def test_a_log_that_cannot_be_opened_says_which_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UnavailableError, match="file/db"):
        SqliteEventLog(tmp_path / "file" / "db")
    (tmp_path / "garbage").write_bytes(b"garbage " * 1_000)
    with pytest.raises(UnavailableError, match=r"garbage.*not a database"):
        SqliteEventLog(tmp_path / "garbage")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(UnavailableError, match="layout 99"):
        SqliteEventLog(tmp_path / "newer")


async def test_a_log_made_anew_has_another_identity(tmp_path: Path) -> None:
    first, second = SqliteEventLog(tmp_path / "one"), SqliteEventLog(tmp_path / "two")
    assert await first.identity("t") != await second.identity("t")
    await first.close()
    await second.close()


async def test_a_log_of_the_first_layout_is_given_an_identity_and_keeps_its_records(
    tmp_path: Path,
) -> None:
    log = SqliteEventLog(tmp_path / "db")
    await log.publish("t", "k", b"old")
    await log.close()
    old = sqlite3.connect(tmp_path / "db", isolation_level=None)
    old.execute("DROP TABLE identity")
    old.execute("PRAGMA user_version = 1")
    old.close()

    log = SqliteEventLog(tmp_path / "db")
    assert (await log.identity("t")).startswith("sqlite:")
    assert [r.value for r in await read_all(log, "t")] == [b"old"]
    again = SqliteEventLog(tmp_path / "db")
    assert await again.identity("t") == await log.identity("t")
    await again.close()
    await log.close()


async def test_the_extent_of_a_long_topic_is_found_without_reading_it(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db", timeout_s=PATIENCE_S)
    counting = connect(tmp_path / "db", PATIENCE_S)
    steps = []
    for records in (10, 2_000):
        await log.publish_all("t", [("k", b"v")] * records)
        counted = [0]

        def count(counted: list[int] = counted) -> int:
            counted[0] += 1
            return 0

        counting.set_progress_handler(count, 1)
        oldest, end = counting.execute(EXTENT, ("t",)).fetchone()
        assert range(oldest, end) == (await log.extent("t"))[0]
        steps.append(counted[0])
    assert steps[0] == steps[1] > 0
    counting.close()
    await log.close()
