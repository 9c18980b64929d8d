"""One click: acknowledged durably, applied once, and the bad ones refused by name."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

from hemline.event_log import DEAD_LETTERS_TOPIC, EVENTS_TOPIC, Consumer, Record
from hemline.lineage import Lineage
from hemline.releases import Release
from hemline.shopper import read_shopper
from hemline.sqlite_event_log import SqliteEventLog
from hemline.sqlite_user_state import SqliteUserStates
from hemline.updater.apply import Change, apply_changes, decode_record
from hemline.updater.update import GATHER_S, GROUP, MAX_FRESH_BATCH, PAID_AT_ONCE, Updater
from hemline.user_state import UserState
from hemline.v1 import common_pb2 as common
from hemline.v1.event_pb2 import (
    DeadLetter,
    Event,
    EventRecord,
    LoggedEvent,
    RecordEventRequest,
    RecordEventsRequest,
)
from hemline.v1.user_pb2 import GetUserRequest
from shop import Shop
from small_world import STYLES, FakeEncoders, item_id

NOW_MS = int(time.time() * 1000)


def event(user: str, item: str, event_id: str = "", **fields: object) -> Event:
    kind = fields.pop("kind", common.EVENT_KIND_CLICK)
    return Event(user_id=user, item_id=item, event_id=event_id, kind=kind, **fields)


async def refused(call, request) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(request)
    return error.value


async def test_an_acknowledged_event_is_in_the_log(shop: Shop) -> None:
    request = RecordEventRequest(event=event("ada", item_id("jeans", 2)))
    response = await shop.events.RecordEvent(request)
    assert response.event_id
    await shop.applied("ada", 1)
    user = await shop.user.GetUser(GetUserRequest(user_id="ada"))
    assert [(entry.item_id, entry.kind) for entry in user.history] == [
        (item_id("jeans", 2), common.EVENT_KIND_CLICK)
    ]
    assert user.vector_release == shop.release.id


async def test_the_same_event_id_counts_once_however_often_it_is_sent(shop: Shop) -> None:
    for _ in range(3):
        request = RecordEventRequest(event=event("ada", item_id("jeans", 2), event_id="once"))
        response = await shop.events.RecordEvent(request)
        assert response.event_id == "once"
    last = RecordEventRequest(event=event("ada", item_id("jeans", 3), event_id="twice"))
    await shop.events.RecordEvent(last)
    await shop.applied("ada", 2)
    user = await shop.user.GetUser(GetUserRequest(user_id="ada"))
    assert [entry.item_id for entry in user.history] == [item_id("jeans", 3), item_id("jeans", 2)]


async def test_an_event_that_arrives_late_takes_its_place_in_time(shop: Shop) -> None:
    for number, occurred_ms in ((1, NOW_MS - 1000), (2, NOW_MS - 3000), (3, NOW_MS - 2000)):
        late = event("ada", item_id("jeans", number), occurred_ms=occurred_ms)
        await shop.events.RecordEvent(RecordEventRequest(event=late))
    await shop.applied("ada", 3)
    user = await shop.user.GetUser(GetUserRequest(user_id="ada"))
    newest_first = [item_id("jeans", number) for number in (1, 3, 2)]
    assert [entry.item_id for entry in user.history] == newest_first


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (event("", item_id("jeans", 1)), "event.user_id"),
        (event("u" * 129, item_id("jeans", 1)), "event.user_id"),
        (event("ada", ""), "event.item_id"),
        (event("ada", "no such item"), "event.item_id"),
        (event("ada", item_id("jeans", 1), kind=0), "event.kind"),
        (event("ada", item_id("jeans", 1), event_id="e" * 65), "event.event_id"),
        (event("ada", item_id("jeans", 1), occurred_ms=NOW_MS + 3_600_000), "event.occurred_ms"),
        (event("ada", item_id("jeans", 1), occurred_ms=1), "event.occurred_ms"),
        (event("ada", item_id("jeans", 1), position=-1), "event.position"),
    ],
)
async def test_bad_events_are_refused_with_the_field_named(
    shop: Shop, bad: Event, field: str
) -> None:
    error = await refused(shop.events.RecordEvent, RecordEventRequest(event=bad))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith(f"{field}: ")
    assert await shop.users.get("ada") is None


async def test_a_bad_event_in_a_stream_costs_only_itself(shop: Shop) -> None:
    async def stream() -> AsyncIterator[RecordEventsRequest]:
        for number in range(50):
            item = "ghost" if number == 20 else item_id("watch", number % 20)
            yield RecordEventsRequest(event=event("bob", item, event_id=f"e{number}"))

    response = await shop.events.RecordEvents(stream())
    assert (response.accepted, response.rejected) == (49, 1)
    (error,) = response.errors
    assert (error.index, error.event_id, error.field) == (20, "e20", "event.item_id")
    await shop.applied("bob", 49)


def logged(user: str, item: str, event_id: str, occurred_ms: int) -> EventRecord:
    return EventRecord(
        event=LoggedEvent(
            event=event(user, item, event_id, occurred_ms=occurred_ms), accepted_ms=occurred_ms
        )
    )


def changes_of(messages: list[EventRecord]) -> list[Change]:
    return [
        decode_record(Record("events", 0, offset, "ada", message.SerializeToString(), 0), {})
        for offset, message in enumerate(messages)
    ]


def test_redelivery_from_any_point_in_batches_of_any_size_gives_the_same_state() -> None:
    rng = random.Random(5)
    lineage = Lineage(1, "log")
    changes = changes_of(
        [
            # Some events are sent again, soon or long after, and times go back and forth.
            logged(
                "ada",
                item_id(rng.choice(STYLES), n % 20),
                f"e{rng.choice([n, n, n, n // 2])}",
                1000 + n + rng.randrange(50),
            )
            for n in range(1200)
        ]
    )

    def replayed(interruptions: list[int], batch: int) -> UserState:
        state, n = UserState("ada"), 0
        for stop in [*interruptions, len(changes)]:
            while n < stop:
                state, _ = apply_changes(state, changes[n : min(n + batch, stop)], lineage)
                n = min(n + batch, stop)
            n = max(0, n - rng.randrange(100))  # the crash lost the commit, not the state
        return apply_changes(state, changes[n:], lineage)[0]

    undisturbed = replayed([], 1)
    assert len(undisturbed.history) == 200 and len(undisturbed.recent_event_ids) == 512
    for batch in (1, 2, 7, 100, 1200):
        for _ in range(4):
            stops = sorted(rng.sample(range(len(changes)), 3))
            assert replayed(stops, batch) == undisturbed


async def test_what_cannot_be_decoded_goes_to_the_dead_letters_and_stops_nobody(
    shop: Shop,
) -> None:
    await shop.log.publish(EVENTS_TOPIC, "ada", b"\xff\xff not a message")
    foreign = logged("mallory", item_id("jeans", 1), "m1", NOW_MS)
    await shop.log.publish(EVENTS_TOPIC, "ada", foreign.SerializeToString())
    request = RecordEventRequest(event=event("ada", item_id("jeans", 2)))
    await shop.events.RecordEvent(request)
    await shop.applied("ada", 1)
    consumer = shop.log.consumer(DEAD_LETTERS_TOPIC, "operator")
    letters = [DeadLetter.FromString(r.value) for r in await consumer.poll(10, timeout_s=60)]
    assert [letter.offset for letter in letters] == [0, 1]
    assert "no EventRecord" in letters[0].reason
    assert "another user" in letters[1].reason
    assert await shop.users.get("mallory") is None


async def test_a_state_changed_meanwhile_is_read_again_and_nothing_is_lost(shop: Shop) -> None:
    """Another writer gets in between the updater's read and its write."""

    class Interrupting:
        def __init__(self) -> None:
            self.left = 2

        def __getattr__(self, name: str):
            return getattr(shop.users, name)

        async def compare_and_set(self, states):
            if self.left:
                self.left -= 1
                other = (await shop.users.get_many([states[0].user_id]))[states[0].user_id]
                assert await shop.users.compare_and_set([replace(other, vector=None)]) == [True]
            return await shop.users.compare_and_set(states)

    record = logged("zoe", item_id("dress", 4), "z1", NOW_MS).SerializeToString()
    await shop.log.publish("elsewhere", "zoe", record)
    consumer = shop.log.consumer("elsewhere", "test")
    users = Interrupting()
    updater = Updater(shop.log, users, shop.encoders, shop.release, consumer, "elsewhere")
    while not await updater.step(timeout_s=60):  # the first look finds out where to begin
        pass
    assert users.left == 0
    assert await consumer.lag() == 0
    state = await shop.users.get("zoe")
    assert [done.item_id for done in state.history] == [item_id("dress", 4)]


