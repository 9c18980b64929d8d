"""API keys at the gateway: who is let in, what the others are told, and how fast one may go."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from hemline import metrics
from hemline.boundary import CALLER
from hemline.errors import (
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
)
from hemline.gateway.api_keys import SCOPE_OF, ApiKeys, open_api_keys
from hemline.gateway.rate_limit import TokenBucket
from hemline.key_file import SCOPES, create_key, read_keys, revoke_key
from hemline.rpc import Server, connect
from hemline.statuses import error_from
from hemline.v1 import admin_pb2, catalog_pb2, event_pb2, recommender_pb2, user_pb2
from hemline.v1.event_pb2_grpc import (
    EventServiceServicer,
    EventServiceStub,
    add_EventServiceServicer_to_server,
)

PUBLIC = [
    service
    for messages in (recommender_pb2, event_pb2, user_pb2, catalog_pb2, admin_pb2)
    for service in messages.DESCRIPTOR.services_by_name.values()
]
METHODS = [f"{service.full_name}/{method.name}" for service in PUBLIC for method in service.methods]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def sent(key: str) -> tuple[tuple[str, str], ...]:
    return (("user-agent", "test"), ("x-api-key", key))


@pytest.mark.parametrize("method", METHODS)
def test_every_public_call_needs_a_key_with_the_scope_of_its_service(
    method: str, path: Path
) -> None:
    needed = SCOPE_OF[method.rpartition("/")[0]]
    _, fitting = create_key(path, "shop", [needed])
    _, other = create_key(path, "shop", [scope for scope in SCOPES if scope != needed])
    guard = ApiKeys(path).guard(method)
    assert guard is not None
    assert guard(sent(fitting)).tenant == "shop"
    assert guard((("authorization", f"Bearer {fitting}"),)).tenant == "shop"
    with pytest.raises(ForbiddenError, match=f"{method} needs the scope '{needed}'"):
        guard(sent(other))
    with pytest.raises(UnauthenticatedError, match="an API key is needed; send it as"):
        guard(())


def test_every_scope_is_good_for_something() -> None:
    assert sorted(SCOPE_OF.values()) == sorted(SCOPES)
    assert {service.full_name for service in PUBLIC} == set(SCOPE_OF)


def test_health_is_open_and_a_service_nobody_thought_of_is_closed(path: Path) -> None:
    _, key = create_key(path, "shop", SCOPES)
    keys = ApiKeys(path)
    assert keys.guard("grpc.health.v1.Health/Check") is None
    guard = keys.guard("hemline.v1.PayrollService/Read")
    assert guard is not None
    with pytest.raises(ForbiddenError, match="open to no API key"):
        guard(sent(key))


def test_wrong_keys_are_told_nothing_that_they_do_not_know(path: Path) -> None:
    record, key = create_key(path, "shop", ["recommend"])
    guard = ApiKeys(path).guard(METHODS[0])
    assert guard is not None
    wrong_secret, unknown_id = f"hk_{record.id}_{'A' * 43}", "hk_0000000000_" + "A" * 43
    told = set()
    for wrong in (wrong_secret, unknown_id):
        with pytest.raises(UnauthenticatedError) as error:
            guard(sent(wrong))
        told.add(str(error.value))
    assert told == {"this API key is not in force: unknown, wrong or revoked"}
    for junk in ("", "hk", "hk_", f"hk_{record.id}", f"hk_{record.id}_", key[3:], "\x00" * 500):
        with pytest.raises(UnauthenticatedError):
            guard(sent(junk))


def test_no_secret_is_stored(path: Path) -> None:
    record, key = create_key(path, "shop", ["recommend"])
    secret = key.removeprefix(f"hk_{record.id}_")
    assert len(secret) == 43 and secret not in path.read_text()


def test_a_revoked_key_is_refused_within_a_second_and_a_new_one_let_in(
    path: Path, clock: Clock
) -> None:
    record, key = create_key(path, "shop", ["recommend"])
    guard = ApiKeys(path, clock).guard(METHODS[0])
    assert guard is not None
    held = guard(sent(key))
    revoke_key(path, record.id)
    _, newer = create_key(path, "shop", ["recommend"])
    clock.now += 1.0
    with pytest.raises(UnauthenticatedError, match="not in force"):
        guard(sent(key))
    with pytest.raises(UnauthenticatedError, match="revoked"):
        held.charge()  # as a stream that was begun before does
    assert guard(sent(newer)).tenant == "shop"


def test_a_broken_file_leaves_the_last_good_keys_in_force(path: Path, clock: Clock) -> None:
    _, key = create_key(path, "shop", ["recommend"])
    guard = ApiKeys(path, clock).guard(METHODS[0])
    assert guard is not None
    refused = metrics.KEY_RELOADS.labels("refused")
    before = refused._value.get()
    path.write_text("{")
    clock.now += 1.0
    assert guard(sent(key)).tenant == "shop"
    path.unlink()
    clock.now += 1.0
    assert guard(sent(key)).tenant == "shop"
    assert refused._value.get() == before + 2


def test_a_reload_is_no_refill(path: Path, clock: Clock) -> None:
    _, key = create_key(path, "shop", ["recommend"], rate_per_s=1, burst=1)
    guard = ApiKeys(path, clock).guard(METHODS[0])
    assert guard is not None
    guard(sent(key)).charge()
    create_key(path, "other", ["recommend"])
    clock.now += 0.5
    with pytest.raises(RateLimitedError):
        guard(sent(key)).charge()
    clock.now += 0.5
    guard(sent(key)).charge()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scopes": ["everything"]}, "key 0: unknown scope 'everything'; there are recommend, "),
        ({"scopes": []}, "key 0: scopes are missing; give some of recommend, "),
        ({"tenant": "a b"}, "key 0: tenant must be 1 to 64 letters"),
        ({"id": "A_B"}, "key 0: id must be 1 to 32 lower-case letters and digits"),
        ({"secret_sha256": "12"}, "key 0: secret_sha256 must be 64 hexadecimal digits"),
        ({"rate_per_s": -1}, "key 0: rate_per_s is -1, outside 0..1e9"),
        ({"rate_per_s": "fast"}, "key 0: rate_per_s must be a number"),
        ({"rate_per_s": 5, "burst": 0}, "key 0: burst must be at least 1"),
        ({"colour": "red"}, "key 0: needs id, tenant, scopes and secret_sha256"),
    ],
)
def test_a_wrong_entry_is_named_at_start(
    path: Path, change: dict[str, object], reason: str
) -> None:
    create_key(path, "shop", ["recommend"])
    entry = json.loads(path.read_text())["keys"][0]
    path.write_text(json.dumps({"keys": [entry | change]}))
    with pytest.raises(InvalidInputError) as error:
        ApiKeys(path)
    assert str(error.value).startswith(f"api_keys: {path}, {reason}")


def test_a_file_that_is_none_is_refused_at_start(path: Path) -> None:
    with pytest.raises(InvalidInputError, match="No such file or directory; `hemline keys create`"):
        open_api_keys(str(path))
    path.write_text("[]")
    with pytest.raises(InvalidInputError, match='is not a JSON object with a list "keys"'):
        open_api_keys(str(path))
    with pytest.raises(NotFoundError, match="has no key"):
        path.write_text('{"keys": []}')
        revoke_key(path, "nobody")


def test_no_file_means_open_and_a_metric_says_so(path: Path) -> None:
    create_key(path, "shop", ["recommend"])
    assert open_api_keys(str(path)) is not None
    assert metrics.KEYS_REQUIRED._value.get() == 1
    assert open_api_keys("") is None
    assert metrics.KEYS_REQUIRED._value.get() == 0


def test_creating_keys_keeps_the_others(path: Path) -> None:
    for tenant in ("a", "b", "c"):
        create_key(path, tenant, ["events", "events"], rate_per_s=10)
    keys = read_keys(path)
    assert [key.tenant for key in keys] == ["a", "b", "c"]
    assert {(key.scopes, key.burst) for key in keys} == {(("events",), 20.0)}


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate(clock: Clock) -> None:
    bucket = TokenBucket(rate_per_s=10, burst=5, clock=clock)
    assert [bucket.take() for _ in range(5)] == [0.0] * 5
    assert bucket.take() == pytest.approx(0.1)
    assert bucket.take() == pytest.approx(0.1)  # to be refused costs nothing
    clock.now += 0.1
    assert bucket.take() == 0.0
    clock.now += 3600
    assert [bucket.take() for _ in range(6)][:5] == [0.0] * 5
    assert bucket.take() > 0


class Counting(EventServiceServicer):
    """Counts what it is sent, by tenant."""

    def __init__(self) -> None:
        self.tenants: list[str] = []

    async def RecordEvent(self, request, context) -> event_pb2.RecordEventResponse:
        self.tenants.append(CALLER.get().tenant)
        return event_pb2.RecordEventResponse()

    async def RecordEvents(self, requests, context) -> event_pb2.RecordEventsResponse:
        async for _ in requests:
            self.tenants.append(CALLER.get().tenant)
        return event_pb2.RecordEventsResponse(accepted=len(self.tenants))


@dataclass
class Door:
    """A server behind keys, its servicer, and two keys for it."""

    counting: Counting
    stub: EventServiceStub
    slow: str  # two at once, then one in a hundred seconds
    steady: str  # ten at once, then a hundred a second


@pytest_asyncio.fixture
async def door(path: Path) -> AsyncIterator[Door]:
    _, slow = create_key(path, "slow", ["events"], rate_per_s=0.01, burst=2)
    _, steady = create_key(path, "steady", ["events"], rate_per_s=100, burst=10)
    counting = Counting()
    server = Server("127.0.0.1:0", admission=ApiKeys(path))
    server.add(add_EventServiceServicer_to_server, counting, "hemline.v1.EventService")
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as channel:
        yield Door(counting, EventServiceStub(channel), slow, steady)
    await server.stop(0)


async def test_over_the_wire_keys_open_calls_and_limits_say_when_to_come_back(door: Door) -> None:
    request = event_pb2.RecordEventRequest()
    for _ in range(2):
        await door.stub.RecordEvent(request, metadata=sent(door.slow))
    with pytest.raises(grpc.aio.AioRpcError) as limited:
        await door.stub.RecordEvent(request, metadata=sent(door.slow))
    assert limited.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    error = error_from(limited.value)
    assert isinstance(error, RateLimitedError) and 30 < error.retry_after_s <= 100
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await door.stub.RecordEvent(request)
    assert unknown.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert door.counting.tenants == ["slow", "slow"]
    key_id = door.slow.split("_")[1]
    assert metrics.KEY_MESSAGES.labels(key_id, "slow")._value.get() == 2
    assert metrics.KEY_REFUSALS.labels(key_id, "rate")._value.get() == 1


async def test_a_stream_is_slowed_to_its_rate_and_loses_nothing(door: Door) -> None:
    began = time.monotonic()
    messages = iter([event_pb2.RecordEventsRequest()] * 40)
    response = await door.stub.RecordEvents(messages, metadata=sent(door.steady))
    assert response.accepted == 40
    assert time.monotonic() - began >= 0.29
