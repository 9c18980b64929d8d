"""What every call passes on its way in: bytes that are no message, silent streams, long reasons."""

from __future__ import annotations

import asyncio
import gc
import uuid
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from hemline.boundary import refusal
from hemline.errors import (
    DeadlineError,
    InvalidInputError,
    OverloadedError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
)
from hemline.kafka_client import kafka_error
from hemline.kafka_url import parse_kafka_url
from hemline.redis_user_state import RedisUserStates
from hemline.rpc import Server, ServerSettings, call, connect
from hemline.sqlite_user_state import SqliteUserStates
from hemline.statuses import details_of, error_from, message_of, status_of
from hemline.v1.event_pb2 import RecordEventsRequest, RecordEventsResponse
from hemline.v1.event_pb2_grpc import (
    EventServiceServicer,
    EventServiceStub,
    add_EventServiceServicer_to_server,
)
from hemline.v1.recommender_pb2 import (
    RecommendRequest,
    RecommendResponse,
    SimilarItemsRequest,
    SimilarItemsResponse,
)
from hemline.v1.recommender_pb2_grpc import (
    RecommenderServiceServicer,
    RecommenderServiceStub,
    add_RecommenderServiceServicer_to_server,
)
from shop import Shop

RECOMMEND = "/hemline.v1.RecommenderService/Recommend"
RECORD_EVENTS = "/hemline.v1.EventService/RecordEvents"
INVALID_UTF8 = b"\x0a\x02\xff\xfe"  # as user_id


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x7fshort", INVALID_UTF8])
async def test_bytes_that_are_no_message_are_the_caller_s_mistake(shop: Shop, data: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.channel.unary_unary(RECOMMEND)(data)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"these {len(data)} bytes are not the message of this call" in error.value.details()


async def test_bytes_that_are_no_message_end_a_stream(shop: Shop) -> None:
    messages = [RecordEventsRequest().SerializeToString(), b"\xff\xff\xff"]

    def stream() -> grpc.StatusCode:
        # grpc.aio says INTERNAL where a message is on its way when the status comes; this does not.
        with grpc.insecure_channel(shop.address) as channel:
            with pytest.raises(grpc.RpcError) as error:
                channel.stream_unary(RECORD_EVENTS)(iter(messages), timeout=60)
            return error.value.code()

    assert await asyncio.to_thread(stream) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_on_which_nothing_comes_is_ended() -> None:
    class Counting(EventServiceServicer):
        messages = 0

        async def RecordEvents(self, requests, context) -> RecordEventsResponse:
            async for _ in requests:
                self.messages += 1
            return RecordEventsResponse()

    async def silent_after_one() -> AsyncIterator[RecordEventsRequest]:
        yield RecordEventsRequest()
        await asyncio.sleep(600)

    counting = Counting()
    server = Server("127.0.0.1:0", ServerSettings(stream_idle_s=2.0))
    server.add(add_EventServiceServicer_to_server, counting, "hemline.v1.EventService")
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await EventServiceStub(channel).RecordEvents(silent_after_one())
    await server.stop(0)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.value.details().startswith("no message for 2 s on this stream")
    assert counting.messages == 1


async def test_a_reason_that_repeats_what_was_sent_is_cut(shop: Shop) -> None:
    request = RecommendRequest(user_id="ada", k=5)
    request.filter.is_in.attribute = "colour" * 100_000
    request.filter.is_in.values.append("red")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.recommender.Recommend(request)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(error.value.details()) <= 500
    assert isinstance(error_from(error.value), InvalidInputError)


async def test_a_call_that_does_not_exist_is_unimplemented(shop: Shop) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.channel.unary_unary("/hemline.v1.RecommenderService/Bribe")(b"")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "sent",
    [
        InvalidInputError("filter.range", "min is above max"),
        RateLimitedError("slower", retry_after_s=0.25),
        UnauthenticatedError("who are you"),
        DeadlineError("late"),
    ],
)
def test_errors_cross_the_wire_once_and_come_back_as_they_were(sent: Exception) -> None:
    received = error_from(
        grpc.aio.AioRpcError(
            status_of(sent),
            grpc.aio.Metadata(),
            grpc.aio.Metadata(*details_of(sent)),
            details=message_of(sent),
        )
    )
    assert type(received) is type(sent) and str(received) == str(sent)
    assert vars(received) == vars(sent)


