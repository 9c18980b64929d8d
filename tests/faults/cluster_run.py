"""One run of a whole cluster: under steady load, one process after the other dies or hangs.

    draw from the seed what stands around the cluster, and the faults -> start -> shoppers get a
    history -> load -> for each fault: inject it, undo it, wait until everything is whole again
    -> end the load -> check every acknowledged click

How long it takes to be whole again is measured from the moment the cause is gone (a process was
started again, goes on, or is fast again) until the process says it is healthy, a new click is
acknowledged and known to both gateways, and both answer a Recommend from it without more degraded
stages than before the fault.
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
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import checker
import grpc.aio
from checker import Finding
from cluster_clients import Asked, Clients, Freezes, at_a_rate
from end_state import check_end
from ledger import Click, draw_clicks
from small_disk import SmallDisk, small_disk, why_no_small_disk
from whole_cluster import Around, DidNotStartError, Running, whole_cluster

from hemline.errors import HemlineError
from hemline.event_log import EVENTS_TOPIC
from hemline.stores import open_event_log, open_user_states
from small_world import item_id

EVENTS_PER_S = 20.0
RECOMMENDS_PER_S = 15.0
SHOPPERS = 20
KNOWN = 5
CALM_S = 1.0  # before every fault
RECOVERY_S = 90.0  # the most we wait
SETTLE_S = 60.0
SLOW_S = 0.3  # what a slow backend adds to everything it says or hears
DISK_MB = 192


@dataclass(frozen=True)
class Fault:
    """kind: kill (SIGKILL), restart (SIGTERM), pause (SIGSTOP), slow (a proxy), fill (the disk) or
    repeat (records of the log, as they are). lasts_s: of those that end."""

    kind: str
    target: str
    lasts_s: float = 0.0


@dataclass
class Cost:
    """What a fault did to the shoppers who came between it and the recovery.

    degraded: answers by stage and reason, beyond what is usual without a fault. away_s: how long
    the cause was there. start_s: until a process that was started again was healthy; processor_s:
    what it had used of the processors by then. recovery_s: until all was whole; None: never.
    frozen: this very process did not run meanwhile, see Freezes.
    """

    kind: str
    target: str
    asked: int = 0
    answered: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)  # by the errors of all tries
    degraded: Counter[str] = field(default_factory=Counter)
    away_s: float = 0.0
    start_s: float | None = None
    processor_s: float | None = None
    recovery_s: float | None = None
    frozen: bool = False


@dataclass
class Outcome:
    """asked, answered: Recommends, without the `disturbed` ones that a freeze of the whole machine
    may have cost."""

    seed: int
    around: str
    findings: list[Finding] = field(default_factory=list)
    faults: list[Cost] = field(default_factory=list)
    sent: int = 0
    tries: int = 0
    acknowledged: int = 0
    unknown: int = 0
    repeated: int = 0
    asked: int = 0
    answered: int = 0
    disturbed: int = 0
    slowest_s: float = 0.0
    settled_s: float = 0.0
    took_s: float = 0.0
    load_average: float = 0.0  # of the machine at the end: what the times are worth


def draw_run(seed: int) -> tuple[Around, list[Fault]]:
    """What a seed decides. Kafka and Redis in three of four runs, Triton in every eighth."""
    rng = random.Random(seed)
    real = seed % 4 != 0
    around = Around(kafka=real, redis=real, triton=seed % 8 == 2)
    return around, draw_faults(rng, around, 5)


def draw_faults(rng: random.Random, around: Around, count: int) -> list[Fault]:
    """Different ones of all that can happen there, in any order."""
    targets = ["gateway", "gateway-2", "updater", "retrieval", "reranker", "indexer"]
    servers = [name for name in ("kafka", "redis", "triton") if getattr(around, name)]
    possible = [(kind, name) for name in targets for kind in ("kill", "restart", "pause")]
    # What is around counts double, or the rest would hide it.
    possible += 2 * [(kind, name) for name in servers for kind in ("kill", "restart", "pause")]
    possible += [("slow", "retrieval"), ("repeat", "log")]
    possible += [("slow", "redis")] if around.redis else []
    if not servers and not why_no_small_disk():
        possible += [("fill", "disk")] * 3
    rng.shuffle(possible)
    chosen = list(dict.fromkeys(possible))[:count]
    return [Fault(kind, name, rng.uniform(1.0, 3.0)) for kind, name in chosen]


async def cluster_run(
    seed: int,
    folder: Path,
    install: Path,
    around: Around,
    faults: Sequence[Fault],
) -> Outcome:
    """Run these faults in this order below `folder`; what it left there is removed again unless
    something is found. install: the home where Triton and Kafka are, or are installed first."""
    began = time.monotonic()
    home = folder / f"cluster-{seed}"
    shutil.rmtree(home, ignore_errors=True)
    outcome = Outcome(seed, str(around))
    async with AsyncExitStack() as stack:
        disk = None
        if any(fault.kind == "fill" for fault in faults):
            disk = stack.enter_context(small_disk(home, DISK_MB))
        try:
            cluster = await stack.enter_async_context(whole_cluster(home, install, around))
        except DidNotStartError as error:
            outcome.findings.append(Finding("the cluster did not start", 1, str(error)))
            return outcome
        known = [f"known-{seed}-{n}" for n in range(KNOWN)]
        clients = Clients(cluster.gateways, known, seed)
        stack.push_async_callback(clients.close)

        run = _Run(seed, cluster, clients, disk)
        await run.story(faults)
        log, users = open_event_log(cluster.log), open_user_states(cluster.users)
        stack.push_async_callback(log.close)
        stack.push_async_callback(users.close)
        outcome.faults, outcome.findings = run.costs, run.findings()
        ledger = clients.ledger
        findings, records, settled_s = await check_end(ledger, log, users, SETTLE_S)
        outcome.findings += findings
        outcome.settled_s = SETTLE_S if settled_s is None else settled_s
        outcome.repeated = checker.repeats(records)
        outcome.sent, outcome.tries = len(ledger.sent), ledger.tries
        outcome.acknowledged, outcome.unknown = len(ledger.acknowledged), ledger.unknown
        asked = run.undisturbed()
        outcome.asked, outcome.disturbed = len(asked), len(clients.asked) - len(asked)
        outcome.answered = sum(each.answered for each in asked)
        outcome.slowest_s = max((each.took_s for each in asked), default=0.0)
        if outcome.findings and disk is not None:
            shutil.copytree(cluster.run / "logs", folder / f"logs-{seed}", dirs_exist_ok=True)
    outcome.took_s = time.monotonic() - began
    outcome.load_average = os.getloadavg()[0]
    if not outcome.findings:
        shutil.rmtree(home, ignore_errors=True)
    return outcome


class _Run:
    def __init__(
        self, seed: int, cluster: Running, clients: Clients, disk: SmallDisk | None
    ) -> None:
        self.cluster = cluster
        self.clients = clients
        self.disk = disk
        self.costs: list[Cost] = []
        self.usual: set[str] = set()  # degraded without any fault
        self._name = f"c{seed}"
        self._rng = random.Random(seed)
        self._now_ms = time.time_ns() // 1_000_000
        self._probes = 0
        self._freezes = Freezes()
        self._spans: list[tuple[float, float]] = []  # of each fault, from injection to recovery

    async def story(self, faults: Sequence[Fault]) -> None:
        shoppers = dict.fromkeys([f"s{self._name}-{n}" for n in range(SHOPPERS)], 1.0)
        clicks = iter(draw_clicks(self._rng, 50_000, shoppers, self._now_ms - 10**9, self._name))
        askers = [*self.clients.known * 4, *shoppers, "nobody has met me"]
        await self._introduce()
        watching = asyncio.create_task(self._freezes.watch())
        async with (
            at_a_rate(EVENTS_PER_S, lambda: self.clients.click(next(clicks))),
            at_a_rate(RECOMMENDS_PER_S, lambda: self.clients.ask(self._rng.choice(askers))),
        ):
            for fault in faults:
                await asyncio.sleep(CALM_S)
                await self._suffer(fault)
            await asyncio.sleep(CALM_S)
        watching.cancel()
        for cost, (began, ended) in zip(self.costs, self._spans, strict=True):
            self._count(cost, began, ended)

    def undisturbed(self) -> list[Asked]:
        return [asked for asked in self.clients.asked if not self._freezes.touched(asked)]

    def findings(self) -> list[Finding]:
        """What is wrong with the answers and the recoveries."""
        found = [
            Finding("never whole again", 1, f"after {cost.kind} {cost.target}")
            for cost in self.costs
            if cost.recovery_s is None
        ]
        wrong = Counter(asked.wrong for asked in self.clients.asked if asked.wrong)
        found += [Finding("a wrong answer", count, what) for what, count in wrong.items()]
        quiet = [a for a in self.undisturbed() if not a.answered and not self._in_a_fault(a)]
        if quiet:
            errors = ", ".join(sorted({asked.error for asked in quiet}))
            found.append(Finding("unanswered without any fault", len(quiet), errors))
        return found

    def _in_a_fault(self, asked: Asked) -> bool:
        return any(began - 2.0 <= asked.at <= ended + 2.0 for began, ended in self._spans)

    async def _introduce(self) -> None:
        """Shoppers with a history, and what is degraded on a cluster without any fault."""
        for user_id in self.clients.known:
            await self._probe(user_id)
        for gateway in self.clients.gateways:
            answer = await gateway.recommend(self.clients.known[0], timeout_s=10.0)
            self.usual |= {each.stage for each in answer.info.degraded}

    async def _suffer(self, fault: Fault) -> None:
        """Inject a fault, undo it, and measure until all is whole."""
        cost = Cost(fault.kind, fault.target)
        self.costs.append(cost)
        began = time.monotonic()
        away_until = await self._inject(fault, cost)
        try:
            async with asyncio.timeout(RECOVERY_S):
                await self._until_whole(f"probe-{self._name}-{len(self.costs)}")
            cost.recovery_s = time.monotonic() - away_until
        except TimeoutError:
            pass
        cost.away_s = away_until - began
        ended = time.monotonic()
        self._spans.append((began, ended))
        cost.frozen = any(began < to and since < ended for since, to in self._freezes.spans)

    def _count(self, cost: Cost, began: float, ended: float) -> None:
        """What the shoppers of this fault saw, those just before it included: they were waiting."""
        for asked in self.clients.asked:
            if not began - 1.0 <= asked.at <= ended:
                continue
            cost.degraded.update(
                each for each in set(asked.degraded) if each.partition(":")[0] not in self.usual
            )
            if not self._freezes.touched(asked):
                cost.asked += 1
                cost.answered += asked.answered
                if not asked.answered:
                    cost.unanswered[asked.error] += 1

    async def _inject(self, fault: Fault, cost: Cost) -> float:
        """The fault, until its cause is gone; the time.monotonic() of that."""
        name = fault.target
        if fault.kind in ("kill", "restart"):
            restarts = self.cluster.processes[name].restarts
            number = signal.SIGKILL if fault.kind == "kill" else signal.SIGTERM
            self.cluster.signal(name, number)
            cost.start_s = await self.cluster.until_back(name, restarts, RECOVERY_S)
            if cost.start_s is not None:
                cost.processor_s = self.cluster.processor_s(name)
            started_ago_s = time.time() - self.cluster.processes[name].started
            return time.monotonic() - started_ago_s
        if fault.kind == "pause":
            self.cluster.signal(name, signal.SIGSTOP)
            await asyncio.sleep(fault.lasts_s)
            self.cluster.signal(name, signal.SIGCONT)
        elif fault.kind == "slow":
            self.cluster.proxies[name].delay_s = SLOW_S
            await asyncio.sleep(fault.lasts_s)
            self.cluster.proxies[name].delay_s = 0.0
        elif fault.kind == "fill":
            assert self.disk is not None
            await asyncio.to_thread(self.disk.fill)
            await asyncio.sleep(fault.lasts_s)
            self.disk.free()
        elif fault.kind == "repeat":
            await self._repeat()
        return time.monotonic()

    async def _repeat(self) -> None:
        """Records of the log once more, as a producer that lost its acknowledgement writes them."""
        log = open_event_log(self.cluster.log)
        try:
            consumer = log.consumer(EVENTS_TOPIC, f"repeater-{self._name}")
            for record in await consumer.poll(200, 5.0):
                await log.publish(EVENTS_TOPIC, record.key, record.value)
        except HemlineError:
            pass  # it is the log's right to be busy
        finally:
            await log.close()

    async def _until_whole(self, user_id: str) -> None:
        await self._probe(user_id)
        for gateway in self.clients.gateways:
            while True:
                try:
                    answer = await gateway.recommend(user_id)
                    degraded = {each.stage for each in answer.info.degraded}
                    if answer.info.personal and degraded <= self.usual:
                        break
                except grpc.aio.AioRpcError:
                    pass
                await asyncio.sleep(0.03)

    async def _probe(self, user_id: str) -> None:
        """A click of a new shopper, until both gateways know of it."""
        self._probes += 1
        click = Click(
            f"{self._name}-probe-{self._probes}",
            user_id,
            item_id("dress", self._probes % 20),
            "purchase",
            self._now_ms,
        )
        await self.clients.insist(click)
        for gateway in self.clients.gateways:
            while True:
                try:
                    if await gateway.events_of(user_id):
                        break
                except grpc.aio.AioRpcError:
                    pass
                await asyncio.sleep(0.03)
