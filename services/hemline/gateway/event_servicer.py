"""EventService over gRPC: clicks, acknowledged only once they are in the event log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from hemline.errors import InvalidInputError
from hemline.event_log import EventLog
from hemline.gateway.events import record_event
from hemline.gateway.recommend import Stages
from hemline.gateway.streams import handle_stream
from hemline.v1 import event_pb2, event_pb2_grpc

MAX_STREAMED_EVENTS = 1_000_000
REPORTED_ERRORS = 100


class EventServicer(event_pb2_grpc.EventServiceServicer):
    """Clicks. Acknowledged only once they are in the event log."""

    def __init__(self, stages: Stages, log: EventLog) -> None:
        self._stages = stages
        self._log = log

    async def RecordEvent(
        self, request: event_pb2.RecordEventRequest, context: Any
    ) -> event_pb2.RecordEventResponse:
        catalogue = self._stages.shelf().release.catalogue
        event_id, position = await record_event(request.event, catalogue, self._log)
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
