"""What every call passes on its way in: bytes that are no message, silent streams, long reasons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from hemline.errors import DeadlineError, InvalidInputError, RateLimitedError, UnauthenticatedError
from hemline.rpc import Server, ServerSettings, connect
from hemline.statuses import details_of, error_from, message_of, status_of
from hemline.v1.event_pb2 import RecordEventsRequest, RecordEventsResponse
from hemline.v1.event_pb2_grpc import (
    EventServiceServicer,
    EventServiceStub,
    add_EventServiceServicer_to_server,
)
from hemline.v1.recommender_pb2 import RecommendRequest, SimilarItemsRequest
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
    async def stream() -> AsyncIterator[bytes]:
        yield RecordEventsRequest().SerializeToString()
        yield b"\xff\xff\xff"

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.channel.stream_unary(RECORD_EVENTS)(stream())
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_on_which_nothing_comes_is_ended() -> None:
    class Counting(EventServiceServicer):
        messages = 0

        async def RecordEvents(self, requests, context) -> RecordEventsResponse:
            async for _ in requests:
                self.messages += 1
            return RecordEventsResponse()

    async def silent_after_one() -> AsyncIterator[RecordEventsRequest]:
        yield RecordEventsRequest()
        await asyncio.sleep(60)

    counting = Counting()
    server = Server("127.0.0.1:0", ServerSettings(stream_idle_s=0.1))
    server.add(add_EventServiceServicer_to_server, counting, "hemline.v1.EventService")
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await EventServiceStub(channel).RecordEvents(silent_after_one())
    await server.stop(0)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.value.details().startswith("no message for 0.1 s on this stream")
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
