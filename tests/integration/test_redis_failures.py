"""What becomes of shoppers when Redis dies, loses everything, hangs, or is set up wrongly."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hemline.circuit_breaker import FAILURES_TO_OPEN
from hemline.errors import SetupError, UnavailableError
from hemline.event_log import EVENTS_TOPIC
from hemline.redis_user_state import RedisUserStates
from hemline.releases import Release
from hemline.sqlite_event_log import SqliteEventLog
from hemline.updater.update import Updater
from hemline.user_state import Interaction, UserStates
from hemline.v1.common_pb2 import EVENT_KIND_CLICK
from hemline.v1.event_pb2 import Event, EventRecord
from running_redis import RunningRedis, patient_states, running_redis
from small_world import STYLES, item_id

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0
USERS = [f"shopper {number}" for number in range(7)]
NOW_MS = int(time.time() * 1000)

# What must be the same again, by user: the history and the events that were counted.
Remembered = dict[str, tuple[tuple[Interaction, ...], tuple[int, ...]]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RunningRedis]:
    with running_redis(tmp_path / "redis") as server:
        yield server


@asynccontextmanager
async def updating(
    users: UserStates, folder: Path, release: Release
) -> AsyncIterator[SqliteEventLog]:
    """A log, and an updater that applies it to the store."""
    log = SqliteEventLog(folder / "events.sqlite")
    stopping = asyncio.Event()
    running = asyncio.create_task(Updater(log, users, None, release).run(stopping))
    try:
        yield log
    finally:
        stopping.set()
        await running
        await users.close()
        await log.close()


async def click(log: SqliteEventLog, numbers: range) -> None:
    for number in numbers:
        event = Event(
            event_id=f"click {number}",
            user_id=USERS[number % len(USERS)],
            item_id=item_id(STYLES[number % len(STYLES)], number % 20),
            kind=EVENT_KIND_CLICK,
            occurred_ms=NOW_MS + number,
        )
        record = EventRecord()
        record.event.event.CopyFrom(event)
        record.event.accepted_ms = NOW_MS
        await log.publish(EVENTS_TOPIC, event.user_id, record.SerializeToString())


async def remembered(users: UserStates) -> Remembered:
    states = await users.get_many(USERS)
    return {user: (states[user].history, states[user].recent_event_ids) for user in USERS}


async def applied(users: UserStates, clicks: int) -> Remembered:
    """Wait until so many clicks are in the store."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                found = await remembered(users)
            except UnavailableError:
                found = {}
            count = sum(len(events) for _, events in found.values())
            assert count <= clicks, f"{count} of {clicks} clicks: some were applied twice"
            if count == clicks:
                return found
            await asyncio.sleep(0.02)


async def position(users: UserStates, records: int) -> int:
    """How far the log is applied, which is stored after the states: waits for so many records."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            progress = await users.progress()
            assert progress is not None
            if (reached := sum(progress.positions.values())) >= records:
                return reached
            await asyncio.sleep(0.02)


async def answered(users: UserStates) -> None:
    """Wait until the store answers, within the quarter of a second that it has for that."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                assert await users.get(USERS[0]) is None
                return
            except UnavailableError:
                await asyncio.sleep(0.02)


async def test_states_that_redis_lost_are_rebuilt_from_the_log_by_themselves(
    redis: RunningRedis, small_release: Release, tmp_path: Path
) -> None:
    users = patient_states(redis.url)
    async with updating(users, tmp_path, small_release) as log:
        await click(log, range(300))
        before = await applied(users, 300)
        lineage = await users.progress()
        assert lineage is not None

        redis.kill()
        redis.lose_everything()
        redis.start()
        assert redis.ask("DBSIZE") == ":0"

        assert await applied(users, 300) == before
        rebuilt = await users.progress()
        assert rebuilt is not None
        assert rebuilt.lineage.id > lineage.lineage.id
        await click(log, range(300, 310))
        await applied(users, 310)


async def test_a_redis_killed_among_events_applies_none_twice_and_loses_none(
    redis: RunningRedis, small_release: Release, tmp_path: Path
) -> None:
    users = patient_states(redis.url)
    async with updating(users, tmp_path, small_release) as log:
        for wave in range(3):
            clicks = range(wave * 200, (wave + 1) * 200)
            clicking = asyncio.create_task(click(log, clicks))
            await asyncio.sleep(0.1)
            redis.kill()
            await clicking
            redis.start()
        found = await applied(users, 600)
        for place, user in enumerate(USERS):
            history, _ = found[user]
            mine = range(place, 600, len(USERS))
            assert [i.occurred_ms for i in history] == [NOW_MS + number for number in mine]
        assert await position(users, 600) == 600


async def test_a_redis_that_hangs_costs_one_timeout_and_then_nothing_until_it_is_back(
    redis: RunningRedis,
) -> None:
    users = RedisUserStates(redis.url)
    await answered(users)
    redis.pause()
    try:
        told: list[str] = []
        while not told or "was away" not in told[-1]:
            assert len(told) < 10, f"every call waits: {told}"
            with pytest.raises(UnavailableError, match=str(redis.port)) as away:
                await users.get(USERS[0])
            told.append(str(away.value))
        # Three, or some more where so long passes between two calls that one is let through again.
        *waited, _ = told
        assert len(waited) >= FAILURES_TO_OPEN
        assert all("no answer in 0.25 s" in each for each in waited), waited
    finally:
        redis.resume()
    await answered(users)
    await users.close()


async def test_a_password_that_is_wrong_or_missing_is_refused_by_name(
    redis: RunningRedis,
) -> None:
    for password in ("not it", ""):
        os.environ["HEMLINE_REDIS_PASSWORD"] = password  # the server's end puts back what was
        users = RedisUserStates(redis.url)
        with pytest.raises(SetupError, match="password is read from HEMLINE_REDIS_PASSWORD"):
            await users.check()
        await users.close()


async def test_a_redis_that_would_drop_states_is_refused(redis: RunningRedis) -> None:
    assert redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru") == "+OK"
    users = RedisUserStates(redis.url)
    with pytest.raises(SetupError, match=r"maxmemory-policy is allkeys-lru.*must be noeviction"):
        await users.check()
    await users.close()


async def test_states_of_another_layout_are_refused_and_left_alone(redis: RunningRedis) -> None:
    assert redis.ask("SET", "hemline:schema", "9") == "+OK"
    users = RedisUserStates(redis.url)
    with pytest.raises(SetupError, match=r"layout '9'.*reads '1'"):
        await users.check()
    with pytest.raises(UnavailableError, match="layout '9'"):
        await users.get(USERS[0])
    await users.close()
    assert redis.ask("DBSIZE") == ":1"
