"""EventService over gRPC: clicks, acknowledged only once they are in the event log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hemline.errors import InvalidInputError, UnavailableError
from hemline.event_log import EventLog
from hemline.gateway.events import record_event
from hemline.gateway.recommend import Stages
from hemline.gateway.streams import handle_stream
from hemline.rpc import time_left_s
from hemline.v1 import event_pb2, event_pb2_grpc

MAX_STREAMED_EVENTS = 1_000_000
REPORTED_ERRORS = 100
NO_DEADLINE_S = 60.0  # the log itself gives up earlier
MARGIN = 0.1  # of the caller's deadline, for our refusal to arrive before it stops waiting


class EventServicer(event_pb2_grpc.EventServiceServicer):
    """Clicks. Acknowledged only once they are in the event log."""

    def __init__(self, stages: Stages, log: EventLog) -> None:
        self._stages = stages
        self._log = log

    async def RecordEvent(
        self, request: event_pb2.RecordEventRequest, context: Any
    ) -> event_pb2.RecordEventResponse:
        catalogue = self._stages.shelf().release.catalogue
        left_s = time_left_s(context, default_s=NO_DEADLINE_S) * (1 - MARGIN)
        try:
            async with asyncio.timeout(left_s):
                event_id, position = await record_event(request.event, catalogue, self._log)
        except TimeoutError as error:
            raise UnavailableError(
                f"the event log acknowledged nothing within {left_s:.1f} s; "
                "it may have the event all the same: send it again with the same event_id"
            ) from error
        return event_pb2.RecordEventResponse(event_id=event_id, offset=position.offset)

    async def RecordEvents(
        self, requests: AsyncIterator[event_pb2.RecordEventsRequest], context: Any
    ) -> event_pb2.RecordEventsResponse:
        catalogue = self._stages.shelf().release.catalogue
        response = event_pb2.RecordEventsResponse()

        async def record(index: int, message: event_pb2.RecordEventsRequest) -> None:
            event = message.event
            try:
                await record_event(event, catalogue, self._log)
                response.accepted += 1
            except InvalidInputError as error:
                response.rejected += 1
                if len(response.errors) < REPORTED_ERRORS:
                    response.errors.append(
                        event_pb2.EventError(
                            index=index,
                            event_id=event.event_id,
                            field=error.field,
                            message=error.reason,
                        )
                    )

        # Any other failure ends the stream with its error: what was not acknowledged may be sent
        # again, and event ids make that harmless.
        await handle_stream(requests, MAX_STREAMED_EVENTS, "event", record)
        return response
