"""The `hemline bench serve` story: how fast Recommend is, and what it costs.

    shoppers with a past -> idle -> closed loop: alone, then rising until more callers bring no more
    answers: the peak -> open loop at shares of the peak -> the same arrivals at a server that does
    nothing -> if asked for, several times the peak, in turns with the peak and one caller alone

A phase begins with a warm-up that is not counted, see `hemline.bench.phases`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import numpy as np

from hemline.bench.cpu import CpuUse, Families, cpu_use, one_server, read_cpu
from hemline.bench.empty_server import KINDS, empty_server
from hemline.bench.load import Requests, raw_calls
from hemline.bench.overload import Overload, measure_overload
from hemline.bench.phases import Bench, Phase, ratio
from hemline.bench.shoppers import ShopperPlan, create_shoppers
from hemline.credentials import NO_CREDENTIALS, Credentials
from hemline.errors import HemlineError
from hemline.v1 import recommender_pb2

METHOD = "/hemline.v1.RecommenderService/Recommend"
QUARTER = 0.25
IDLE_S = 3.0


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
    to offer at the end; 0: do not. rounds: of overload, with the peak beside it.
    """

    gateway: str
    rates: tuple[Rate, ...]
    shoppers: ShopperPlan
    seconds: float = 10.0
    k: int = 20
    deadline_s: float = 1.0
    connections: int = 8
    overload: float = 0.0
    rounds: int = 5
    seed: int = 1


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
        call = await stack.enter_async_context(gateway)
        bench = Bench(plan.seconds, plan.k, call, requests, servers, rng, say)
        closed = await bench.rising()
        whole = [phase for phase in closed if phase.is_whole]
        highest = max(whole or closed, key=lambda phase: phase.load.answered_per_s)
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
        empty = {kind: await _empty(kind, QUARTER * peak, plan, bench) for kind in KINDS}
        overload = None
        if plan.overload:
            overload = await measure_overload(
                bench, plan.overload, plan.rounds, highest.in_flight, quarter
            )
    base_ms = empty["sync"].load.answered.p50_ms
    return ServeReport(
        peak_per_s=peak,
        cpu_ms_per_request=highest.cpu.ms_per_request if highest.cpu else None,
        p50_to_empty=ratio(quarter.load.answered.p50_ms, base_ms),
        p99_to_empty_p50=ratio(quarter.load.answered.p99_ms, base_ms),
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


async def _empty(kind: str, rate_per_s: float, plan: ServePlan, bench: Bench) -> Phase:
    """The same requests, arrivals and client against a server that does nothing."""
    requests = Requests([_request(f"bench-{n}", plan.k) for n in range(1000)])
    with empty_server(kind) as server:
        async with raw_calls(server.address, METHOD, plan.connections, plan.deadline_s) as call:
            find = one_server(kind, server.pid)
            empty = replace(bench, call=call, requests=requests, servers=find, reads_answers=False)
            return await empty.open(f"empty {kind} server", rate_per_s)


def _request(user_id: str, k: int) -> bytes:
    request = recommender_pb2.RecommendRequest(user_id=user_id, k=k, surface="bench")
    return bytes(request.SerializeToString())


def _name(rate: Rate) -> str:
    return f"{rate.value:.0%} of peak" if rate.of_peak else f"{rate.value:g}/s"
