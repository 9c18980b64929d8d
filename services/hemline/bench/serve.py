"""The `hemline bench serve` story: how fast Recommend is, and what it costs.

    shoppers with a past -> idle -> closed loop: alone, then rising until more callers bring no more
    answers: the peak -> open loop at shares of the peak -> the same arrivals at a server that does
    nothing -> several times the peak, if asked for

Every phase begins with a warm-up that is not counted, and ends when its last call has.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from hemline.bench.arrivals import poisson_schedule
from hemline.bench.cpu import CpuUse, Families, cpu_use, one_server, read_cpu
from hemline.bench.empty_server import KINDS, empty_server
from hemline.bench.latency import Calls, LoadFigures, figures
from hemline.bench.load import Call, Requests, closed_loop, open_loop, raw_calls
from hemline.bench.shoppers import ShopperPlan, create_shoppers
from hemline.credentials import NO_CREDENTIALS, Credentials
from hemline.errors import HemlineError
from hemline.v1 import recommender_pb2

METHOD = "/hemline.v1.RecommenderService/Recommend"
QUARTER = 0.25
WARM_UP_S = 1.0
IDLE_S = 3.0
_IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64, 128)
_WORTH_MORE_CALLERS = 1.03
_MOST_WITHOUT_GAIN = 2


@dataclass(frozen=True)
class Rate:
    """An offered rate: a share of the peak, or requests per second."""

    value: float
    of_peak: bool

    def per_s(self, peak: float) -> float:
        return self.value * peak if self.of_peak else self.value


@dataclass(frozen=True)
class ServePlan:
    """What to measure. seconds: of each rate. k: items an answer. deadline_s: of each call.

    connections: HTTP/2 connections the requests are spread over. overload: how many times the peak
    to offer at the end; 0: do not.
    """

    gateway: str
    rates: tuple[Rate, ...]
    shoppers: ShopperPlan
    seconds: float = 10.0
    k: int = 20
    deadline_s: float = 1.0
    connections: int = 8
    overload: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class AnswerSample:
    """Some answers of a phase, read in full: did the server do all of its work?"""

    answers: int
    whole: int  # as many items as asked for
    personal: int
    degraded: int
    degraded_stages: dict[str, int]
    candidates_min: int
    candidates_median: int
    releases: tuple[str, ...]


@dataclass(frozen=True)
class Phase:
    """name: for people. cpu: None where the servers are not on this machine. in_flight: callers, 0
    where calls came by a schedule."""

    name: str
    load: LoadFigures
    cpu: CpuUse | None
    sample: AnswerSample | None = None
    in_flight: int = 0


@dataclass(frozen=True)
class Overload:
    """Shares and ratios of what `phase` measured to what the cluster can do and does when alone.

    peak_beside_per_s: measured just before and after, for machines change their speed within
    minutes; the rate offered is a multiple of the one before.
    """

    phase: Phase
    times_peak: float
    peak_beside_per_s: float
    goodput_share: float
    accepted_p99_to_alone: float
    accepted_p99_to_quarter: float


@dataclass(frozen=True)
class ServeReport:
    """All figures.

    cpu_ms_per_request is that at the peak, what a request costs where processors are used up; at
    lower rates, waking up and cold caches come on top. p50_to_empty and p99_to_empty_p50 are those
    at a quarter of the peak; the empty server compared with is the sync one, as Hemline's own are.
    """

    peak_per_s: float
    cpu_ms_per_request: float | None
    p50_to_empty: float
    p99_to_empty_p50: float
    alone: Phase
    closed: tuple[Phase, ...]
    rates: tuple[Phase, ...]
    quarter: Phase
    empty: dict[str, Phase]
    idle: CpuUse | None
    overload: Overload | None
    shoppers: int
    events: int
    requests: int
    repeated_requests: int
    plan: ServePlan = field(repr=False)


async def bench_serve(
    plan: ServePlan,
    item_ids: Sequence[str],
    servers: Callable[[], Families] | None,
    say: Callable[[str], None],
    credentials: Credentials = NO_CREDENTIALS,
) -> ServeReport:
    """Measure the cluster whose gateway `plan` names.

    item_ids: of the release it serves, most popular first. servers: finds its processes; None where
    they run elsewhere. say: takes a line of progress. credentials: for the gateway; the empty
    server is asked in plaintext, so that TLS and keys are part of what is compared with it.
    Raises HemlineError when no answer comes.
    """
    rng = np.random.default_rng(plan.seed)
    run_id = f"{time.time_ns() // 1_000_000:x}"
    events = await create_shoppers(
        plan.gateway, item_ids, plan.shoppers, run_id, rng, say, credentials
    )
    requests = Requests([_request(user, plan.k) for user in rng.permutation(list(events))])
    idle = await _idle(servers, say)
    async with AsyncExitStack() as stack:
        gateway = raw_calls(plan.gateway, METHOD, plan.connections, plan.deadline_s, credentials)
        bench = _Bench(plan, await stack.enter_async_context(gateway), requests, servers, rng, say)
        closed = await bench.rising()
        highest = max(closed, key=lambda phase: phase.load.answered_per_s)
        peak = highest.load.answered_per_s
        if not peak:
            raise HemlineError(f"no Recommend was answered: {dict(closed[0].load.failed)}")
        say(f"the peak is {peak:,.0f} answers/s")
        quarter = await bench.open(f"{QUARTER:.0%} of peak", QUARTER * peak)
        rates = [
            quarter
            if rate == Rate(QUARTER, True)
            else await bench.open(_name(rate), rate.per_s(peak))
            for rate in plan.rates
        ]
        empty = {kind: await _empty(kind, QUARTER * peak, bench) for kind in KINDS}
        overload = await _overload(bench, highest, closed[0], quarter) if plan.overload else None
    base_ms = empty["sync"].load.answered.p50_ms
    return ServeReport(
        peak_per_s=peak,
        cpu_ms_per_request=highest.cpu.ms_per_request if highest.cpu else None,
        p50_to_empty=_ratio(quarter.load.answered.p50_ms, base_ms),
        p99_to_empty_p50=_ratio(quarter.load.answered.p99_ms, base_ms),
        alone=closed[0],
        closed=tuple(closed),
        rates=tuple(rates),
        quarter=quarter,
        empty=empty,
        idle=idle,
        overload=overload,
        shoppers=len(events),
        events=sum(events.values()),
        requests=requests.taken,
        repeated_requests=requests.repeated,
        plan=plan,
    )


@dataclass(frozen=True)
class _Bench:
    """Phases against one server."""

    plan: ServePlan
    call: Call
    requests: Requests
    servers: Callable[[], Families] | None
    rng: np.random.Generator
    say: Callable[[str], None]
    reads_answers: bool = True

    async def rising(self) -> list[Phase]:
        """One caller, then ever more of them, until two steps in turn brought nothing."""
        phases: list[Phase] = []
        best, without_gain = 0.0, 0
        for in_flight in _IN_FLIGHT:
            name = f"{in_flight} in flight" if in_flight > 1 else "alone"
            phases.append(await self.closed(name, in_flight))
            rate = phases[-1].load.answered_per_s
            without_gain = 0 if rate > best * _WORTH_MORE_CALLERS else without_gain + 1
            best = max(best, rate)
            if without_gain == _MOST_WITHOUT_GAIN:
                break
        return phases

    async def closed(self, name: str, in_flight: int) -> Phase:
        """So many callers, each asking again as soon as it has its answer."""
        seconds = max(1.0, self.plan.seconds / 2)
        work = partial(closed_loop, self.call, self.requests, in_flight, seconds)
        return replace(await self._phase(name, work), in_flight=in_flight)

    async def open(self, name: str, rate_per_s: float) -> Phase:
        """Poisson arrivals at a rate."""

        async def offer(seconds: float) -> Calls:
            schedule = poisson_schedule(rate_per_s, seconds, self.rng)
            return await open_loop(self.call, self.requests, schedule)

        if rate_per_s * self.plan.seconds < 10:
            raise HemlineError(
                f"{name}: {rate_per_s:.1f} requests/s for {self.plan.seconds:g} s are too few to "
                "measure; give more --seconds or a higher rate"
            )
        await offer(max(WARM_UP_S, 10 / rate_per_s))
        return await self._phase(name, lambda: offer(self.plan.seconds))

    async def _phase(self, name: str, work: Callable[[], Awaitable[Calls]]) -> Phase:
        before = read_cpu(self.servers) if self.servers else None
        calls = await work()
        load = figures(calls)
        cpu = None
        if self.servers and before:
            cpu = cpu_use(before, read_cpu(self.servers), load.answered.count)
        sample = read_answers(calls.answers, self.plan.k) if self.reads_answers else None
        self.say(_line(name, load, cpu))
        return Phase(name, load, cpu, sample)


async def _idle(
    servers: Callable[[], Families] | None, say: Callable[[str], None]
) -> CpuUse | None:
    """What the servers use when nobody asks them; nothing of it is subtracted anywhere."""
    if servers is None:
        return None
    before = read_cpu(servers)
    await asyncio.sleep(IDLE_S)
    idle = cpu_use(before, read_cpu(servers), 0)
    say(
        f"idle: the servers use {idle.server_share:.1%} of a core, processes that have no part in "
        f"this {idle.elsewhere_share:.1%}"
    )
    return idle


async def _empty(kind: str, rate_per_s: float, bench: _Bench) -> Phase:
    """The same requests, arrivals and client against a server that does nothing."""
    plan = bench.plan
    requests = Requests([_request(f"bench-{n}", plan.k) for n in range(1000)])
    with empty_server(kind) as server:
        async with raw_calls(server.address, METHOD, plan.connections, plan.deadline_s) as call:
            find = one_server(kind, server.pid)
            empty = _Bench(plan, call, requests, find, bench.rng, bench.say, reads_answers=False)
            return await empty.open(f"empty {kind} server", rate_per_s)


async def _overload(bench: _Bench, highest: Phase, alone: Phase, quarter: Phase) -> Overload:
    times = bench.plan.overload
    before = await bench.closed(f"{highest.name}, before", highest.in_flight)
    peak = before.load.answered_per_s
    phase = await bench.open(f"{times:g} x {peak:,.0f}/s", times * peak)
    after = await bench.closed(f"{highest.name}, after", highest.in_flight)
    beside = (peak + after.load.answered_per_s) / 2
    accepted_ms = phase.load.answered.p99_ms
    return Overload(
        phase=phase,
        times_peak=times,
        peak_beside_per_s=round(beside, 1),
        goodput_share=_ratio(phase.load.answered_per_s, beside),
        accepted_p99_to_alone=_ratio(accepted_ms, alone.load.answered.p99_ms),
        accepted_p99_to_quarter=_ratio(accepted_ms, quarter.load.answered.p99_ms),
    )


def read_answers(answers: Sequence[bytes], k: int) -> AnswerSample | None:
    """What serialised RecommendResponses say of themselves; None of none."""
    if not answers:
        return None
    read = [recommender_pb2.RecommendResponse.FromString(answer) for answer in answers]
    candidates = sorted(answer.info.candidates for answer in read)
    stages = Counter(skipped.stage for answer in read for skipped in answer.info.degraded)
    return AnswerSample(
        answers=len(read),
        whole=sum(len(answer.items) == k for answer in read),
        personal=sum(answer.info.personal for answer in read),
        degraded=sum(bool(answer.info.degraded) for answer in read),
        degraded_stages=dict(stages.most_common()),
        candidates_min=candidates[0],
        candidates_median=candidates[len(candidates) // 2],
        releases=tuple(sorted({answer.info.release for answer in read})),
    )


def _request(user_id: str, k: int) -> bytes:
    request = recommender_pb2.RecommendRequest(user_id=user_id, k=k, surface="bench")
    return bytes(request.SerializeToString())


def _name(rate: Rate) -> str:
    return f"{rate.value:.0%} of peak" if rate.of_peak else f"{rate.value:g}/s"


def _ratio(value: float, base: float) -> float:
    return round(value / base, 3) if base else 0.0


def _line(name: str, load: LoadFigures, cpu: CpuUse | None) -> str:
    cost = f", {cpu.ms_per_request:.2f} CPU-ms each" if cpu else ""
    failed = f", {load.failed_share:.1%} failed" if load.failed else ""
    return (
        f"{name}: {load.answered_per_s:,.0f} answers/s, p50 {load.answered.p50_ms:.2f} ms, "
        f"p99 {load.answered.p99_ms:.2f} ms{cost}{failed}"
    )
