"""One new or changed item, up to its acknowledgement: checked, and durably in the event log.

What the gateway can do at once it does before it answers: a deleted item is never shown here again,
and a new price or stock counts from the next answer on. New vectors follow from the indexer.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence

import numpy as np

from hemline.errors import InvalidInputError
from hemline.event_log import CATALOGUE_TOPIC, EventLog
from hemline.gateway.at_once import AtOnce
from hemline.gateway.checks import MAX_ID, check_text
from hemline.gateway.tenants import check_may_become
from hemline.images import check_image_header
from hemline.key_file import TENANT
from hemline.live_items import LiveItems
from hemline.v1 import catalog_pb2, common_pb2
from hemline.vectors import unpack_f32
from hemline.wire import item_from_proto

_LENGTHS = {
    "title": 512,
    "description": 10_000,
    "brand": 128,
    "gender": 128,
    "master_category": 128,
    "sub_category": 128,
    "article_type": 128,
    "colour": 128,
    "season": 128,
    "usage": 128,
    "variant_group": MAX_ID,
}
_YEARS = range(1900, 2101)
_NORM_OFF = 1e-3
_PUBLISHED_TOGETHER = 256


async def upsert_item(
    message: catalog_pb2.UpsertItemsRequest, at_once: AtOnce, log: EventLog
) -> None:
    """Returns once the change is durable.

    Raises InvalidInputError naming the field, OverloadedError or UnavailableError; nothing was
    acknowledged then, and the caller may send it again.
    """
    check_upsert(message, at_once.items)
    record = catalog_pb2.CatalogueRecord(
        item=message.item,
        image=message.image,
        content_vector=message.content_vector,
        encoder_id=message.encoder_id,
        accepted_ms=int(time.time() * 1000),
    )
    item_id = message.item.item_id
    position = await log.publish(CATALOGUE_TOPIC, item_id, record.SerializeToString())
    if at_once.items.view.row(item_id) is not None:
        await at_once.show(item_id, item_from_proto(message.item), position.offset)


async def delete_items(item_ids: Sequence[str], at_once: AtOnce, log: EventLog) -> None:
    """Returns once the deletions are durable; the items are gone from this process's answers.

    Raises as `upsert_item` does; some may have been deleted then.
    """
    for start in range(0, len(item_ids), _PUBLISHED_TOGETHER):
        together = item_ids[start : start + _PUBLISHED_TOGETHER]
        done = await asyncio.gather(
            *(_delete(item_id, at_once, log) for item_id in together), return_exceptions=True
        )
        for error in filter(None, done):
            raise error


async def _delete(item_id: str, at_once: AtOnce, log: EventLog) -> None:
    record = catalog_pb2.CatalogueRecord(
        item=common_pb2.Item(item_id=item_id), deleted=True, accepted_ms=int(time.time() * 1000)
    )
    position = await log.publish(CATALOGUE_TOPIC, item_id, record.SerializeToString())
    await at_once.show(item_id, None, position.offset)


def check_upsert(message: catalog_pb2.UpsertItemsRequest, items: LiveItems) -> None:
    """Raises InvalidInputError naming the field that is missing, too long or contradictory."""
    item = message.item
    check_text("item.item_id", item.item_id, most=MAX_ID, least=1)
    for name, most in _LENGTHS.items():
        check_text(f"item.{name}", getattr(item, name), most, least=1 if name == "title" else 0)
    if not item.title.strip():
        raise InvalidInputError("item.title", "must not be empty")
    if item.HasField("price") and not (math.isfinite(item.price) and item.price >= 0):
        raise InvalidInputError("item.price", f"{item.price:g} is no price")
    if item.HasField("year") and item.year not in _YEARS:
        raise InvalidInputError(
            "item.year", f"{item.year} is outside {_YEARS.start}..{_YEARS.stop - 1}"
        )
    currency = item.currency
    if currency and not (len(currency) == 3 and currency.isalpha() and currency.isupper()):
        raise InvalidInputError("item.currency", f"{currency!r} is no ISO 4217 code, like EUR")
    if item.tenant and not TENANT.fullmatch(item.tenant):
        raise InvalidInputError(
            "item.tenant", f"{item.tenant!r} is not 1 to 64 letters, digits, '.', '_' or '-'"
        )
    check_may_become(item_from_proto(item), items.view)
    if message.content_vector:
        _check_vector(message, items)
    elif message.image:
        check_image_header(message.image)


def _check_vector(message: catalog_pb2.UpsertItemsRequest, items: LiveItems) -> None:
    if message.image:
        raise InvalidInputError("content_vector", "comes instead of an image, not with one")
    wanted = items.release.encoder_id
    if message.encoder_id != wanted:
        raise InvalidInputError(
            "encoder_id",
            f"{message.encoder_id!r} made the vector; release {items.release.id} has {wanted!r}",
        )
    dim = items.release.item_content.shape[1]
    vectors = unpack_f32(message.content_vector, dim, "content_vector")
    if len(vectors) != 1:
        raise InvalidInputError("content_vector", f"holds {len(vectors)} vectors, not one")
    norm = float(np.linalg.norm(vectors[0]))
    if abs(norm - 1.0) > _NORM_OFF:
        raise InvalidInputError("content_vector", f"has norm {norm:g}, wanted 1")
