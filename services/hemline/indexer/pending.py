"""A record of the topic "catalogue", read and checked against the release."""

from __future__ import annotations

from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from hemline.catalogue import Item
from hemline.errors import InvalidInputError
from hemline.event_log import Record
from hemline.item_text import item_text
from hemline.releases import Release
from hemline.v1 import catalog_pb2
from hemline.vectors import F32, unpack_f32
from hemline.wire import item_from_proto


@dataclass(frozen=True, eq=False)
class Pending:
    """item None: deleted. image: empty to keep the present one. content: given by the caller.

    order: the record's offset.
    """

    item_id: str
    item: Item | None
    image: bytes
    content: F32 | None
    order: int
    accepted_ms: int

    def after(self, earlier: Pending | None) -> Pending:
        """This state, with the photo or content vector of an earlier one that it leaves alone."""
        if earlier is None or earlier.item is None or self.item is None:
            return self
        if self.image or self.content is not None:
            return self
        return replace(self, image=earlier.image, content=earlier.content)

    @property
    def text(self) -> str:
        """What CLIP reads of the item."""
        assert self.item is not None
        return item_text(self.item)

    @staticmethod
    def text_of(item: Item) -> str:
        return item_text(item)


def decode(record: Record, release: Release) -> Pending:
    """Raises InvalidInputError for bytes that are no record, or none of this release's encoder."""
    try:
        message = catalog_pb2.CatalogueRecord.FromString(record.value)
    except DecodeError as error:
        raise InvalidInputError("value", "is no CatalogueRecord") from error
    if message.item.item_id != record.key:
        raise InvalidInputError(
            "item.item_id", f"{message.item.item_id!r} under the key {record.key!r}"
        )
    content: F32 | None = None
    if message.content_vector and message.encoder_id == release.encoder_id:
        content = unpack_f32(message.content_vector, release.item_content.shape[1])[0]
    return Pending(
        record.key,
        None if message.deleted else item_from_proto(message.item),
        message.image,
        content,
        record.offset,
        message.accepted_ms,
    )
