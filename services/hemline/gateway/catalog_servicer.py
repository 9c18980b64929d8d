"""CatalogService over gRPC: the live catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from hemline.errors import InvalidInputError
from hemline.event_log import EventLog
from hemline.gateway.at_once import AtOnce
from hemline.gateway.catalogue_changes import delete_items, upsert_item
from hemline.gateway.checks import MAX_ID, check_text
from hemline.gateway.photos import Photos
from hemline.gateway.streams import handle_stream
from hemline.gateway.tenants import visible
from hemline.live_items import LiveItems
from hemline.v1 import catalog_pb2, catalog_pb2_grpc
from hemline.wire import item_to_proto

MAX_STREAMED_ITEMS = 1_000_000
MAX_DELETED = 10_000
MAX_ASKED = 1_000
REPORTED_ERRORS = 100


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Items come, change and go. Acknowledged only once it is in the event log."""

    def __init__(self, items: LiveItems, log: EventLog, photos: Photos | None = None) -> None:
        self._photos = photos or Photos(None)
        self._items = items
        self._at_once = AtOnce(items)
        self._log = log

    async def UpsertItems(
        self, requests: AsyncIterator[catalog_pb2.UpsertItemsRequest], context: Any
    ) -> catalog_pb2.UpsertItemsResponse:
        response = catalog_pb2.UpsertItemsResponse()

        async def upsert(index: int, message: catalog_pb2.UpsertItemsRequest) -> None:
            try:
                await upsert_item(message, self._at_once, self._log)
                response.accepted += 1
            except InvalidInputError as error:
                response.rejected += 1
                if len(response.errors) < REPORTED_ERRORS:
                    response.errors.append(
                        catalog_pb2.ItemError(
                            index=index,
                            item_id=message.item.item_id,
                            field=error.field,
                            message=error.reason,
                        )
                    )

        # Any other failure ends the stream with its error; sending everything again is harmless.
        await handle_stream(requests, MAX_STREAMED_ITEMS, "item", upsert)
        response.errors.sort(key=lambda error: error.index)
        return response

    async def DeleteItems(
        self, request: catalog_pb2.DeleteItemsRequest, context: Any
    ) -> catalog_pb2.DeleteItemsResponse:
        asked = list(dict.fromkeys(request.item_ids))
        _check_ids(asked, MAX_DELETED)
        view = self._items.view
        known = {item_id: None for item_id in asked if visible(view.row(item_id), view)}
        await delete_items(list(known), self._at_once, self._log)
        return catalog_pb2.DeleteItemsResponse(
            deleted=len(known),
            unknown_item_ids=[item_id for item_id in asked if item_id not in known],
        )

    async def GetItems(
        self, request: catalog_pb2.GetItemsRequest, context: Any
    ) -> catalog_pb2.GetItemsResponse:
        _check_ids(request.item_ids, MAX_ASKED)
        view = self._items.view
        response = catalog_pb2.GetItemsResponse(release=view.id)
        rows = []
        for item_id in request.item_ids:
            row = view.row(item_id)
            if row is None or not visible(row, view):
                response.unknown_item_ids.append(item_id)
            else:
                rows.append(row)
                response.items.append(catalog_pb2.CatalogItem(item=item_to_proto(view.item(row))))
        if request.include_images:
            photos = await self._photos.of(rows, view)
            for item, photo in zip(response.items, photos, strict=True):
                item.image = photo
        return response


def _check_ids(item_ids: Any, most: int) -> None:
    if not 1 <= len(item_ids) <= most:
        raise InvalidInputError("item_ids", f"{len(item_ids)} ids, 1 to {most} are allowed")
    for place, item_id in enumerate(item_ids):
        check_text(f"item_ids[{place}]", item_id, most=MAX_ID, least=1)
