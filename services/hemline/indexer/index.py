"""One new item, after its acknowledgement: catalogue topic -> CLIP and item tower -> vector topic.

A batch of records is reduced to the newest of each item. What needs no encoder (deleted items, a
price, the stock) is published first; then all texts, photos and content vectors of the rest go to
Triton together. Only when the topic holds everything is the catalogue's position committed: a crash
repeats a batch, and each record carries its order, which makes repeats harmless.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

import numpy as np

from hemline import metrics
from hemline.contracts import Encoders
from hemline.errors import BadImageError, HemlineError, InvalidInputError
from hemline.event_log import (
    CATALOGUE_TOPIC,
    DEAD_LETTERS_TOPIC,
    VECTORS_TOPIC,
    EventLog,
    Record,
)
from hemline.indexer.content import content_of_parts, image_behind
from hemline.indexer.pending import Pending, decode
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.live_record import change_to_proto, record_key
from hemline.v1 import event_pb2
from hemline.vectors import F32

logger = logging.getLogger(__name__)

MAX_BATCH = 256
ENCODE_TIMEOUT_S = 30.0
RETRY_S = 0.25


class Indexer:
    """Keeps the vector topic up to date for one release.

    items: the live items of the release, which a `Follower` keeps up to date.
    """

    def __init__(self, log: EventLog, encoders: Encoders, items: LiveItems) -> None:
        self._log = log
        self._encoders = encoders
        self._items = items
        self._version = items.release.version
        self._consumer = log.consumer(CATALOGUE_TOPIC, group_of(items.release.id))

    async def run(self, stopping: asyncio.Event) -> None:
        """Index batches until told to stop; a failed one is tried again, never skipped."""
        batch: list[Record] = []
        while not stopping.is_set():
            try:
                batch = batch or await self._consumer.poll(MAX_BATCH, 0.5)
                if batch:
                    await self.apply(batch)
                    batch = []
            except HemlineError as error:
                logger.warning("batch of %d items put off: %s", len(batch), error)
                await asyncio.sleep(RETRY_S)
        await self._consumer.close()

    async def apply(self, batch: Sequence[Record]) -> None:
        """Publish the vectors of a batch of catalogue records, then commit it.

        Raises UnavailableError or DeadlineError when Triton or the log did not do their part; the
        batch is to be applied again then.
        """
        waiting = await self._decoded(batch)
        at_once = {
            item.item_id: change for item in waiting if (change := self._without_encoder(item))
        }
        await self._publish(waiting, at_once, "as_it_was")
        rest = [item for item in waiting if item.item_id not in at_once]
        if rest:
            await self._publish(rest, await self._encoded(rest), "encoded")
        await self._consumer.commit(batch)

    async def _decoded(self, batch: Sequence[Record]) -> list[Pending]:
        """The newest state of each item; what cannot be read goes to the dead letters."""
        newest: dict[str, Pending] = {}
        for record in batch:
            try:
                pending = decode(record, self._items.release)
                newest[record.key] = pending.after(newest.get(record.key))
            except InvalidInputError as error:
                logger.error("record %s is a dead letter: %s", record.position, error)
                metrics.INDEXED_ITEMS.labels("dead_letter").inc()
                letter = event_pb2.DeadLetter(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    value=record.value,
                    reason=str(error),
                )
                await self._log.publish(DEAD_LETTERS_TOPIC, record.key, letter.SerializeToString())
        return list(newest.values())

    def _without_encoder(self, pending: Pending) -> Change | None:
        """The change, if no encoder is needed for it."""
        if pending.item is None:
            return Change(pending.item_id, None, order=pending.order)
        view = self._items.view
        row = view.row(pending.item_id)
        if row is None or pending.image or pending.content is not None:
            return None
        if pending.text != pending.text_of(view.item(row)):
            return None
        return view.with_vectors_of(row, pending.item, pending.order)

    async def _encoded(self, waiting: Sequence[Pending]) -> dict[str, Change]:
        """Changes by item, their vectors made by CLIP and the item tower."""
        content: dict[str, F32] = {
            item.item_id: item.content for item in waiting if item.content is not None
        }
        rest = [item for item in waiting if item.content is None]
        text: dict[str, F32] = {}
        image: dict[str, F32] = {}
        if rest:
            texts, image = await asyncio.gather(self._texts(rest), self._images(rest))
            text = {item.item_id: vector for item, vector in zip(rest, texts, strict=True)}
            content |= {i: content_of_parts(text[i], image.get(i)) for i in text}
        order = [item.item_id for item in waiting]
        towers = await self._encoders.item_vectors(
            _stacked(content[item_id] for item_id in order), self._version, ENCODE_TIMEOUT_S
        )
        return {
            item.item_id: Change(
                item.item_id,
                item.item,
                content[item.item_id],
                tower,
                item.order,
                image.get(item.item_id),
                text.get(item.item_id),
            )
            for item, tower in zip(waiting, towers, strict=True)
        }

    async def _texts(self, waiting: Sequence[Pending]) -> F32:
        texts = [item.text for item in waiting]
        return await self._encoders.text_vectors(texts, self._version, ENCODE_TIMEOUT_S)

    async def _images(self, waiting: Sequence[Pending]) -> dict[str, F32]:
        """Vectors of new photos, and of those that items had and keep."""
        found = await asyncio.gather(*(self._image(item) for item in waiting))
        return {
            item.item_id: vector
            for item, vector in zip(waiting, found, strict=True)
            if vector is not None
        }

    async def _image(self, pending: Pending) -> F32 | None:
        if pending.image:
            try:
                vectors = await self._encoders.image_vectors(
                    [pending.image], self._version, ENCODE_TIMEOUT_S
                )
                return np.asarray(vectors[0])
            except BadImageError as error:
                metrics.INDEXED_ITEMS.labels("bad_image").inc()
                logger.error("item %s goes by its text alone: %s", pending.item_id, error)
                return None
        view = self._items.view
        row = view.row(pending.item_id)
        if row is None:
            return None
        if "image" in view.release.spaces:
            vector = np.asarray(view.vectors("image")[row])
            return vector if vector.any() else None
        before = pending.text_of(view.item(row))
        texts = await self._encoders.text_vectors([before], self._version, ENCODE_TIMEOUT_S)
        return image_behind(view.item_content[row], texts[0])

    async def _publish(
        self, waiting: Sequence[Pending], changes: dict[str, Change], how: str
    ) -> None:
        """Into the topic, and known here from now on."""
        release_id = self._items.release.id
        await asyncio.gather(
            *(
                self._log.publish(
                    VECTORS_TOPIC,
                    record_key(release_id, item.item_id),
                    change_to_proto(
                        changes[item.item_id], release_id, item.accepted_ms
                    ).SerializeToString(),
                )
                for item in waiting
                if item.item_id in changes
            )
        )
        self._items.apply(list(changes.values()))
        metrics.INDEXED_ITEMS.labels(how).inc(len(changes))


def group_of(release_id: str) -> str:
    """The consumer group of the indexers of a release."""
    return f"indexer.{release_id}"


def _stacked(vectors: Iterable[F32]) -> F32:
    return np.stack(list(vectors))
