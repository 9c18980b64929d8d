"""How a process's live items keep up with the cluster: a snapshot, then the topic "vectors".

    newest snapshot -> the topic from where that ends -> caught up: the process may serve
    -> every record as it comes -> now and then a snapshot

Each process reads the whole topic by itself. What is stale, of another release, or unreadable is
counted and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from hemline import metrics
from hemline.errors import HemlineError, InvalidInputError, UnavailableError
from hemline.event_log import VECTORS_TOPIC, EventLog, Reader, Record
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.live_record import change_from_proto, read_record
from hemline.live_snapshot import Snapshot, Snapshots

logger = logging.getLogger(__name__)

MAX_BATCH = 2_000
# Records, which take some 5 ms; then others of the event loop have their turn. More where there are
# many items: a new view costs a copy of nine bytes a row.
AT_ONCE = 100
ROWS_A_RECORD = 2_000  # so that the copies take less than the records
POLL_S = 0.5
RETRY_S = 0.5
SNAPSHOT_EVERY_S = 60.0


class Follower:
    """Keeps `items` up to date. snapshots: None to read the topic from its start every time."""

    def __init__(
        self,
        log: EventLog,
        items: LiveItems,
        snapshots: Snapshots | None = None,
        snapshot_every_s: float = SNAPSHOT_EVERY_S,
    ) -> None:
        self._log = log
        self._items = items
        self._snapshots = snapshots
        self._snapshot_every_s = snapshot_every_s
        self._reader: Reader | None = None
        self._identity = ""
        self._offsets: dict[int, int] = {}  # partition -> next to read
        self._snapshot_at = time.monotonic() + snapshot_every_s
        self._saved: dict[int, int] = {}
        metrics.LIVE_CAUGHT_UP.set(0)

    async def catch_up(self) -> None:
        """Returns once every record that was in the topic when this was called is applied.

        Raises UnavailableError when the log cannot be read.
        """
        if self._reader is None:
            await self._begin()
        ends = await self._log.extent(VECTORS_TOPIC)
        while not all(
            self._offsets.get(partition, 0) >= kept.stop
            for partition, kept in ends.items()
            if len(kept)
        ):
            await self._step(0.1)
        metrics.LIVE_CAUGHT_UP.set(1)

    async def wait_until_caught_up(self, patience_s: float | None = None) -> None:
        """`catch_up`, tried again while the log is away.

        patience_s: after so long, go on with what there is: it is said, and a metric shows it.
        """
        deadline = None if patience_s is None else time.monotonic() + patience_s
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    await self.catch_up()
                return
            except (HemlineError, TimeoutError) as error:
                said = str(error) or f"not caught up within {patience_s:g} s"
                if deadline is not None and time.monotonic() >= deadline:
                    logger.error("going on with live items that may be behind: %s", said)
                    return
                logger.warning("waiting to catch up with the live items: %s", said)
                await asyncio.sleep(RETRY_S)

    async def run(self, stopping: asyncio.Event) -> None:
        """Apply what comes until told to stop; a log that is away is tried again."""
        while not stopping.is_set():
            try:
                await self.catch_up()
                while not stopping.is_set():
                    await self._step(POLL_S)
                    await self._save_now_and_then()
            except HemlineError as error:
                metrics.LIVE_CAUGHT_UP.set(0)
                logger.warning("the live items may be behind: %s", error)
                await asyncio.sleep(RETRY_S)
        await self.save()

    async def save(self) -> None:
        """Write a snapshot, if anything came since the last; a full disk is told, not raised."""
        if self._snapshots is None or self._offsets == self._saved:
            return
        offsets = dict(self._offsets)
        snapshots, changes = self._snapshots, self._items.later_changes()
        try:
            await asyncio.to_thread(
                lambda: snapshots.save(Snapshot(self._identity, offsets, changes()))
            )
            self._saved = offsets
        except OSError as error:
            metrics.LIVE_SNAPSHOTS.labels("failed").inc()
            logger.error("no snapshot of the live items could be written: %s", error)

    async def _begin(self) -> None:
        self._identity = await self._log.identity(VECTORS_TOPIC)
        if self._snapshots is not None:
            snapshot = await asyncio.to_thread(self._snapshots.newest)
            if snapshot is not None and snapshot.log == self._identity:
                self._items.apply(snapshot.changes)
                self._offsets = self._saved = dict(snapshot.offsets)
            elif snapshot is not None:
                metrics.LIVE_SNAPSHOTS.labels("other_log").inc()
                logger.error(
                    "the snapshot is of log %s, this is %s: it is not used",
                    snapshot.log,
                    self._identity,
                )
        self._reader = self._log.reader(VECTORS_TOPIC, self._offsets)

    async def _save_now_and_then(self) -> None:
        if time.monotonic() >= self._snapshot_at:
            await self.save()
            self._snapshot_at = time.monotonic() + self._snapshot_every_s

    async def _step(self, timeout_s: float) -> None:
        if self._reader is None:
            raise UnavailableError("the topic of vectors is not being read")
        records = await self._reader.poll(MAX_BATCH, timeout_s)
        at_once = max(AT_ONCE, len(self._items.view) // ROWS_A_RECORD)
        for start in range(0, len(records), at_once):
            together = records[start : start + at_once]
            apply_records(self._items, together)
            self._offsets |= _next_offsets(together)
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def following(follower: Follower) -> AsyncIterator[None]:
    """The follower runs meanwhile, and writes a last snapshot at the end."""
    stopping = asyncio.Event()
    task = asyncio.create_task(follower.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await task


def apply_records(items: LiveItems, records: Sequence[Record]) -> None:
    """Make a batch of the topic's records visible; what cannot be used is counted and said."""
    changes: list[Change] = []
    accepted_ms: list[int] = []
    for record in records:
        try:
            message = read_record(record.value)
            if message.release != items.release.id:
                metrics.LIVE_RECORDS.labels("other_release").inc()
                continue
            change = change_from_proto(message, message.order)
            items.check(change)
        except InvalidInputError as error:
            metrics.LIVE_RECORDS.labels("unreadable").inc()
            logger.error("record %s of %s is left out: %s", record.position, record.topic, error)
            continue
        changes.append(change)
        accepted_ms.append(message.accepted_ms)
    items.apply(changes)
    metrics.LIVE_RECORDS.labels("applied").inc(len(changes))
    metrics.INDEX_ITEMS.set(items.view.count)
    now_ms = time.time() * 1000
    for accepted in accepted_ms:
        if accepted and now_ms - accepted < 60_000:  # how long ago a replayed one was says nothing
            metrics.LIVE_VISIBLE_SECONDS.observe(max(0.0, (now_ms - accepted) / 1000))


def _next_offsets(records: Sequence[Record]) -> Mapping[int, int]:
    return {record.partition: record.offset + 1 for record in records}
