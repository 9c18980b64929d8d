"""A gateway that knows two things, on a real port: answering when it may, and counting events.

    python tests/small_gateway.py PORT

is one that says `up`, never answers a Recommend, and says `asked` for each: to be killed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hemline.rpc import Server, ServerSettings
from hemline.v1.common_pb2 import AnswerInfo
from hemline.v1.event_pb2 import RecordEventResponse, RecordEventsResponse
from hemline.v1.event_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server
from hemline.v1.recommender_pb2 import RecommendResponse
from hemline.v1.recommender_pb2_grpc import (
    RecommenderServiceServicer,
    add_RecommenderServiceServicer_to_server,
)


class SmallGateway(RecommenderServiceServicer, EventServiceServicer):
    """Answers Recommends in its own name, as long as `may_answer` is set."""

    def __init__(self, name: str, says: str = "") -> None:
        self.name = name
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = self.answered = self.events = 0
        self._says = says

    async def Recommend(self, request, context) -> RecommendResponse:
        self.asked += 1
        if self._says:
            print(self._says, flush=True)
        await self.may_answer.wait()
        self.answered += 1
        return RecommendResponse(info=AnswerInfo(request_id=self.name))

    async def RecordEvent(self, request, context) -> RecordEventResponse:
        self.events += 1
        return RecordEventResponse()

    async def RecordEvents(self, requests, context) -> RecordEventsResponse:
        accepted = 0
        async for _ in requests:
            accepted += 1
        self.events += accepted
        return RecordEventsResponse(accepted=accepted)

    def server(self, address: str, settings: ServerSettings) -> Server:
        server = Server(address, settings)
        for add, service in (
            (add_RecommenderServiceServicer_to_server, "hemline.v1.RecommenderService"),
            (add_EventServiceServicer_to_server, "hemline.v1.EventService"),
        ):
            # A burst that a test lets wait is no crowd to the door behind the front, however slow
            # the machine.
            server.add(add, self, service, mostly_waits=True)
        return server


@asynccontextmanager
async def serving(
    gateway: SmallGateway, address: str, settings: ServerSettings | None = None
) -> AsyncIterator[Server]:
    server = gateway.server(address, settings or ServerSettings())
    await server.start()
    try:
        yield server
    finally:
        gateway.may_answer.set()
        await server.stop(0)


async def hang(port: str) -> None:
    gateway = SmallGateway("hanging", says="asked")
    gateway.may_answer.clear()
    async with serving(gateway, f"127.0.0.1:{port}"):
        print("up", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hang(sys.argv[1]))
