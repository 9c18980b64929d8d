"""The `hemline bench replay` story: how fast the updater builds all states anew from the log.

    drawn events -> straight into the cluster's log -> the updater catches up
    -> a replay begins, as `hemline replay` does it -> its time, and the processor time it cost

The gateway has no part in it. Every event in the log is applied, those of earlier runs too.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hemline.bench.cpu import CpuUse, Families, cpu_use, read_cpu
from hemline.bench.drawn_events import DrawnEvents
from hemline.errors import UnavailableError
from hemline.event_log import EVENTS_TOPIC, EventLog
from hemline.updater.replay import begin_replay, follow_replay
from hemline.user_state import UserStates
from hemline.v1 import event_pb2

UPDATER = "updater"
SPREAD_MS = 60 * 24 * 3600 * 1000  # the events lie within the last 60 days
IN_FLIGHT = 1_000
WRITE_S = 60.0
CATCH_UP_S = 300.0
LOOK_S = 0.1


@dataclass(frozen=True)
class ReplayPlan:
    """events: how many to draw, of how many users."""

    events: int = 200_000
    users: int = 20_000
    seed: int = 1


@dataclass(frozen=True)
class ReplayReport:
    """records: in the log, all of them applied anew. per_core_s: of them for each second that the
    updater used of a core. cpu: of all processes; per request means per record."""

    records: int
    seconds: float
    per_s: float
    per_core_s: float
    cpu: CpuUse
    written_per_s: float
    plan: ReplayPlan = field(repr=False)


async def bench_replay(
    plan: ReplayPlan,
    log: EventLog,
    users: UserStates,
    item_ids: Sequence[str],
    servers: Callable[[], Families],
    say: Callable[[str], None],
) -> ReplayReport:
    """Measure the updater that applies `log` to `users`.

    item_ids: of the release, most popular first. Raises UnavailableError when log or store is away
    or the updater does not get on, ReplayError when a replay would lose something.
    """
    rng = np.random.default_rng(plan.seed)
    run_id = f"{time.time_ns() // 1_000_000:x}"
    drawn = DrawnEvents(item_ids, plan.users, run_id, rng).draw(plan.events, SPREAD_MS)
    began = time.perf_counter()
    await write_events(log, drawn)
    written_s = time.perf_counter() - began
    say(f"{plan.events:,} events of {plan.users:,} shoppers written in {written_s:.1f} s")
    await _caught_up(log, users)
    say("the updater has caught up; the replay begins")
    before, began = read_cpu(servers), time.perf_counter()
    replay = await begin_replay(log, users)
    await follow_replay(replay, users, lambda _: None)
    seconds = time.perf_counter() - began
    cpu = cpu_use(before, read_cpu(servers), replay.records)
    updater_ms = cpu.ms_per_request_by_process.get(UPDATER, 0.0)
    return ReplayReport(
        records=replay.records,
        seconds=round(seconds, 3),
        per_s=round(replay.records / seconds, 1),
        per_core_s=round(1000 / updater_ms, 1) if updater_ms else 0.0,
        cpu=cpu,
        written_per_s=round(plan.events / written_s, 1),
        plan=plan,
    )


async def write_events(log: EventLog, events: Sequence[event_pb2.Event]) -> None:
    """Append events to the log as a gateway does, many at once; gives each an id."""
    accepted_ms = time.time_ns() // 1_000_000
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def write(event: event_pb2.Event) -> None:
        async with slots:
            event.event_id = uuid.uuid4().hex
            logged = event_pb2.LoggedEvent(event=event, accepted_ms=accepted_ms)
            record = event_pb2.EventRecord(event=logged)
            await _publish(log, event.user_id, record.SerializeToString())

    for start in range(0, len(events), IN_FLIGHT * 10):
        await asyncio.gather(*map(write, events[start : start + IN_FLIGHT * 10]))


async def _publish(log: EventLog, user_id: str, value: bytes) -> None:
    """Again and again while the log is away: the event's id makes that harmless."""
    deadline = time.monotonic() + WRITE_S
    while True:
        try:
            await log.publish(EVENTS_TOPIC, user_id, value)
            return
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(LOOK_S)


async def _caught_up(log: EventLog, users: UserStates) -> None:
    extent = await log.extent(EVENTS_TOPIC)
    deadline = time.monotonic() + CATCH_UP_S
    while True:
        progress = await users.progress()
        reached = progress.positions if progress else {}
        left = sum(max(0, part.stop - reached.get(p, 0)) for p, part in extent.items())
        if not left:
            return
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{left:,} events are still not applied after {CATCH_UP_S:g} s; is the updater "
                "well? (`hemline status`)"
            )
        await asyncio.sleep(LOOK_S)
