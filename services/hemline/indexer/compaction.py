"""The topics of items kept small, where the log does not do so itself: now and then, the newest
record of every item is all that stays, and nothing of releases that are gone.

A record of the catalogue without a photo leaves the present one: the one that brought it stays too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from google.protobuf.message import DecodeError

from hemline import metrics
from hemline.errors import HemlineError
from hemline.event_log import CATALOGUE_TOPIC, VECTORS_TOPIC, CompactionRules, EventLog
from hemline.indexer.index import group_of
from hemline.live_record import release_of_key
from hemline.releases import release_ids
from hemline.v1 import catalog_pb2

logger = logging.getLogger(__name__)

EVERY_S = 300.0
WORTH_IT = 10_000  # new records of a topic, below which it is left as it is


class Compaction:
    """releases: folder of releases; the one whose id is `serving` counts as there, whatever the
    folder says. worth_it: new records of a topic that make it worth looking through."""

    def __init__(
        self, log: EventLog, releases: Path, serving: str, worth_it: int = WORTH_IT
    ) -> None:
        self._log = log
        self._releases = releases
        self._serving = serving
        self._worth_it = worth_it
        self._seen: dict[str, int] = {}  # topic -> records ever, when it was looked at last

    async def run(self, stopping: asyncio.Event, every_s: float = EVERY_S) -> None:
        """Look at the topics now and then until told to stop; a log that is away can wait."""
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await stopping.wait()
                    return
            try:
                await self.compact()
            except HemlineError as error:
                logger.warning("the topics of items are left as they are for now: %s", error)

    async def compact(self) -> None:
        """Raises UnavailableError when the log cannot be read or written."""
        kept = {self._serving, *release_ids(self._releases)}
        groups = [group_of(release_id) for release_id in kept]
        rules = {
            CATALOGUE_TOPIC: CompactionRules(lambda key: False, _says_all),
            VECTORS_TOPIC: CompactionRules(lambda key: release_of_key(key) not in kept),
        }
        for topic in rules:
            ever = sum(kept_now.stop for kept_now in (await self._log.extent(topic)).values())
            if ever - self._seen.get(topic, 0) < self._worth_it:
                continue
            self._seen[topic] = ever
            dropped = await self._log.compact(topic, groups, rules[topic])
            metrics.LIVE_RECORDS.labels("compacted").inc(dropped)
            logger.info("%d records of %s were superseded or of releases gone", dropped, topic)


def _says_all(value: bytes) -> bool:
    """Whether a record of the catalogue needs none that came before."""
    try:
        record = catalog_pb2.CatalogueRecord.FromString(value)
    except DecodeError:
        return False
    return bool(record.deleted or record.image or record.content_vector)