async def test_the_message_of_another_call_is_read_as_this_one_s(shop: Shop) -> None:
    """Protobuf cannot tell them apart; the checks of the fields have to."""
    data = SimilarItemsRequest(item_id="jeans-01", k=3).SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.channel.unary_unary(RECOMMEND)(data + b"\x10\x00")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details() == "k: 0 is outside 1..500"


async def test_a_refused_call_leaves_nothing_for_the_garbage_collector() -> None:
    class Held:
        """What a handler has in its hands when it gives up."""

    held: list[weakref.ref[Held]] = []

    class Refusing(RecommenderServiceServicer):
        async def Recommend(self, request, context) -> RecommendResponse:
            in_hands = Held()
            held.append(weakref.ref(in_hands))
            raise InvalidInputError("k", "too many")

    server = Server("127.0.0.1:0")
    server.add(add_RecommenderServiceServicer_to_server, Refusing(), "RecommenderService")
    await server.start()
    gc.disable()
    try:
        async with connect(f"127.0.0.1:{server.port}") as channel:
            for _ in range(5):
                with pytest.raises(grpc.aio.AioRpcError):
                    await RecommenderServiceStub(channel).Recommend(RecommendRequest())
        await server.stop(0)
        async with asyncio.timeout(60):  # a thread that has answered lets go of it by and by
            while any(ref() is not None for ref in held):
                await asyncio.sleep(0.01)
        assert len(held) == 5
    finally:
        gc.enable()


async def test_more_calls_than_can_be_answered_are_refused_at_once_and_others_are_not() -> None:
    release, asked = asyncio.Event(), 0

    class Slow(RecommenderServiceServicer):
        async def Recommend(self, request, context) -> RecommendResponse:
            nonlocal asked
            asked += 1
            await release.wait()
            return RecommendResponse()

        async def SimilarItems(self, request, context) -> SimilarItemsResponse:
            return SimilarItemsResponse()

    server = Server("127.0.0.1:0", ServerSettings(max_in_flight=3))
    server.add(add_RecommenderServiceServicer_to_server, Slow(), "hemline.v1.RecommenderService")
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as channel:
        stub = RecommenderServiceStub(channel)
        waiting = [asyncio.ensure_future(stub.Recommend(RecommendRequest())) for _ in range(3)]
        async with asyncio.timeout(60):
            # Being answered: of those that are not yet, a crowd lets some go (hemline.gate).
            while asked < 3:
                await asyncio.sleep(0.01)
        more = [stub.Recommend(RecommendRequest()) for _ in range(7)]
        errors = await asyncio.gather(*more, return_exceptions=True)
        assert {error.code() for error in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert isinstance(error_from(errors[0]), OverloadedError)
        await stub.SimilarItems(SimilarItemsRequest())
        release.set()
        assert len(await asyncio.gather(*waiting)) == 3
        await stub.Recommend(RecommendRequest())  # there is room again
    await server.stop(0)


async def test_callers_are_not_told_where_the_event_log_and_the_stores_are(tmp_path: Path) -> None:
    address = parse_kafka_url("kafka://127.0.0.1:9")
    told = [kafka_error(address, ConnectionError("127.0.0.1:9 hung up"))]
    users = RedisUserStates("redis://127.0.0.1:9")
    for _ in range(4):  # at last without trying
        with pytest.raises(UnavailableError) as away:
            await users.get("ada")
        told.append(away.value)
    await users.close()
    states = SqliteUserStates(tmp_path / "users.sqlite")
    await states.close()
    with pytest.raises(UnavailableError) as closed:
        await states.get_many(["ada"])
    told.append(closed.value)
    async with connect("127.0.0.1:9") as channel:
        with pytest.raises(UnavailableError) as nobody:
            ask = RecommenderServiceStub(channel).Recommend
            await call(ask, RecommendRequest(user_id="ada", k=1), timeout_s=60.0)
    told.append(nobody.value)
    for error in told:
        assert "127.0.0.1" in str(error) or str(tmp_path) in str(error)
        assert "127.0.0.1" not in message_of(error) and str(tmp_path) not in message_of(error)
        assert "just now" in message_of(error)


def test_what_callers_are_not_told_is_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    public = f"away just now ({uuid.uuid4().hex})"
    for _ in range(100):
        error = UnavailableError("Kafka at 10.1.2.3:9092 hung up", public=public)
        assert refusal("hemline.v1.EventService/RecordEvent", error).message == public
    [said] = [record.getMessage() for record in caplog.records if public in record.getMessage()]
    assert "RecordEvent" in said and "10.1.2.3:9092 hung up" in said
