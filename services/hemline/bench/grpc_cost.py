"""The `hemline bench grpc` story: what is left of a search's speed once it is called over gRPC.

    the release in this process, and the real retrieval server in another, over loopback
    in turns, round by round: so many searches under way at a time, of one query each

Both sides are asked through `contracts.Retrieval`, so that what the client does to make requests
and to read answers counts. In process there is one processor at work and a search thread; with a
server there are client and server: processor times say what the clock on a busy machine does not.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from hemline.bench.vector_sets import real_set
from hemline.contracts import Retrieval, VectorQuery
from hemline.errors import HemlineError
from hemline.gateway.remotes import RemoteRetrieval
from hemline.live_items import LiveItems
from hemline.local.child import Child, ChildSpec
from hemline.local.health import grpc_health_url
from hemline.local.plan import HOST, ONE_THREAD, TAKER_READS
from hemline.local.ports import choose_ports
from hemline.releases import Release, open_release
from hemline.retrieval.index import FlatRetrieval
from hemline.rpc import connect

WARM_UP_S = 0.5
TIMEOUT_S = 10.0
_DIFFERENT = 256  # queries


@dataclass(frozen=True)
class GrpcPlan:
    """releases: folder whose promoted release is searched. in_flight: searches under way at a time.
    seconds: of each side in each round. logs: folder for the server's output."""

    releases: Path
    logs: Path
    k: int = 100
    in_flight: int = 16
    rounds: int = 5
    seconds: float = 2.0
    seed: int = 1


@dataclass(frozen=True)
class Side:
    """Medians over the rounds: searches a second, and processor milliseconds a search of the server
    and of its caller; in process they are one, and `server_cpu_ms` has it all."""

    qps: float
    server_cpu_ms: float
    client_cpu_ms: float


@dataclass(frozen=True)
class GrpcReport:
    """ratio: of the two QPS, median of the rounds' own ratios. qps_in_process, qps_grpc: by round.
    different: answers that were not the same on both sides, of those compared."""

    release: str
    items: int
    dim: int
    k: int
    in_flight: int
    in_process: Side
    grpc: Side
    ratio: float
    ratios: list[float]
    qps_in_process: list[float]
    qps_grpc: list[float]
    compared: int
    different: int


@dataclass(frozen=True)
class _Round:
    qps: float
    server_cpu_ms: float
    client_cpu_ms: float


async def bench_grpc(plan: GrpcPlan, say: Callable[[str], None]) -> GrpcReport:
    """Measure both sides. Raises UnavailableError when the server does not start."""
    release = open_release(plan.releases)
    queries = _queries(release, plan)
    items = LiveItems(release)
    async with AsyncExitStack() as stack:
        inside = FlatRetrieval(items)
        stack.callback(inside.close)
        say("starting the retrieval server")
        server = await _start_server(plan, stack)
        channel = connect(server.spec.address)
        stack.push_async_callback(channel.close, None)
        outside = RemoteRetrieval(channel, items)
        compared = queries[:16]
        different = [not await _same(inside, outside, release.id, query) for query in compared]

        here = psutil.Process()
        there = psutil.Process(server.pid)
        rounds: list[tuple[_Round, _Round]] = []
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            in_process = await _measure(inside, release.id, queries, plan, here, None)
            grpc = await _measure(outside, release.id, queries, plan, here, there)
            rounds.append((in_process, grpc))
    ratios = [grpc.qps / in_process.qps for in_process, grpc in rounds]
    return GrpcReport(
        release=release.id,
        items=len(release.item_content),
        dim=release.item_content.shape[1],
        k=plan.k,
        in_flight=plan.in_flight,
        in_process=_side([first for first, _ in rounds]),
        grpc=_side([second for _, second in rounds]),
        ratio=round(float(np.median(ratios)), 3),
        ratios=[round(ratio, 3) for ratio in ratios],
        qps_in_process=[round(first.qps, 1) for first, _ in rounds],
        qps_grpc=[round(second.qps, 1) for _, second in rounds],
        compared=len(compared),
        different=sum(different),
    )


