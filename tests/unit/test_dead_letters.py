"""A few records that cannot be applied are set aside; many of them stop the updater, loudly."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from hemline.event_log import DEAD_LETTERS_TOPIC, EVENTS_TOPIC, Position
from hemline.releases import Release
from hemline.sqlite_event_log import SqliteEventLog
from hemline.sqlite_user_state import SqliteUserStates
from hemline.updater.dead_letters import DeadLetterLimit, TooManyDeadLettersError
from hemline.updater.update import GROUP, Updater
from hemline.v1.event_pb2 import DeadLetter


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def bury(limit: DeadLetterLimit, offsets: range) -> None:
    for offset in offsets:
        limit.buried(Position(0, offset), "is no EventRecord")


def test_the_letter_beyond_the_number_and_the_share_says_all_there_is_to_know() -> None:
    limit = DeadLetterLimit(max_per_minute=5)
    limit.read(30)
    bury(limit, range(5))
    with pytest.raises(TooManyDeadLettersError) as error:
        bury(limit, range(5, 6))
    assert str(error.value).startswith("6 of the 30 records read within 60 s cannot be applied")
    assert "the last one: is no EventRecord" in str(error.value)
    assert f"topic {DEAD_LETTERS_TOPIC}" in str(error.value)


def test_many_letters_among_ten_times_as_many_records_stop_nobody() -> None:
    limit = DeadLetterLimit(max_per_minute=5)
    limit.read(1000)
    bury(limit, range(100))
    with pytest.raises(TooManyDeadLettersError):
        bury(limit, range(100, 101))


def test_letters_of_a_minute_ago_do_not_count_and_its_records_neither() -> None:
    clock = Clock()
    limit = DeadLetterLimit(max_per_minute=5, clock=clock)
    limit.read(1000)
    bury(limit, range(5))
    clock.now_s += 61
    limit.read(10)
    bury(limit, range(5, 10))
    with pytest.raises(TooManyDeadLettersError, match="6 of the 10 records"):
        bury(limit, range(10, 11))


def test_a_batch_that_is_tried_again_counts_once() -> None:
    limit = DeadLetterLimit(max_per_minute=5)
    limit.read(5)
    for _ in range(10):
        bury(limit, range(5))


async def publish_garbage(log: SqliteEventLog, count: int) -> None:
    await asyncio.gather(*(log.publish(EVENTS_TOPIC, "ada", b"\xff\xff") for _ in range(count)))


async def test_the_updater_stops_and_leaves_the_batch_to_the_next_one(
    small_release: Release, tmp_path: Path
) -> None:
    log = SqliteEventLog(tmp_path / "events.sqlite")
    users = SqliteUserStates(tmp_path / "users.sqlite")
    await publish_garbage(log, 8)
    updater = Updater(log, users, None, small_release, dead_letters=DeadLetterLimit(5))
    with pytest.raises(TooManyDeadLettersError):
        async with asyncio.timeout(60):
            await updater.run(asyncio.Event())
    consumer = log.consumer(DEAD_LETTERS_TOPIC, "operator")
    letters = [DeadLetter.FromString(r.value) for r in await consumer.poll(100, timeout_s=60)]
    assert [letter.offset for letter in letters] == list(range(6))
    assert await log.consumer(EVENTS_TOPIC, GROUP).lag() == 8
    patient = Updater(log, users, None, small_release, dead_letters=DeadLetterLimit(8))
    async with asyncio.timeout(60):
        while not await patient.step(timeout_s=1):
            pass
    assert await log.consumer(EVENTS_TOPIC, GROUP).lag() == 0
    await users.close()
    await log.close()


async def test_the_process_ends_with_one_line_that_says_why(
    small_release: Release, tmp_path: Path
) -> None:
    log = SqliteEventLog(tmp_path / "events.sqlite")
    await publish_garbage(log, 8)
    await log.close()
    settings = {
        "releases": small_release.folder.parent,
        "log": f"sqlite:{tmp_path}/events.sqlite",
        "users": f"sqlite:{tmp_path}/users.sqlite",
        "address": "127.0.0.1:0",
        "metrics-port": 0,
        "max-dead-letters-per-minute": 5,
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "hemline.updater", *flags],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert "ERROR hemline: 6 of the 8 records" in last
    assert f"topic {DEAD_LETTERS_TOPIC}" in last
