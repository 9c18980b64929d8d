"""The `hemline bench events` story: how soon the next answer knows of an event, under load.

events of many shoppers at a rate, half of them each in a call, half in streams
beside them new shoppers, each with one event: acknowledged -> asked for until it is visible
-> the next Recommend must be a personal one (`hemline.bench.probes`)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc.aio
import numpy as np

from hemline.bench.arrivals import poisson_schedule
from hemline.bench.cpu import CpuUse, Families, cpu_use, read_cpu
from hemline.bench.drawn_events import DrawnEvents
from hemline.bench.latency import Calls, Latency, LoadFigures, figures, latency_of
from hemline.bench.load import Requests, open_loop, raw_calls
from hemline.bench.probes import ProbeCalls, Probes
from hemline.bench.updater_metrics import UpdaterFigures, UpdaterWatch
from hemline.credentials import NO_CREDENTIALS, Credentials
from hemline.errors import HemlineError
from hemline.rpc import connect
from hemline.v1 import event_pb2, event_pb2_grpc, recommender_pb2_grpc, user_pb2_grpc

METHOD = "/hemline.v1.EventService/RecordEvent"
WARM_UP_S = 2.0
STREAM_S = 1.0  # a stream is acknowledged as a whole, so none may last long
CALL_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class EventsPlan:
    """rate_per_s: events offered. streamed: share of them sent by RecordEvents.

    users: shoppers they come from. probes_per_s: shoppers that are watched, one event each.
    """

    gateway: str
    rate_per_s: float = 1000.0
    seconds: float = 20.0
    users: int = 20_000
    streamed: float = 0.5
    probes_per_s: float = 10.0
    connections: int = 4
    seed: int = 1


@dataclass(frozen=True)
class EventsReport:
    """load: of RecordEvent, latency until acknowledged. streamed: events acknowledged by streams,
    streams_failed: streams that were not.

    probes: begun. probes_refused: not acknowledged, by the error. visible: from a probe's
    acknowledgement until the store had its event. late: of which that was not seen within 10 s,
    lost: nor 30 s after the load. looks_refused: looks at probes the gateway did not answer.
    not_known: Recommends that came after and did not know. unanswered: those that got no answer.
    acknowledged_per_s: of both kinds. cpu: per event acknowledged, probes included. updater: None
    where the servers are not on this machine.
    """

    offered_per_s: float
    acknowledged_per_s: float
    load: LoadFigures
    streamed: int
    streams_failed: int
    visible: Latency
    probe_acknowledged: Latency
    probes: int
    probes_refused: dict[str, int]
    late: int
    lost: int
    looks_refused: int
    not_known: int
    unanswered: int
    cpu: CpuUse | None
    updater: UpdaterFigures | None
    plan: EventsPlan = field(repr=False)


async def bench_events(
    plan: EventsPlan,
    item_ids: Sequence[str],
    servers: Callable[[], Families] | None,
    find_updater: Callable[[], UpdaterWatch | None] | None,
    say: Callable[[str], None],
    credentials: Credentials = NO_CREDENTIALS,
) -> EventsReport:
    """Measure the cluster whose gateway `plan` names.

    item_ids: of the release it serves, most popular first. servers, find_updater: find its
    processes; None where they run elsewhere. credentials: for the gateway.
    Raises HemlineError when no event is acknowledged.
    """
    rng = np.random.default_rng(plan.seed)
    run_id = f"{time.time_ns() // 1_000_000:x}"
    events = DrawnEvents(item_ids, plan.users, run_id, rng)
    gateway = raw_calls(plan.gateway, METHOD, plan.connections, CALL_TIMEOUT_S, credentials)
    async with connect(plan.gateway, credentials.tls) as channel, gateway as record:
        calls = _Calls(channel, credentials)
        load = _Load(plan, events, rng, record, calls)
        probes = Probes(calls.of_probes, plan.probes_per_s, item_ids, run_id, rng)
        await asyncio.gather(load.offer(WARM_UP_S), probes.watch(WARM_UP_S))
        say(f"{plan.rate_per_s:,.0f} events/s for {plan.seconds:g} s")
        stopping = asyncio.Event()
        watch = find_updater() if find_updater else None
        watching = asyncio.create_task(watch.run(stopping)) if watch else None
        before = read_cpu(servers) if servers else None
        offered, watched = await asyncio.gather(
            load.offer(plan.seconds), probes.watch(plan.seconds)
        )
        acknowledged = offered.acknowledged + len(watched.acknowledged_s)
        cpu = None
        if servers and before:
            cpu = cpu_use(before, read_cpu(servers), acknowledged)
        stopping.set()
        updater = await watching if watching else None
        await probes.look_again(watched)
    if not acknowledged:
        raise HemlineError("no event was acknowledged; is the event log up? (`hemline status`)")
    return EventsReport(
        offered_per_s=round(offered.events / plan.seconds, 1),
        acknowledged_per_s=round(acknowledged / offered.seconds, 1),
        load=figures(offered.calls),
        streamed=offered.streamed,
        streams_failed=offered.streams_failed,
        visible=latency_of(np.array(watched.visible_s)),
        probe_acknowledged=latency_of(np.array(watched.acknowledged_s)),
        probes=watched.begun,
        probes_refused=dict(watched.refused),
        late=len(watched.late),
        lost=len(watched.lost),
        looks_refused=watched.looks_refused,
        not_known=watched.not_known,
        unanswered=watched.unanswered,
        cpu=cpu,
        updater=updater,
        plan=plan,
    )


class _Calls:
    """The methods of the gateway that are measured, with the caller's credentials."""

    def __init__(self, channel: grpc.aio.Channel, credentials: Credentials) -> None:
        events: Any = event_pb2_grpc.EventServiceStub(channel)  # type: ignore[no-untyped-call]
        users: Any = user_pb2_grpc.UserServiceStub(channel)  # type: ignore[no-untyped-call]
        recommender: Any = recommender_pb2_grpc.RecommenderServiceStub(channel)  # type: ignore[no-untyped-call]
        shown = {"metadata": credentials.metadata}
        self.record_events = partial(events.RecordEvents, **shown)
        self.of_probes = ProbeCalls(
            partial(events.RecordEvent, **shown),
            partial(users.GetUser, **shown),
            partial(recommender.Recommend, **shown),
        )


