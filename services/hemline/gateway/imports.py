"""History from other platforms: items the shop has never seen become one taste vector.

Each item's photo and words go through the same CLIP as the shop's own, their weighted sum goes into
the event log, and the updater adds it to the shopper's state. Photos and titles are not kept.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemline import metrics
from hemline.catalogue import Item
from hemline.contracts import Encoders
from hemline.errors import BadImageError, InvalidInputError
from hemline.event_log import EVENTS_TOPIC, EventLog, Position
from hemline.item_text import item_text
from hemline.live_view import Served
from hemline.v1 import event_pb2
from hemline.vectors import F32, content_vectors, pack_f32


@dataclass(frozen=True)
class ForeignItem:
    """A checked item from elsewhere; title or image is given."""

    index: int  # place in the request
    title: str
    image: bytes
    category: str
    weight: float


@dataclass(frozen=True)
class Imported:
    """What became of an import. errors: (index in the request, error) of items left out."""

    import_id: str
    accepted: int
    errors: tuple[tuple[int, InvalidInputError], ...]
    position: Position | None


async def import_history(
    user_id: str,
    items: Sequence[ForeignItem],
    import_id: str,
    replace: bool,
    release: Served,
    encoders: Encoders,
    log: EventLog,
    timeout_s: float,
) -> Imported:
    """Encode the items and log their weighted sum for the shopper.

    An image that cannot be decoded costs that item, not the others. Raises UnavailableError or
    DeadlineError when nothing was logged; repeating the call with the same import_id is harmless.
    """
    errors: list[tuple[int, InvalidInputError]] = []
    vectors = await asyncio.gather(
        *(_content_vector(item, release, encoders, timeout_s) for item in items),
        return_exceptions=True,
    )
    total = np.zeros(release.item_content.shape[1], dtype=np.float32)
    weight = 0.0
    accepted = 0
    for item, vector in zip(items, vectors, strict=True):
        if isinstance(vector, BadImageError):
            errors.append((item.index, InvalidInputError("image", vector.reason)))
        elif isinstance(vector, BaseException):
            raise vector
        else:
            total += np.float32(item.weight) * vector
            weight += item.weight
            accepted += 1
    import_id = import_id or uuid.uuid4().hex
    if accepted == 0:
        return Imported(import_id, 0, tuple(errors), None)
    record = event_pb2.EventRecord(
        history_import=event_pb2.LoggedImport(
            import_id=import_id,
            user_id=user_id,
            encoder_id=release.encoder_id,
            vector=pack_f32(total),
            weight=weight,
            items=accepted,
            accepted_ms=int(time.time() * 1000),
            replace=replace,
        )
    )
    position = await log.publish(EVENTS_TOPIC, user_id, record.SerializeToString())
    metrics.EVENTS_ACCEPTED.labels("import").inc()
    return Imported(import_id, accepted, tuple(errors), position)


async def _content_vector(
    item: ForeignItem, release: Served, encoders: Encoders, timeout_s: float
) -> F32:
    """float32 (clip_dim,), unit norm. Raises BadImageError."""
    words = Item(item_id="foreign", title=item.title, article_type=item.category or None)
    image: F32 | None = None
    text: F32 | None = None
    if item.title or item.category:
        text = await encoders.text_vectors([item_text(words)], release.version, timeout_s)
    if item.image:
        image = await encoders.image_vectors([item.image], release.version, timeout_s)
    return np.asarray(content_vectors(image, text)[0])
