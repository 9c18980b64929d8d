"""What comes in at a server's door: refused at once or answered, and never counted wrong."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hemline import metrics
from hemline.errors import InvalidInputError
from hemline.rpc import Server, ServerSettings, connect
from hemline.v1.common_pb2 import AnswerInfo
from hemline.v1.event_pb2 import RecordEventsRequest, RecordEventsResponse
from hemline.v1.event_pb2_grpc import (
    EventServiceServicer,
    EventServiceStub,
    add_EventServiceServicer_to_server,
)
from hemline.v1.recommender_pb2 import RecommendRequest, RecommendResponse
from hemline.v1.recommender_pb2_grpc import (
    RecommenderServiceServicer,
    RecommenderServiceStub,
    add_RecommenderServiceServicer_to_server,
)

METHOD = "hemline.v1.RecommenderService/Recommend"


class Answering(RecommenderServiceServicer):
    """Answers when told to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked = 0
        self.left: list[float | None] = []
        self.cancelled = 0

    async def Recommend(self, request, context) -> RecommendResponse:
        self.asked += 1
        self.left.append(context.time_remaining())
        if request.user_id == "bad":
            raise InvalidInputError("user_id", "is bad")
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return RecommendResponse()


@asynccontextmanager
async def served(answering: Answering | Plain, most: int) -> AsyncIterator[grpc.aio.Channel]:
    server = Server("127.0.0.1:0", ServerSettings(max_in_flight=most))
    server.add(add_RecommenderServiceServicer_to_server, answering, "hemline.v1.RecommenderService")
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as channel:
        yield channel
    await server.stop(0)


async def until(done) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.005)


async def test_a_server_that_refuses_calls_still_says_that_it_is_well() -> None:
    answering = Answering()
    async with served(answering, most=1) as channel:
        stub = RecommenderServiceStub(channel)
        first = asyncio.ensure_future(stub.Recommend(RecommendRequest()))
        await until(lambda: answering.asked)
        health = health_pb2_grpc.HealthStub(channel)
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.Recommend(RecommendRequest())
            assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=60)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as error:  # nor is another call refused for it
            await channel.unary_unary("/hemline.v1.RecommenderService/Bribe")(b"")
        assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
        answering.may_answer.set()
        await first
        assert answering.asked == 1


async def test_refusals_are_counted() -> None:
    answering = Answering()
    refused = metrics.REQUESTS.labels(METHOD, "RESOURCE_EXHAUSTED")
    before = refused._value.get()
    async with served(answering, most=1) as channel:
        stub = RecommenderServiceStub(channel)
        first = asyncio.ensure_future(stub.Recommend(RecommendRequest()))
        await until(lambda: answering.asked)
        calls = [stub.Recommend(RecommendRequest()) for _ in range(7)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes)
        assert refused._value.get() - before == 7
        answering.may_answer.set()
        await first


async def test_callers_that_go_away_make_room() -> None:
    """Those that are being answered, and those that were let in and not asked for anything yet."""
    answering = Answering()
    async with served(answering, most=4) as channel:
        stub = RecommenderServiceStub(channel)
        ask = channel.stream_unary(f"/{METHOD}")  # sends no request before it is told to

        async def nothing() -> AsyncIterator[bytes]:
            await asyncio.sleep(60)
            yield b""

        calls = [stub.Recommend(RecommendRequest()) for _ in range(2)]
        calls += [ask(nothing()) for _ in range(2)]
        tasks = [asyncio.ensure_future(_outcome(call)) for call in calls]
        await until(lambda: answering.asked == 2)
        await asyncio.sleep(0.05)
        for call in calls:
            call.cancel()
        await asyncio.gather(*tasks)
        await until(lambda: answering.cancelled == 2)
        answering.may_answer.set()

        async def all_of_four() -> bool:
            calls = [_outcome(stub.Recommend(RecommendRequest())) for _ in range(4)]
            return not any(isinstance(o, Exception) for o in await asyncio.gather(*calls))

        async with asyncio.timeout(60):  # the server hears of the cancelling by and by
            while not await all_of_four():
                await asyncio.sleep(0.01)


