"""`hemline replay`: states are built anew from the log, and nothing is lost unasked."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hemline.cli.__main__ import main
from hemline.event_log import EVENTS_TOPIC
from hemline.lineage import Lineage, new_lineage_id
from hemline.local.cluster_file import (
    ClusterRecord,
    ProcessRecord,
    supervisor_lock,
    write_cluster,
)
from hemline.sqlite_event_log import SqliteEventLog
from hemline.sqlite_user_state import SqliteUserStates
from hemline.user_state import Interaction, UnreadableStateError, user_hash
from hemline.v1.common_pb2 import EVENT_KIND_CLICK
from hemline.v1.event_pb2 import Event, EventRecord
from small_world import build_small_release, item_id

NOW_MS = int(time.time() * 1000)
CLICKS = 60
WRONG = Interaction("never-clicked", "purchase", NOW_MS)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that was up once: clicks of ada and bo in the log, and no states."""
    build_small_release(tmp_path / "releases")
    (tmp_path / "run").mkdir()
    asyncio.run(_fill(tmp_path))
    return tmp_path


async def _fill(home: Path) -> None:
    async with stores(home) as (log, _):
        for number in range(CLICKS):
            record = EventRecord()
            record.event.accepted_ms = NOW_MS
            record.event.event.CopyFrom(
                Event(
                    event_id=f"click {number}",
                    user_id=("ada", "bo")[number % 2],
                    item_id=item_id("dress", number % 20),
                    kind=EVENT_KIND_CLICK,
                    occurred_ms=NOW_MS + number,
                )
            )
            user = record.event.event.user_id
            await log.publish(EVENTS_TOPIC, user, record.SerializeToString())


@asynccontextmanager
async def stores(home: Path) -> AsyncIterator[tuple[SqliteEventLog, SqliteUserStates]]:
    log = SqliteEventLog(home / "run" / "events.sqlite")
    users = SqliteUserStates(home / "run" / "users.sqlite")
    try:
        yield log, users
    finally:
        await users.close()
        await log.close()


async def histories(home: Path) -> dict[str, tuple[Interaction, ...]]:
    async with stores(home) as (_, users):
        return {u: s.history for u, s in (await users.get_many(["ada", "bo"])).items()}


async def damage(home: Path) -> None:
    async with stores(home) as (_, users):
        state = (await users.get_many(["ada"]))["ada"]
        assert await users.compare_and_set([replace(state, history=(WRONG,))]) == [True]


def replay(home: Path, *more: str) -> int:
    return main(["replay", "--home", str(home), *more])


def test_wrong_states_are_right_again_after_a_replay(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(home) == 0
    assert f"{CLICKS} records applied anew" in capsys.readouterr().out
    before = asyncio.run(histories(home))
    assert {user: len(history) for user, history in before.items()} == {"ada": 30, "bo": 30}

    asyncio.run(damage(home))
    assert asyncio.run(histories(home))["ada"] == (WRONG,)

    assert replay(home, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["records"] == CLICKS
    assert said["records_per_s"] > 0
    assert asyncio.run(histories(home)) == before


def test_an_erased_shopper_stays_erased(home: Path) -> None:
    async def erase() -> None:
        async with stores(home) as (_, users):
            assert await users.erase("bo")

    assert replay(home) == 0
    asyncio.run(erase())
    assert replay(home) == 0
    assert {user: len(h) for user, h in asyncio.run(histories(home)).items()} == {
        "ada": 30,
        "bo": 0,
    }


def test_a_replay_that_would_lose_states_is_refused_until_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def of_another_log() -> None:
        async with stores(home) as (_, users):
            assert await users.begin(Lineage(new_lineage_id(), "another log"), None)
            state = (await users.get_many(["ada"]))["ada"]
            assert await users.compare_and_set([replace(state, history=(WRONG,))]) == [True]

    asyncio.run(of_another_log())
    assert replay(home) == 1
    assert "another log" in (said := capsys.readouterr().err)
    assert "--forget-older" in said
    assert asyncio.run(histories(home))["ada"] == (WRONG,)
    assert replay(home, "--forget-older") == 0
    assert len(asyncio.run(histories(home))["ada"]) == 30


def test_what_cannot_be_replayed_is_refused_in_one_line(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "run" / "events.sqlite").rename(home / "elsewhere.sqlite")
    assert replay(home) == 1
    assert "there is no" in capsys.readouterr().err
    assert not (home / "run" / "events.sqlite").exists()
    assert replay(home, "--log", f"sqlite:{home}/elsewhere.sqlite") == 1
    assert "name both or neither" in capsys.readouterr().err
    users = f"sqlite:{home}/run/users.sqlite"
    assert replay(home, "--log", f"sqlite:{home}/elsewhere.sqlite", "--users", users) == 0


def test_a_log_full_of_what_cannot_be_applied_ends_the_replay_with_the_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_spoil(home, 150))
    assert replay(home) == 1
    assert "of the 210 records read within 60 s cannot be applied" in capsys.readouterr().err


async def _spoil(home: Path, records: int) -> None:
    async with stores(home) as (log, _):
        for _ in range(records):
            await log.publish(EVENTS_TOPIC, "ada", b"\xff no EventRecord")


def test_a_damaged_state_is_rebuilt_by_a_replay_once_it_was_deleted(home: Path) -> None:
    assert replay(home) == 0
    before = asyncio.run(histories(home))
    key = bytes.fromhex(user_hash("ada"))
    with closing(sqlite3.connect(home / "run" / "users.sqlite")) as users, users:
        users.execute("UPDATE users SET record = x'ff' WHERE user_hash = ?", (key,))
    assert replay(home) == 0
    with pytest.raises(UnreadableStateError):  # left for somebody to look at
        asyncio.run(histories(home))
    with closing(sqlite3.connect(home / "run" / "users.sqlite")) as users, users:
        users.execute("DELETE FROM users WHERE user_hash = ?", (key,))
    assert replay(home) == 0
    assert asyncio.run(histories(home)) == before


def test_the_updater_of_a_cluster_that_is_up_does_the_work(home: Path) -> None:
    run = home / "run"
    command = [sys.executable, "-m", "hemline.updater", "--releases", str(home / "releases")]
    command += ["--log", f"sqlite:{run}/events.sqlite", "--users", f"sqlite:{run}/users.sqlite"]
    command += ["--address", "127.0.0.1:0", "--metrics-port", "0", "--triton", "127.0.0.1:9"]
    updater = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        record = ProcessRecord(
            "updater",
            updater.pid,
            psutil.Process(updater.pid).create_time(),
            time.time(),
            0,
            "127.0.0.1:0",
            (),
            "",
        )
        cluster = ClusterRecord(os.getpid(), "running", time.time(), "r", False, "-", (record,))
        write_cluster(run, cluster)
        with supervisor_lock(run):
            assert replay(home) == 0
            asyncio.run(damage(home))
            assert replay(home) == 0
        assert len(asyncio.run(histories(home))["ada"]) == 30
    finally:
        updater.kill()
        updater.wait()
