"""Shoppers with a past for a benchmark, made as real ones are: their events go through the gateway,
the event log and the updater, and nobody is asked for before the store holds them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import grpc.aio
import numpy as np

from hemline.bench.arrivals import Zipf
from hemline.credentials import NO_CREDENTIALS, Credentials
from hemline.errors import HemlineError, UnavailableError
from hemline.rpc import call, connect
from hemline.statuses import error_from
from hemline.user_state import MAX_HISTORY
from hemline.v1 import common_pb2, event_pb2, event_pb2_grpc, user_pb2, user_pb2_grpc

KINDS = (
    (common_pb2.EVENT_KIND_VIEW, 0.5),
    (common_pb2.EVENT_KIND_CLICK, 0.3),
    (common_pb2.EVENT_KIND_BAG, 0.1),
    (common_pb2.EVENT_KIND_PURCHASE, 0.1),
)
POPULARITY = 1.0  # Zipf exponent of items
_SPREAD_MS = 60 * 24 * 3600 * 1000  # histories lie within the last 60 days
_EVENTS_A_STREAM = 50_000
_LOOKED_AT_ONCE = 4  # the gateway refuses more when it is busy
_STALLED_S = 60.0
_SAY_EVERY_S = 5.0
_CALL_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ShopperPlan:
    """How many shoppers, and how many events each has: uniformly between two numbers."""

    users: int
    least_events: int
    most_events: int


async def create_shoppers(
    address: str,
    item_ids: Sequence[str],
    plan: ShopperPlan,
    run_id: str,
    rng: np.random.Generator,
    say: Callable[[str], None],
    credentials: Credentials = NO_CREDENTIALS,
) -> dict[str, int]:
    """Record their events and wait until the store has applied them all; events by user id.

    item_ids: of the release, most popular first. Raises HemlineError when the gateway refuses an
    event, UnavailableError when the updater stops getting on.
    """
    counts = rng.integers(plan.least_events, plan.most_events + 1, plan.users)
    events = {f"bench-{run_id}-{n:06d}": int(count) for n, count in enumerate(counts)}
    total = sum(events.values())
    async with connect(address, credentials.tls) as channel:
        began = time.perf_counter()
        await _record(channel, events, item_ids, rng, credentials)
        took_s = time.perf_counter() - began
        say(f"{total:,} events of {plan.users:,} shoppers acknowledged after {took_s:.1f} s")
        await _applied(channel, events, say, credentials)
        took_s = time.perf_counter() - began
        say(f"all of them in the store after {took_s:.1f} s")
    return events


async def _record(
    channel: grpc.aio.Channel,
    events: dict[str, int],
    item_ids: Sequence[str],
    rng: np.random.Generator,
    credentials: Credentials,
) -> None:
    stub: Any = event_pb2_grpc.EventServiceStub(channel)  # type: ignore[no-untyped-call]
    popularity = Zipf(len(item_ids), POPULARITY, rng)
    kinds, shares = zip(*KINDS, strict=True)
    now_ms = int(time.time() * 1000)

    async def stream(users: Sequence[str]) -> AsyncIterator[event_pb2.RecordEventsRequest]:
        for user in users:
            count = events[user]
            times = np.sort(rng.integers(now_ms - _SPREAD_MS, now_ms, count))
            items, done = popularity.draw(count), rng.choice(kinds, count, p=shares)
            for rank, kind, occurred_ms in zip(items, done, times, strict=True):
                event = event_pb2.Event(
                    user_id=user,
                    item_id=item_ids[rank],
                    kind=int(kind),  # type: ignore[arg-type]  # the stub knows the enum only
                    occurred_ms=int(occurred_ms),
                )
                yield event_pb2.RecordEventsRequest(event=event)

    for users in _portions(events, _EVENTS_A_STREAM):
        try:
            answer = await stub.RecordEvents(stream(users), metadata=credentials.metadata)
        except grpc.aio.AioRpcError as error:
            raise error_from(error) from error
        if answer.rejected:
            first = answer.errors[0]
            raise HemlineError(
                f"the gateway refused {answer.rejected:,} events, the first for {first.field}: "
                f"{first.message}; does the cluster serve the release of this home?"
            )


def _portions(events: dict[str, int], most: int) -> list[list[str]]:
    """Users in portions of about `most` events."""
    portions: list[list[str]] = [[]]
    size = 0
    for user, count in events.items():
        if size >= most:
            portions.append([])
            size = 0
        portions[-1].append(user)
        size += count
    return portions


async def _applied(
    channel: grpc.aio.Channel,
    events: dict[str, int],
    say: Callable[[str], None],
    credentials: Credentials,
) -> None:
    """Return once the stored history of every user is as long as it must be."""
    stub: Any = user_pb2_grpc.UserServiceStub(channel)  # type: ignore[no-untyped-call]

    get_user = partial(stub.GetUser, metadata=credentials.metadata)

    async def is_there(user: str) -> bool:
        answer = await call(get_user, user_pb2.GetUserRequest(user_id=user), _CALL_TIMEOUT_S)
        return len(answer.history) >= min(events[user], MAX_HISTORY)

    missing, moved, said = list(events), time.perf_counter(), time.perf_counter()
    while missing:
        asked = missing[:_LOOKED_AT_ONCE]
        there = await asyncio.gather(*map(is_there, asked))
        left = [user for user, is_in in zip(asked, there, strict=True) if not is_in]
        missing = left + missing[_LOOKED_AT_ONCE:]
        now = time.perf_counter()
        if len(left) < len(asked):
            moved = now
        elif now - moved > _STALLED_S:
            raise UnavailableError(
                f"{len(missing):,} shoppers are not in the store, and none came for "
                f"{_STALLED_S:g} s; is the updater well? (`hemline status`)"
            )
        if now - said > _SAY_EVERY_S:
            said = now
            say(f"{len(events) - len(missing):,} of {len(events):,} shoppers are in the store")
        if left:
            await asyncio.sleep(0.1)
