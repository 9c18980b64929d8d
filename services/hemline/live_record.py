"""Changes of live items as records: of the topic "vectors", of a snapshot, and of calls.

A record's key names release and item, for the vectors of one release mean nothing in another.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from hemline.errors import InvalidInputError
from hemline.live_change import Change
from hemline.v1 import common_pb2, retrieval_pb2
from hemline.vectors import F32, pack_f32, unpack_f32
from hemline.wire import item_from_proto, item_to_proto


def record_key(release_id: str, item_id: str) -> str:
    """The key of an item's newest vectors in the topic."""
    return f"{release_id}/{item_id}"


def release_of_key(key: str) -> str:
    """The inverse of `record_key`, as far as the release."""
    return key.partition("/")[0]


def change_to_proto(
    change: Change, release_id: str, accepted_ms: int = 0
) -> retrieval_pb2.IndexedItem:
    """accepted_ms: when the gateway acknowledged it, Unix time in milliseconds; 0: not known."""
    message = retrieval_pb2.IndexedItem(
        item=common_pb2.Item(item_id=change.item_id),
        release=release_id,
        deleted=change.item is None,
        order=change.order,
        accepted_ms=accepted_ms,
    )
    if change.item is not None:
        assert change.content is not None and change.tower is not None
        message.item.CopyFrom(item_to_proto(change.item))
        message.content_vector = pack_f32(change.content)
        message.tower_vector = pack_f32(change.tower)
        if change.image is not None:
            message.image_vector = pack_f32(change.image)
        if change.text is not None:
            message.text_vector = pack_f32(change.text)
    return message


def change_from_proto(message: retrieval_pb2.IndexedItem, order: int) -> Change:
    """Raises InvalidInputError naming the field that cannot be meant."""
    if not message.item.item_id:
        raise InvalidInputError("item.item_id", "must not be empty")
    if message.deleted:
        return Change(message.item.item_id, None, order=order)
    return Change(
        message.item.item_id,
        item_from_proto(message.item),
        _vector(message.content_vector, "content_vector"),
        _vector(message.tower_vector, "tower_vector"),
        order,
        _vector(message.image_vector, "image_vector") if message.image_vector else None,
        _vector(message.text_vector, "text_vector") if message.text_vector else None,
    )


def read_record(value: bytes) -> retrieval_pb2.IndexedItem:
    """Raises InvalidInputError when these bytes are no record of the topic."""
    try:
        return retrieval_pb2.IndexedItem.FromString(value)
    except DecodeError as error:
        raise InvalidInputError("value", "is no IndexedItem") from error


def _vector(data: bytes, field: str) -> F32:
    if not data:
        raise InvalidInputError(field, "must not be empty")
    vector: F32 = unpack_f32(data, max(1, len(data) // 4), field)[0]
    return vector
