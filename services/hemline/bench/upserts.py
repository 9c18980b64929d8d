"""The `hemline bench upserts` story: how soon a new item is found, and what others pay for it.

    items with given vectors, one by one: sent -> acknowledged -> asked for until a search has it
    items with words and a photo, which the cluster encodes: the same
    searches at a rate, alone, and while many items are upserted in streams

An item with a given vector lies exactly where an item of the release does, and counts as found once
SimilarItems of that one shows it. One that is encoded counts once SimilarItems answers for it. All
of them are deleted at the end.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc.aio
import numpy as np
from PIL import Image

from hemline.bench.arrivals import poisson_schedule
from hemline.bench.latency import Latency, latency_of
from hemline.credentials import NO_CREDENTIALS, Credentials
from hemline.errors import HemlineError, InvalidInputError
from hemline.releases import Release
from hemline.rpc import call, connect
from hemline.statuses import error_from
from hemline.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    common_pb2,
    recommender_pb2,
    recommender_pb2_grpc,
)
from hemline.vectors import F32, pack_f32

GIVE_UP_S = 30.0
POLL_S = 0.002  # how exactly the time is known
CALL_TIMEOUT_S = 10.0
WARM_UP = 20  # items of each kind that are not counted
_STREAM_S = 1.0  # a stream is acknowledged as a whole, so none may last long
_RENEWED = 4_000  # different items of the load; later ones change earlier ones
_DELETED_AT_ONCE = 1_000


@dataclass(frozen=True)
class UpsertsPlan:
    """items: of each kind that are watched, at so many a second, one after another where they take
    longer. search_rate_per_s, seconds: of the searches, alone and under load. load_per_s: upserts
    under which they are timed."""

    gateway: str
    items: int = 1000
    rate_per_s: float = 20.0
    search_rate_per_s: float = 20.0
    load_per_s: float = 1000.0
    seconds: float = 20.0
    seed: int = 1


@dataclass(frozen=True)
class Visible:
    """acknowledged: from sending until the acknowledgement. visible: from that until a search had
    the item. never: of which that was not seen within GIVE_UP_S."""

    acknowledged: Latency
    visible: Latency
    never: int


@dataclass(frozen=True)
class Searches:
    """Latency is from when a search was due. failed: by status."""

    latency: Latency
    failed: dict[str, int]


@dataclass(frozen=True)
class UpsertsReport:
    """streams_failed: of the load, which came in streams of a second each; what they brought counts
    as not acknowledged. last_visible_s: from the acknowledgement of an item sent behind the load
    until a search had it."""

    given: Visible
    encoded: Visible
    alone: Searches
    while_upserting: Searches
    offered_per_s: float
    acknowledged_per_s: float
    rejected: int
    streams_failed: int
    last_visible_s: float
    plan: UpsertsPlan = field(repr=False)


async def bench_upserts(
    plan: UpsertsPlan,
    release: Release,
    say: Callable[[str], None],
    credentials: Credentials = NO_CREDENTIALS,
) -> UpsertsReport:
    """Measure the cluster whose gateway `plan` names, and which serves `release`.

    Raises HemlineError when no item is acknowledged.
    """
    async with connect(plan.gateway, credentials.tls) as channel:
        run = _Run(plan, release, channel, credentials)
        try:
            kinds: dict[str, Visible] = {}
            for name, probe in (("given", run.upsert_given), ("encoded", run.upsert_encoded)):
                say(f"{plan.items:,} items, {name}")
                await run.watch(probe, WARM_UP)
                kinds[name] = await run.watch(probe, plan.items)
                if not kinds[name].acknowledged.count:
                    raise HemlineError("no item was acknowledged; see `hemline status`")
            say(f"searches for {plan.seconds:g} s, alone")
            alone = await run.search(plan.seconds)
            say(f"searches for {plan.seconds:g} s, at {plan.load_per_s:,.0f} upserts/s")
            load = asyncio.create_task(run.upsert_all(plan.seconds))
            while_upserting = await run.search(plan.seconds)
            upserted = await load
            last_visible_s = await run.until_caught_up()
        finally:
            say("deleting the items")
            await run.delete_all()
    return UpsertsReport(
        given=kinds["given"],
        encoded=kinds["encoded"],
        alone=alone,
        while_upserting=while_upserting,
        offered_per_s=plan.load_per_s,
        acknowledged_per_s=round(upserted.accepted / upserted.seconds, 1),
        rejected=upserted.rejected,
        streams_failed=upserted.streams_failed,
        last_visible_s=round(last_visible_s, 3),
        plan=plan,
    )


@dataclass(frozen=True)
class _Sent:
    """An item on its way. near: row of the item whose neighbours show it; None: its own do."""

    item_id: str
    acknowledged_s: float
    acknowledged_at: float
    near: int | None


@dataclass(frozen=True)
class _Load:
    seconds: float
    accepted: int
    rejected: int
    streams_failed: int


class _Run:
    def __init__(
        self,
        plan: UpsertsPlan,
        release: Release,
        channel: grpc.aio.Channel,
        credentials: Credentials,
    ) -> None:
        catalog: Any = catalog_pb2_grpc.CatalogServiceStub(channel)  # type: ignore[no-untyped-call]
        recommender: Any = recommender_pb2_grpc.RecommenderServiceStub(channel)  # type: ignore[no-untyped-call]
        shown = {"metadata": credentials.metadata}
        self._upsert_items = partial(catalog.UpsertItems, **shown)
        self._delete_items = partial(catalog.DeleteItems, **shown)
        self._similar = partial(recommender.SimilarItems, **shown)
        self._plan = plan
        self._release = release
        self._rng = np.random.default_rng(plan.seed)
        self._photo = _photo()
        self._run_id = f"{time.time_ns() // 1_000_000:x}"
        self._number = 0
        self._load_items = 0
        # Different ones in turn, so that no probe is hidden by those that came before it.
        self._places = self._rng.permutation(len(release.item_content))

    async def watch(self, probe: Callable[[], Any], items: int) -> Visible:
        """Send so many items at the plan's rate, each watched until it is found."""
        acknowledged: list[float] = []
        visible: list[float] = []
        never = 0

        async def one() -> None:
            nonlocal never
            try:
                sent: _Sent = await probe()
                acknowledged.append(sent.acknowledged_s)
                visible.append(await self._until_found(sent))
            except (HemlineError, TimeoutError):
                never += 1

        schedule = np.cumsum(self._rng.exponential(1 / self._plan.rate_per_s, items))
        began = time.perf_counter()
        async with asyncio.TaskGroup() as probing:
            for due in schedule.tolist():
                await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
                probing.create_task(one())
        return Visible(latency_of(np.array(acknowledged)), latency_of(np.array(visible)), never)

    async def upsert_given(self) -> _Sent:
        near = int(self._places[self._number % len(self._places)])
        message = self._message("given")
        self._give(message, self._release.item_content[near])
        return await self._send(message, near)

    async def upsert_encoded(self) -> _Sent:
        message = self._message("encoded")
        message.image = self._photo
        return await self._send(message, None)

    async def search(self, seconds: float) -> Searches:
        """SimilarItems of random items, at the plan's rate, whatever becomes of them."""
        took: list[float] = []
        failed: dict[str, int] = {}
        ids = self._release.catalogue.item_ids
        began = time.perf_counter()

        async def one(due: float) -> None:
            item_id = ids[int(self._rng.integers(len(ids)))]
            try:
                await self._neighbours(item_id, 20)
                took.append(time.perf_counter() - began - due)
            except HemlineError as error:
                name = type(error).__name__
                failed[name] = failed.get(name, 0) + 1

        async with asyncio.TaskGroup() as searching:
            for due in poisson_schedule(self._plan.search_rate_per_s, seconds, self._rng).tolist():
                await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
                searching.create_task(one(due))
        return Searches(latency_of(np.array(took)), failed)

    async def upsert_all(self, seconds: float) -> _Load:
        """The load.

        A stream each second, whether the one before it was acknowledged or not.
        """
        began = time.perf_counter()
        streams: list[Any] = []
        left = round(self._plan.load_per_s * seconds)
        while left:
            count = min(left, max(1, round(self._plan.load_per_s * _STREAM_S)))
            left -= count
            streams.append(self._upsert_items(self._paced(count), timeout=GIVE_UP_S))
            await asyncio.sleep(min(_STREAM_S, count / self._plan.load_per_s))
        answers = await asyncio.gather(*streams, return_exceptions=True)
        answered = [each for each in answers if not isinstance(each, BaseException)]
        return _Load(
            seconds=time.perf_counter() - began,
            accepted=sum(answer.accepted for answer in answered),
            rejected=sum(answer.rejected for answer in answered),
            streams_failed=len(answers) - len(answered),
        )

    async def until_caught_up(self) -> float:
        """Seconds until an item that is sent now is found, behind all others."""
        return await self._until_found(await self.upsert_given())

    async def delete_all(self) -> None:
        ids = [self._id(kind, n) for kind in ("given", "encoded") for n in range(self._number)]
        ids += [self._id("load", n) for n in range(min(self._load_items, _RENEWED))]
        for start in range(0, len(ids), _DELETED_AT_ONCE):
            request = catalog_pb2.DeleteItemsRequest(item_ids=ids[start : start + _DELETED_AT_ONCE])
            await call(self._delete_items, request, GIVE_UP_S)

    async def _send(self, message: catalog_pb2.UpsertItemsRequest, near: int | None) -> _Sent:
        sent = time.perf_counter()
        try:
            answer = await self._upsert_items(_alone(message), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise error_from(error) from error
        now = time.perf_counter()
        if answer.errors:
            raise InvalidInputError(answer.errors[0].field, answer.errors[0].message)
        return _Sent(message.item.item_id, now - sent, now, near)

    async def _until_found(self, sent: _Sent) -> float:
        """Seconds from its acknowledgement. Raises TimeoutError after GIVE_UP_S."""
        async with asyncio.timeout(GIVE_UP_S):
            while True:
                if await self._found(sent):
                    return time.perf_counter() - sent.acknowledged_at
                await asyncio.sleep(POLL_S)

    async def _found(self, sent: _Sent) -> bool:
        if sent.near is not None:
            item_id = self._release.catalogue.item_ids[sent.near]
            return sent.item_id in await self._neighbours(item_id, 10)
        try:
            return bool(await self._neighbours(sent.item_id, 1))
        except HemlineError:  # not known yet
            return False

    async def _neighbours(self, item_id: str, k: int) -> list[str]:
        request = recommender_pb2.SimilarItemsRequest(item_id=item_id, k=k)
        answer = await call(self._similar, request, CALL_TIMEOUT_S)
        return [scored.item.item_id for scored in answer.items]

    def _message(self, kind: str) -> catalog_pb2.UpsertItemsRequest:
        item_id = self._id(kind, self._number)
        self._number += 1
        return _upsert(item_id, f"Bench item {self._number} {kind}")

    def _load_message(self) -> catalog_pb2.UpsertItemsRequest:
        place = self._load_items % _RENEWED
        self._load_items += 1
        message = _upsert(self._id("load", place), f"Bench load {place}")
        # Away from all items, so that it never takes a probe's place among the nearest.
        self._give(message, -self._release.item_content[place % len(self._release.item_content)])
        return message

    def _give(self, message: catalog_pb2.UpsertItemsRequest, vector: F32) -> None:
        message.content_vector = pack_f32(vector)
        message.encoder_id = self._release.encoder_id

    def _id(self, kind: str, number: int) -> str:
        return f"bench-{self._run_id}-{kind}-{number:06d}"

    async def _paced(self, count: int) -> AsyncIterator[catalog_pb2.UpsertItemsRequest]:
        began = time.perf_counter()
        for place in range(count):
            early_s = began + place / self._plan.load_per_s - time.perf_counter()
            if early_s > 0.01:  # in handfuls: a sleep costs as much as ten items
                await asyncio.sleep(early_s)
            yield self._load_message()  # made now: a thousand at once would hold up the searches


def _upsert(item_id: str, title: str) -> catalog_pb2.UpsertItemsRequest:
    item = common_pb2.Item(item_id=item_id, title=title, price=1.0, currency="EUR", in_stock=True)
    return catalog_pb2.UpsertItemsRequest(item=item)


async def _alone(
    message: catalog_pb2.UpsertItemsRequest,
) -> AsyncIterator[catalog_pb2.UpsertItemsRequest]:
    yield message


def _photo() -> bytes:
    """A JPEG of 480 x 600 pixels, of about 40 KB."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (30, 24, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(blocks).resize((480, 600)).save(data, "JPEG", quality=85)
    return data.getvalue()