async def test_a_caller_with_a_deadline_is_known_to_wait_so_long_and_others_not() -> None:
    answering = Answering()
    answering.may_answer.set()
    async with served(answering, most=4) as channel:
        stub = RecommenderServiceStub(channel)
        await stub.Recommend(RecommendRequest(), timeout=600)
        await stub.Recommend(RecommendRequest())
    assert answering.left[0] is not None and 500 < answering.left[0] <= 600
    assert answering.left[1] is None


async def test_a_refused_request_is_not_kept() -> None:
    """No cycle of error, traceback and request waits for the garbage collector."""
    answering = Answering()
    async with served(answering, most=4) as channel:
        stub = RecommenderServiceStub(channel)
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                with pytest.raises(grpc.aio.AioRpcError):
                    await stub.Recommend(RecommendRequest(user_id="bad"))
            # The last of each of two threads; a thread may still be about to let go of another.
            await until(lambda: errors_alive() <= 2)
        finally:
            gc.enable()


def errors_alive() -> int:
    return sum(type(thing) is InvalidInputError for thing in gc.get_objects())


class Plain(RecommenderServiceServicer):
    """Answers in the call's own thread, all of them when `together` of them are there."""

    def __init__(self, together: int) -> None:
        self._all_there = threading.Barrier(together)

    def Recommend(self, request, context) -> RecommendResponse:
        if request.user_id == "bad":
            raise InvalidInputError("user_id", "is bad")
        if request.user_id == "broken":
            raise ValueError("a defect")
        self._all_there.wait(60)
        return RecommendResponse(info=AnswerInfo(request_id=request.request_id))


async def test_plain_methods_are_answered_in_threads_of_their_own_many_at_a_time() -> None:
    async with served(Plain(together=40), most=0) as channel:
        stub = RecommenderServiceStub(channel)
        calls = [stub.Recommend(RecommendRequest(request_id=str(n))) for n in range(40)]
        answers = await asyncio.gather(*calls)
    assert [answer.info.request_id for answer in answers] == [str(n) for n in range(40)]


@pytest.mark.parametrize(
    ("user_id", "code", "said"),
    [
        ("bad", grpc.StatusCode.INVALID_ARGUMENT, "user_id: is bad"),
        ("broken", grpc.StatusCode.INTERNAL, "internal error; see the server's log"),
    ],
)
async def test_plain_methods_refuse_as_coroutines_do(
    user_id: str, code: grpc.StatusCode, said: str
) -> None:
    async with served(Plain(together=1), most=0) as channel:
        stub = RecommenderServiceStub(channel)
        before = metrics.REQUESTS.labels(METHOD, code.name)._value.get()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Recommend(RecommendRequest(user_id=user_id))
        assert (error.value.code(), error.value.details()) == (code, said)
        assert metrics.REQUESTS.labels(METHOD, code.name)._value.get() == before + 1
        await stub.Recommend(RecommendRequest())


async def test_a_stream_whose_servicer_gives_up_lets_its_threads_go() -> None:
    class Impatient(EventServiceServicer):
        async def RecordEvents(self, requests, context) -> RecordEventsResponse:
            async for _ in requests:
                await asyncio.sleep(0.1)  # more has come by then than may lie here unread
                raise InvalidInputError("event", "no more, please")
            return RecordEventsResponse()

    def stream() -> grpc.StatusCode:
        # grpc.aio says INTERNAL where a message is on its way when the status comes; this does not.
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            with pytest.raises(grpc.RpcError) as error:
                EventServiceStub(channel).RecordEvents(repeat(RecordEventsRequest()), timeout=60)
            return error.value.code()

    server = Server("127.0.0.1:0")
    server.add(add_EventServiceServicer_to_server, Impatient(), "hemline.v1.EventService")
    await server.start()
    codes = {await asyncio.to_thread(stream) for _ in range(10)}
    assert codes == {grpc.StatusCode.INVALID_ARGUMENT}
    await server.stop(0)
    await until(lambda: not any(t.name.startswith("stream") for t in threading.enumerate()))


async def _outcome(call) -> object:
    try:
        return await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        return error
