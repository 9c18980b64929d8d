"""UserService over gRPC: what is known of a shopper."""

from __future__ import annotations

from typing import Any

from hemline.errors import BadImageError, InvalidInputError
from hemline.event_log import EventLog
from hemline.gateway.checks import MAX_ID, check_text
from hemline.gateway.imports import ForeignItem, import_history
from hemline.gateway.recommend import Stages
from hemline.images import check_image_header
from hemline.rpc import time_left_s
from hemline.user_profile import EVENT_WEIGHT
from hemline.v1 import user_pb2, user_pb2_grpc
from hemline.wire import EVENT_KIND_NAMES, EVENT_KINDS

MAX_FOREIGN_ITEMS = 200


class UserServicer(user_pb2_grpc.UserServiceServicer):
    """What is known of a shopper."""

    def __init__(self, stages: Stages, log: EventLog) -> None:
        self._stages = stages
        self._log = log

    async def ImportHistory(
        self, request: user_pb2.ImportHistoryRequest, context: Any
    ) -> user_pb2.ImportHistoryResponse:
        check_text("user_id", request.user_id, most=MAX_ID, least=1)
        check_text("import_id", request.import_id, most=64)
        check_text("platform", request.platform, most=64)
        if not 1 <= len(request.items) <= MAX_FOREIGN_ITEMS:
            raise InvalidInputError("items", f"needs 1 to {MAX_FOREIGN_ITEMS} items")
        release = self._stages.shelf().release
        good: list[ForeignItem] = []
        errors: list[tuple[int, InvalidInputError]] = []
        for index, message in enumerate(request.items):
            try:
                good.append(_foreign_item(index, message))
            except InvalidInputError as error:
                errors.append((index, error))
        accepted, import_id, offset = 0, request.import_id, 0
        if good:
            imported = await import_history(
                request.user_id,
                good,
                request.import_id,
                request.replace,
                release,
                self._stages.encoders,
                self._log,
                time_left_s(context, default_s=30.0),
            )
            accepted, import_id = imported.accepted, imported.import_id
            offset = imported.position.offset if imported.position else 0
            errors += imported.errors
        if not accepted:
            index, first = min(errors, key=lambda found: found[0])
            raise InvalidInputError(f"items[{index}].{first.field}", first.reason)
        return user_pb2.ImportHistoryResponse(
            import_id=import_id,
            accepted=accepted,
            errors=[
                user_pb2.ForeignItemError(index=index, field=wrong.field, message=wrong.reason)
                for index, wrong in sorted(errors, key=lambda found: found[0])
            ],
            encoder_id=release.encoder_id,
            offset=offset,
        )

    async def GetUser(
        self, request: user_pb2.GetUserRequest, context: Any
    ) -> user_pb2.GetUserResponse:
        check_text("user_id", request.user_id, most=MAX_ID, least=1)
        state = await self._stages.users.get(request.user_id)
        if state is None:
            return user_pb2.GetUserResponse(user_id=request.user_id, known=False)
        return user_pb2.GetUserResponse(
            user_id=request.user_id,
            known=True,
            history=[
                user_pb2.HistoryEntry(
                    item_id=event.item_id,
                    kind=EVENT_KINDS[event.kind],
                    occurred_ms=event.occurred_ms,
                )
                for event in reversed(state.history)
            ],
            imported_items=state.imported.items if state.imported else 0,
            vector_release=state.vector.release if state.vector else "",
            state_version=state.version,
        )


def _foreign_item(index: int, message: user_pb2.ForeignItem) -> ForeignItem:
    check_text("title", message.title, most=512)
    check_text("category", message.category, most=128)
    if not message.title.strip() and not message.image:
        raise InvalidInputError("title", "title or image must be given")
    if message.image:
        try:
            check_image_header(message.image)
        except BadImageError as error:
            raise InvalidInputError("image", error.reason) from error
    weight = message.weight or EVENT_WEIGHT.get(EVENT_KIND_NAMES.get(message.kind, ""), 1.0)
    if not 0 < weight <= 100:
        raise InvalidInputError("weight", f"{weight:g} is not above 0 and at most 100")
    return ForeignItem(index, message.title.strip(), message.image, message.category, weight)