@dataclass(frozen=True)
class _Offered:
    """seconds: until the last of the events was acknowledged or refused."""

    seconds: float
    events: int
    calls: Calls
    streamed: int
    streams_failed: int

    @property
    def acknowledged(self) -> int:
        return self.calls.codes.count("OK") + self.streamed


class _Load:
    """The events of all others."""

    def __init__(
        self,
        plan: EventsPlan,
        events: DrawnEvents,
        rng: np.random.Generator,
        record: Callable[[bytes], Awaitable[bytes]],
        calls: _Calls,
    ) -> None:
        self._plan = plan
        self._events = events
        self._rng = rng
        self._record = record
        self._calls = calls

    async def offer(self, seconds: float) -> _Offered:
        single = self._plan.rate_per_s * (1 - self._plan.streamed)
        schedule = poisson_schedule(single, seconds, self._rng)
        drawn = self._events.draw(len(schedule))
        requests = Requests(
            [event_pb2.RecordEventRequest(event=each).SerializeToString() for each in drawn]
        )
        began = time.perf_counter()
        calls, (streamed, sent, failed) = await asyncio.gather(
            open_loop(self._record, requests, schedule), self._streams(seconds)
        )
        took_s = time.perf_counter() - began
        return _Offered(took_s, len(schedule) + sent, calls, streamed, failed)

    async def _streams(self, seconds: float) -> tuple[int, int, int]:
        """Events acknowledged, events sent, streams failed."""
        rate = self._plan.rate_per_s * self._plan.streamed
        acknowledged = sent = failed = 0
        while rate and seconds > 0:
            events = self._events.draw(max(1, round(rate * min(seconds, STREAM_S))))
            sent += len(events)
            seconds -= STREAM_S
            try:
                acknowledged += (await self._calls.record_events(_paced(events, rate))).accepted
            except grpc.aio.AioRpcError:
                failed += 1
        return acknowledged, sent, failed


async def _paced(
    events: Sequence[event_pb2.Event], rate_per_s: float
) -> AsyncIterator[event_pb2.RecordEventsRequest]:
    began = time.perf_counter()
    for place, event in enumerate(events):
        if (early_s := began + place / rate_per_s - time.perf_counter()) > 0:
            await asyncio.sleep(early_s)
        yield event_pb2.RecordEventsRequest(event=event)
