"""One small run: clicks at a gateway and an updater that die, hang and starve, all by one seed.

draw clicks and faults from the seed -> start -> send while the faults happen
-> make everything whole again -> wait until the log is applied -> check
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import checker
import grpc.aio
from checker import Finding
from dying import Call
from end_state import check_end
from ledger import Click, Ledger, draw_clicks
from patience import patience
from small_cluster import Kept, Nursery
from small_disk import SmallDisk, small_disk, why_no_small_disk
from small_processes import Spawn

from free_ports import free_port
from hemline.errors import HemlineError
from hemline.event_log import EVENTS_TOPIC
from hemline.sqlite_event_log import SqliteEventLog
from hemline.sqlite_user_state import SqliteUserStates
from hemline.v1.event_pb2 import Event, RecordEventRequest
from hemline.v1.event_pb2_grpc import EventServiceStub
from hemline.wire import EVENT_KINDS

LOAD_S = 0.8
SENDERS = 6
TRY_S = 0.25  # a client's patience with the first try, twice as long with each one after it
PATIENCE_S = 60.0  # with all the clicks
SETTLE_S = 60.0
DISK_MB = 32  # of which the write-ahead logs take up to 4 each
RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 60),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


# How the processes of one name die that are started first, second …; those after do not.
Deaths = list[tuple[Call, int, bool] | None]


@dataclass(frozen=True)
class Fault:
    """kind: kill, pause, fill (the disk) or repeat (a record of the log, as it is)."""

    kind: str
    target: str
    at_s: float
    lasts_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """All that a seed decides. deaths: by process, at calls of its own; see dying.py."""

    clicks: Sequence[Click]
    faults: Sequence[Fault]
    deaths: dict[str, Deaths]
    standby: bool
    on_small_disk: bool
    client_seed: int


@dataclass
class Outcome:
    """What a run came to; all is well when there are no findings."""

    seed: int
    findings: list[Finding] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)  # statuses of tries that failed
    sent: int = 0
    tries: int = 0
    acknowledged: int = 0
    unknown: int = 0
    repeated: int = 0  # records of the log that repeat an event
    restarts: int = 0
    settled_s: float = 0.0  # from everything being whole again to everything being applied
    took_s: float = 0.0
    load_average: float = 0.0  # of the machine at the end: what the times are worth


def draw_plan(seed: int) -> Plan:
    rng = random.Random(seed)
    heavy = rng.random() < 0.25  # a shopper with more clicks than a history holds
    shoppers = {f"s{seed}-{n}": 12.0 if heavy and n == 0 else 1.0 for n in range(5)}
    count = rng.randrange(350, 500) if heavy else rng.randrange(100, 250)
    began_ms = time.time_ns() // 1_000_000 - 3_600_000
    standby = rng.random() < 0.3
    processes = ["gateway", "updater", *(["updater-2"] if standby else [])]
    on_small_disk = rng.random() < 0.2

    faults = [_draw_fault(rng, processes) for _ in range(rng.randrange(2, 6))]
    if on_small_disk:
        faults.append(Fault("fill", "disk", rng.uniform(0.1, LOAD_S), rng.uniform(0.05, 0.3)))
    deaths: dict[str, Deaths] = {}
    for name in processes:
        calls: tuple[Call, ...] = ("compare_and_set", "advance")
        if name == "gateway":
            calls = ("publish",)
        deaths[name] = [
            (rng.choice(calls), rng.randrange(1, 12), rng.random() < 0.5)
            for _ in range(rng.randrange(3))
        ]
    clicks = draw_clicks(rng, count, shoppers, began_ms, f"e{seed}")
    return Plan(clicks, faults, deaths, standby, on_small_disk, rng.randrange(1 << 30))


def _draw_fault(rng: random.Random, processes: Sequence[str]) -> Fault:
    kind = rng.choices(("kill", "pause", "repeat"), (5, 3, 2))[0]
    target = "log" if kind == "repeat" else rng.choice(processes)
    return Fault(kind, target, rng.uniform(0.05, LOAD_S), rng.uniform(0.05, 0.4))


async def small_run(
    seed: int, nursery: Nursery, folder: Path, plan: Plan | None = None, bug: str = ""
) -> Outcome:
    """Run one seed below `folder`; what it left there is removed again unless something is found.

    plan: instead of the one drawn from the seed. bug: of small_processes.BUGS. On a machine where
    no file system can be mounted, no disk fills.
    """
    plan = plan or draw_plan(seed)
    home = folder / f"seed-{seed}"
    began = time.monotonic()
    with ExitStack() as stack:
        disk = None
        if plan.on_small_disk and not why_no_small_disk():
            disk = stack.enter_context(small_disk(home, DISK_MB))
        home.mkdir(parents=True, exist_ok=True)
        outcome = await _Run(plan, Outcome(seed), nursery, home, disk, bug).story()
    outcome.took_s = time.monotonic() - began
    outcome.load_average = os.getloadavg()[0]
    if not outcome.findings:
        shutil.rmtree(home, ignore_errors=True)
        for log in folder.glob(f"seed-{seed}.*.log"):
            log.unlink()
    return outcome


class _Run:
    def __init__(
        self,
        plan: Plan,
        outcome: Outcome,
        nursery: Nursery,
        home: Path,
        disk: SmallDisk | None,
        bug: str,
    ) -> None:
        self.plan = plan
        self.outcome = outcome
        self.disk = disk
        self.ledger = Ledger()
        self.rng = random.Random(plan.client_seed)
        self.log = SqliteEventLog(home / "events.sqlite")
        self.users = SqliteUserStates(home / "users.sqlite")
        self.port = free_port()
        names = ["gateway", "updater", *(["updater-2"] if plan.standby else [])]
        self.kept: dict[str, Kept] = {}
        for name in names:
            role = name.partition("-")[0]
            port = self.port if role == "gateway" else 0
            spawn = Spawn(role, name, str(home), port, bug=bug)
            self.kept[name] = Kept(nursery, spawn, restart_s=self.rng.uniform(0.0, 0.1))
            self.kept[name].deaths.extend(plan.deaths[name])

    async def story(self) -> Outcome:
        outcome = self.outcome
        try:
            faults = [asyncio.create_task(self._inject(fault)) for fault in self.plan.faults]
            sending = asyncio.gather(self._send_all(), *faults)
            async for _ in patience(PATIENCE_S):
                if sending.done():
                    break
            if sending.done():
                await sending  # raises what went wrong in us
            else:
                sending.cancel()
                await asyncio.wait((sending,))
                patience_s = f"within {PATIENCE_S:g} s"
                outcome.findings.append(Finding("the gateway did not come back", 1, patience_s))
            findings, records, settled_s = await check_end(
                self.ledger, self.log, self.users, SETTLE_S
            )
            outcome.findings += findings
            outcome.settled_s = SETTLE_S if settled_s is None else settled_s
            outcome.repeated = checker.repeats(records)
        finally:
            stopped = await asyncio.gather(*(kept.stop() for kept in self.kept.values()))
            await self.users.close()
            await self.log.close()
        if not all(stopped):
            hung = [name for name, ended in zip(self.kept, stopped, strict=True) if not ended]
            outcome.findings.append(Finding("did not end when asked to", len(hung), str(hung)))
        outcome.sent, outcome.tries = len(self.ledger.sent), self.ledger.tries
        outcome.acknowledged = len(self.ledger.acknowledged)
        outcome.unknown = self.ledger.unknown
        outcome.restarts = sum(kept.restarts for kept in self.kept.values())
        return outcome

    async def _send_all(self) -> None:
        """Every click at its time in the order of the plan, by a few senders at once."""
        clicks = iter(enumerate(self.plan.clicks))
        pace_s = LOAD_S / len(self.plan.clicks)
        began = time.monotonic()
        address = f"127.0.0.1:{self.port}"
        async with grpc.aio.insecure_channel(address, options=RECONNECT) as channel:
            stub = EventServiceStub(channel)

            async def sender() -> None:
                for place, click in clicks:
                    await asyncio.sleep(began + place * pace_s - time.monotonic())
                    await self._send(stub, click)

            await asyncio.gather(*(sender() for _ in range(SENDERS)))

    async def _send(self, stub: EventServiceStub, click: Click) -> None:
        """Until it is acknowledged, or the client loses heart; sometimes once more on top."""
        pause_s, try_s = 0.02, TRY_S
        while not await self._try(stub, click, try_s):
            if self.rng.random() < 0.03:
                return
            await asyncio.sleep(pause_s)
            pause_s, try_s = min(2 * pause_s, 0.2), min(2 * try_s, 8.0)
        if self.rng.random() < 0.1:
            await self._try(stub, click, try_s)

    async def _try(self, stub: EventServiceStub, click: Click, try_s: float) -> bool:
        event = Event(
            event_id=click.event_id,
            user_id=click.user_id,
            item_id=click.item_id,
            kind=EVENT_KINDS[click.kind],
            occurred_ms=click.occurred_ms,
        )
        self.ledger.trying(click)
        try:
            await stub.RecordEvent(RecordEventRequest(event=event), timeout=try_s)
        except grpc.aio.AioRpcError as error:
            self.outcome.refusals[error.code().name] += 1
            return False
        self.ledger.acknowledged[click.event_id] += 1
        return True

    async def _inject(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        self.outcome.faults[f"{fault.kind} {fault.target}"] += 1
        if fault.kind == "kill":
            self.kept[fault.target].signal(signal.SIGKILL)
        elif fault.kind == "pause":
            self.kept[fault.target].signal(signal.SIGSTOP)
            await asyncio.sleep(fault.lasts_s)
            self.kept[fault.target].signal(signal.SIGCONT)
        elif fault.kind == "repeat":
            await self._repeat()
        elif fault.kind == "fill" and self.disk is not None:
            self.disk.fill()
            await asyncio.sleep(fault.lasts_s)
            self.disk.free()

    async def _repeat(self) -> None:
        """Some records of the log once more, as a producer that lost an answer would write them."""
        consumer = self.log.consumer(EVENTS_TOPIC, "repeater")
        try:
            for record in (await consumer.poll(20, 0.05))[::3]:
                await self.log.publish(EVENTS_TOPIC, record.key, record.value)
        except HemlineError:
            pass  # the disk is full, or the file is being written: not what is tested here
        finally:
            await consumer.close()
