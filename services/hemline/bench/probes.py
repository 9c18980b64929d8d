"""New shoppers with one event each, watched until it is visible, and until Recommend knows it.

A new shopper's first event is the hardest to be late with unseen: before it is applied there is
nothing of them. Only what was acknowledged can be late or lost: an event that was refused is
counted as refused, and a look that was refused, by a gateway at its limit, is taken again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hemline.bench.arrivals import poisson_schedule
from hemline.errors import HemlineError
from hemline.rpc import call
from hemline.v1 import common_pb2, event_pb2, recommender_pb2, user_pb2

GIVE_UP_S = 10.0  # an event that is not visible by then is late
LAST_LOOK_S = 30.0  # after the load; an acknowledged event that is not visible by then is lost
LOOK_EVERY_S = 0.01  # how exactly the time is known; each look is work for the gateway
CALL_TIMEOUT_S = 5.0
RECOMMEND_TRIES = 20

Method = Callable[..., Awaitable[object]]


@dataclass(frozen=True)
class ProbeCalls:
    """Methods of the gateway's stubs, with the caller's credentials."""

    record_event: Method
    get_user: Method
    recommend: Method


@dataclass
class Watched:
    """What became of the probes of one phase.

    refused: probes whose event was not acknowledged, by the error. acknowledged_s: from sending an
    event to its acknowledgement. visible_s: from there until it was seen. late: probes of which
    nothing was seen within GIVE_UP_S, lost: nor LAST_LOOK_S after the load. looks_refused: looks
    that were not answered. known, not_known: Recommends that came after and knew of the event, or
    did not; unanswered: those that were refused, or answered without any shopper's state.
    """

    begun: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    acknowledged_s: list[float] = field(default_factory=list)
    visible_s: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    looks_refused: int = 0
    known: int = 0
    not_known: int = 0
    unanswered: int = 0


class Probes:
    """Sends probes at a rate; run_id: part of every shopper's id."""

    def __init__(
        self,
        calls: ProbeCalls,
        per_s: float,
        item_ids: Sequence[str],
        run_id: str,
        rng: np.random.Generator,
    ) -> None:
        self._calls = calls
        self._per_s = per_s
        self._item_ids = item_ids
        self._run_id = run_id
        self._rng = rng
        self._number = 0

    async def watch(self, seconds: float) -> Watched:
        """Begin probes for so long; returns when each was seen, refused or given up."""
        schedule = poisson_schedule(self._per_s, seconds, self._rng)
        watched = Watched()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as probing:
            for due in schedule.tolist():
                await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
                probing.create_task(self._probe(watched))
        return watched

    async def look_again(self, watched: Watched, for_s: float = LAST_LOOK_S) -> None:
        """Find out which of the late ones are lost."""
        until = time.perf_counter() + for_s
        seen = await asyncio.gather(*(self._seen(u, until, watched) for u in watched.late))
        watched.lost = [u for u, found in zip(watched.late, seen, strict=True) if not found]

    async def _probe(self, watched: Watched) -> None:
        self._number += 1
        watched.begun += 1
        user = f"probe-{self._run_id}-{self._number:06d}"
        item = self._item_ids[int(self._rng.integers(len(self._item_ids)))]
        event = event_pb2.Event(user_id=user, item_id=item, kind=common_pb2.EVENT_KIND_CLICK)
        sent = time.perf_counter()
        try:
            request = event_pb2.RecordEventRequest(event=event)
            await call(self._calls.record_event, request, CALL_TIMEOUT_S)
        except HemlineError as error:
            watched.refused[type(error).__name__] += 1
            return
        acknowledged = time.perf_counter()
        watched.acknowledged_s.append(acknowledged - sent)
        if not await self._seen(user, acknowledged + GIVE_UP_S, watched):
            watched.late.append(user)
            return
        watched.visible_s.append(time.perf_counter() - acknowledged)
        await self._ask(user, watched)

    async def _seen(self, user: str, until: float, watched: Watched) -> bool:
        """Look until the shopper's event is there, or that time has come."""
        request = user_pb2.GetUserRequest(user_id=user)
        while True:
            try:
                answer = await call(self._calls.get_user, request, CALL_TIMEOUT_S)
                if answer.history:
                    return True
            except HemlineError:
                watched.looks_refused += 1
            if time.perf_counter() > until:
                return False
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ask(self, user: str, watched: Watched) -> None:
        """Does the next Recommend that reads the shopper's state know of the event?"""
        request = recommender_pb2.RecommendRequest(user_id=user, k=1, surface="bench")
        for _ in range(RECOMMEND_TRIES):
            try:
                answer = await call(self._calls.recommend, request, CALL_TIMEOUT_S)
            except HemlineError:
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            if answer.info.personal:
                watched.known += 1
                return
            if all(each.stage != "user_state" for each in answer.info.degraded):
                watched.not_known += 1
                return
        watched.unanswered += 1
