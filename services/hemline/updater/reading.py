"""Which records to apply next. The store says so, not the log's group: see hemline.lineage.

Every partition this process is given is read from the store's own position on. When the two
disagree later (a partition came back from another updater, the store was emptied or fell back to an
older copy, another lineage was begun), the position is asked for again and the consumer is sought
there. The log's group is told as well, for those who watch it, and is never believed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hemline import metrics
from hemline.errors import HemlineError
from hemline.event_log import Consumer, EventLog, Position, Record
from hemline.lineage import Lineage, Progress, new_lineage_id
from hemline.user_state import UserStates

logger = logging.getLogger(__name__)

CHECK_S = 1.0  # how soon a lost store or a rebuild is noticed while no events come
TELL_S = 0.5  # how often the log's group is told; each time costs as much as a small batch
SEEKS_TO_BELIEVE = 3  # after so many the log really has nothing there


@dataclass
class _Place:
    """stored: the position the store has. next: the offset the log should deliver next."""

    stored: int
    next: int
    seeks: int = 0


class Reading:
    """The records of one topic that are not in the store yet, by one member of the group."""

    def __init__(self, log: EventLog, topic: str, consumer: Consumer, users: UserStates) -> None:
        self._log = log
        self._topic = topic
        self._consumer = consumer
        self._users = users
        self._places: dict[int, _Place] = {}
        self._lineage: Lineage | None = None
        self._lineage_above = 0
        self._check_at = 0.0
        self._untold: dict[int, Position] = {}
        self._tell_at = 0.0

    @property
    def lineage(self) -> Lineage:
        """What the states of the records polled last belong to; there is one once any were."""
        assert self._lineage is not None
        return self._lineage

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records to apply, of each partition without a gap; raises UnavailableError."""
        records = await self._consumer.poll(max_records, timeout_s)
        given = self._consumer.assigned()
        self._places = {p: place for p, place in self._places.items() if p in given}
        if not records:
            await self.tell_group()
        if not records and given:
            await self._check_store()
        first: dict[int, int] = {}
        for record in records:
            first.setdefault(record.partition, record.offset)
        astray = {
            p
            for p in given
            if (place := self._places.get(p)) is None or first.get(p, place.next) != place.next
        }
        if astray:
            astray = await self._resume(astray, first)
        ready = [r for r in records if r.partition in self._places and r.partition not in astray]
        for record in ready:
            self._places[record.partition].next = record.offset + 1
        for p in first.keys() - astray:
            if p in self._places:
                self._places[p].seeks = 0
        return ready

    async def applied(self, batch: Sequence[Record]) -> None:
        """Remember that the states of these records are stored.

        When the store does not know of our lineage or positions any more, they are asked for again
        with the next poll, and what is missing is read again. Raises UnavailableError.
        """
        ends = {record.partition: record.offset + 1 for record in batch}
        places = {p: self._places[p] for p in ends if p in self._places}
        steps = {p: range(place.stored, ends[p]) for p, place in places.items()}
        if not await self._users.advance(self.lineage, steps):
            logger.warning("the user states are not what they were; looking where they stand")
            self._places.clear()
            return
        for p, place in places.items():
            place.stored = ends[p]
        self._untold |= {p: Position(p, ends[p] - 1) for p in places}
        if time.monotonic() >= self._tell_at:
            await self.tell_group()

    async def tell_group(self) -> None:
        """Commit what was applied, for those who watch the group; the store knows by itself."""
        told, self._untold = self._untold, {}
        if not told:
            return
        self._tell_at = time.monotonic() + TELL_S
        try:
            await self._consumer.commit(list(told.values()))
        except HemlineError as error:  # the next commit covers this one
            logger.info("the log's group was not told: %s", error)

    async def overtaken(self, lineage_id: int) -> None:
        """A state of a later lineage was met: read on in that one."""
        if self._lineage is not None and lineage_id > self._lineage.id:
            progress = await self._users.progress()
            if progress is not None and progress.lineage.id < lineage_id:
                # The store fell back behind its own states; only a rebuild makes them one again.
                self._lineage_above = lineage_id
        self._places.clear()

    async def lag(self) -> int:
        """How many records of our partitions the store lacks. Raises UnavailableError."""
        extent = await self._log.extent(self._topic)
        return sum(
            max(0, extent[p].stop - max(place.stored, extent[p].start))
            for p, place in self._places.items()
            if p in extent
        )

    async def _check_store(self) -> None:
        """While nothing comes: is the store still where we left it?"""
        now = time.monotonic()
        if now < self._check_at or self._lineage is None:
            return
        progress = await self._users.progress()
        self._check_at = now + CHECK_S
        if (
            progress is None
            or progress.lineage.id != self._lineage.id
            or any(progress.positions.get(p, 0) < at.stored for p, at in self._places.items())
        ):
            self._places.clear()

    async def _resume(self, astray: Iterable[int], first: dict[int, int]) -> set[int]:
        """Go on where the store stands; returns the partitions whose polled records do not fit."""
        progress, extent = await self._agree()
        if progress.lineage != self._lineage:
            logger.info("applying events in lineage %d", progress.lineage.id)
            self._lineage = progress.lineage
            self._places.clear()
            astray = self._consumer.assigned()
        goals: dict[int, _Place] = {}
        for p in astray:
            stored = progress.positions.get(p, 0)
            oldest = extent[p].start if p in extent else 0
            if oldest > stored:
                logger.warning(
                    "%d records of partition %d left the log before they were applied",
                    oldest - stored,
                    p,
                )
                metrics.EVENTS_MISSED.inc(oldest - stored)
            before = self._places.get(p)
            place = _Place(stored, max(stored, oldest), before.seeks + 1 if before else 1)
            if first.get(p) == place.next:
                self._places[p] = place
            elif p in first and place.seeks > SEEKS_TO_BELIEVE:
                logger.error("partition %d has no records %d to %d", p, place.next, first[p] - 1)
                metrics.EVENTS_MISSED.inc(max(0, first[p] - place.next))
                self._places[p] = place
            else:
                goals[p] = place
        if goals:
            await self._consumer.seek({p: place.next for p, place in goals.items()})
            self._places |= goals
        return set(goals)

    async def _agree(self) -> tuple[Progress, dict[int, range]]:
        """Where the store stands and what the log holds; begins a lineage where they do not fit."""
        log = await self._log.identity(self._topic)
        while True:
            progress = await self._users.progress()
            extent = await self._log.extent(self._topic)
            old = progress.lineage if progress else None
            kept: tuple[int, ...] = (old.id, *old.kept) if old else ()
            reason = "store_empty"
            if progress is not None and old is not None:
                if old.id < self._lineage_above:
                    kept, reason = (), "store_fell_back"
                elif old.log != log:
                    reason = "log_changed"
                elif any(
                    extent[p].stop < at for p, at in progress.positions.items() if p in extent
                ):
                    reason = "log_shorter"
                else:
                    return progress, extent
            above = max(self._lineage_above, old.id if old else 0)
            lineage = Lineage(new_lineage_id(above), log, kept)
            if await self._users.begin(lineage, instead_of=old):
                records = sum(map(len, extent.values()))
                level = logging.WARNING if records or old else logging.INFO
                logger.log(level, "%s: applying all %d records of the log", reason, records)
                metrics.LINEAGES_BEGUN.labels(reason).inc()