def _queries(release: Release, plan: GrpcPlan) -> list[VectorQuery]:
    rng = np.random.default_rng(plan.seed)
    vectors = real_set("content", np.asarray(release.item_content), _DIFFERENT, rng).queries
    return [VectorQuery("content", vector, plan.k) for vector in vectors]


async def _start_server(plan: GrpcPlan, stack: AsyncExitStack) -> Child:
    """The process that a cluster runs, without an event log."""
    ports = choose_ports(0)
    address = f"{HOST}:{ports.retrieval}"
    command = [sys.executable, "-m", "hemline.retrieval", "--releases", str(plan.releases)]
    command += ["--address", address, "--metrics-port", str(ports.metrics(ports.retrieval))]
    spec = ChildSpec(
        name="retrieval",
        argv=tuple(command),
        address=address,
        health=(grpc_health_url(address, None),),
        env={**ONE_THREAD, **TAKER_READS},
    )
    plan.logs.mkdir(parents=True, exist_ok=True)
    child = Child(spec, plan.logs / "bench-retrieval.log")
    await child.spawn()
    stack.push_async_callback(child.stop)
    await child.until_ready()
    return child


async def _same(inside: Retrieval, outside: Retrieval, release_id: str, query: VectorQuery) -> bool:
    (a,) = await inside.search(release_id, [query], TIMEOUT_S)
    (b,) = await outside.search(release_id, [query], TIMEOUT_S)
    return np.allclose(a.scores, b.scores, atol=1e-5) and len(a.rows) == len(b.rows)


async def _measure(
    retrieval: Retrieval,
    release_id: str,
    queries: Sequence[VectorQuery],
    plan: GrpcPlan,
    here: psutil.Process,
    there: psutil.Process | None,
) -> _Round:
    """One side of a round. there: the process of the server; None: it is this one."""

    def ask(number: int) -> Awaitable[object]:
        return retrieval.search(release_id, [queries[number % len(queries)]], TIMEOUT_S)

    await _keep_asking(ask, plan.in_flight, WARM_UP_S)
    processes = [here] if there is None else [there, here]
    before = [_cpu_s(process) for process in processes]
    began = time.perf_counter()
    searches = await _keep_asking(ask, plan.in_flight, plan.seconds)
    took_s = time.perf_counter() - began
    if not searches:
        raise HemlineError(f"no search was answered in {took_s:.0f} s")
    used = [_cpu_s(process) - cpu_s for process, cpu_s in zip(processes, before, strict=True)]
    cpu_ms = [1000 * cpu_s / searches for cpu_s in used]
    return _Round(searches / took_s, cpu_ms[0], cpu_ms[1] if there is not None else 0.0)


async def _keep_asking(
    ask: Callable[[int], Awaitable[object]], in_flight: int, seconds: float
) -> int:
    """Searches answered while so many are under way at a time."""
    ends = time.perf_counter() + seconds
    done = 0

    async def ask_on(number: int) -> None:
        nonlocal done
        while time.perf_counter() < ends:
            await ask(number)
            number += in_flight
            done += 1
            await asyncio.sleep(0)  # a search in this process may never have waited

    await asyncio.gather(*(ask_on(number) for number in range(in_flight)))
    return done


def _side(rounds: Sequence[_Round]) -> Side:
    def median(name: str) -> float:
        return float(np.median([getattr(each, name) for each in rounds]))

    return Side(
        qps=round(median("qps"), 1),
        server_cpu_ms=round(median("server_cpu_ms"), 4),
        client_cpu_ms=round(median("client_cpu_ms"), 4),
    )


def _cpu_s(process: psutil.Process) -> float:
    if process.pid == os.getpid():
        return time.process_time()
    times = process.cpu_times()
    return float(times.user + times.system)