async def test_the_stored_vector_is_the_one_a_recommend_would_compute(shop: Shop) -> None:
    for number in range(3):
        request = RecordEventRequest(event=event("ada", item_id("boots", number + 1)))
        await shop.events.RecordEvent(request)
    await shop.applied("ada", 3)
    state = await shop.users.get("ada")
    profile = read_shopper(state, shop.release).profile
    expected = await shop.encoders.user_vectors(profile[None], 1, 1.0)
    assert state.vector.vector == pytest.approx(expected[0], abs=1e-6)


async def test_shoppers_who_got_no_vector_in_a_rush_get_one_when_it_is_over(
    small_release: Release, tmp_path: Path
) -> None:
    log = SqliteEventLog(tmp_path / "events.sqlite")
    users = SqliteUserStates(tmp_path / "users.sqlite")
    ids = [f"user-{number}" for number in range(MAX_FRESH_BATCH + 1)]
    clicks = [logged(user, item_id("jeans", 2), f"e-{user}", NOW_MS) for user in ids]
    await asyncio.gather(
        *(
            log.publish(EVENTS_TOPIC, user, click.SerializeToString())
            for user, click in zip(ids, clicks, strict=True)
        )
    )
    encoders = FakeEncoders()
    stopping = asyncio.Event()
    updating = asyncio.create_task(Updater(log, users, encoders, small_release).run(stopping))
    async with asyncio.timeout(60):
        while not all(state.vector for state in (await users.get_many(ids)).values()):
            await asyncio.sleep(0.05)
    calls = encoders.calls["user_tower"]
    assert calls == -(-len(ids) // PAID_AT_ONCE)  # none of them in the rush itself
    states = (await users.get_many(ids[:1])).values()
    assert [(len(state.history), state.version) for state in states] == [(1, 2)]
    stopping.set()
    await updating
    await users.close()
    await log.close()


class TimedConsumer:
    """Remembers when each poll came back with records."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.at: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if records := await self._consumer.poll(max_records, timeout_s):
            self.at.append(time.monotonic())
        return records


async def test_events_that_come_one_by_one_are_applied_some_at_a_time(
    small_release: Release, tmp_path: Path
) -> None:
    log = SqliteEventLog(tmp_path / "events.sqlite")
    users = SqliteUserStates(tmp_path / "users.sqlite")
    consumer = TimedConsumer(log.consumer(EVENTS_TOPIC, GROUP))
    updater = Updater(log, users, FakeEncoders(), small_release, consumer)
    stopping = asyncio.Event()
    updating = asyncio.create_task(updater.run(stopping))
    ids = [f"user-{number}" for number in range(60)]
    for user in ids:
        click = logged(user, item_id("jeans", 2), f"e-{user}", NOW_MS)
        await log.publish(EVENTS_TOPIC, user, click.SerializeToString())
        await asyncio.sleep(0.002)
        async with asyncio.timeout(60):
            while not consumer.at:  # a thread that starts late would find all of them at once
                await asyncio.sleep(0.002)
    async with asyncio.timeout(60):
        while not all(state.vector for state in (await users.get_many(ids)).values()):
            await asyncio.sleep(0.01)
    assert len(consumer.at) > 1
    assert min(later - at for at, later in pairwise(consumer.at)) > 0.9 * GATHER_S
    stopping.set()
    await updating
    await users.close()
    await log.close()
