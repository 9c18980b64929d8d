"""One click, after its acknowledgement: event log -> shopper's state and vector -> store.

A batch of records is applied to the states of its shoppers, the new user vectors are computed in
one call to Triton, all states are stored in one batch, then the positions in the log, and only then
is the log told. A crash anywhere repeats a batch, and `apply_changes` makes repeats harmless; what
a lost or older store lacks is read again, see `hemline.updater.reading`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import numpy as np

from hemline import metrics
from hemline.contracts import Encoders
from hemline.errors import HemlineError, InvalidInputError, SetupError
from hemline.event_log import (
    DEAD_LETTERS_TOPIC,
    EVENTS_TOPIC,
    Consumer,
    EventLog,
    Position,
    Record,
)
from hemline.lineage import Lineage
from hemline.live_items import LiveItems
from hemline.releases import Release
from hemline.shopper import read_shopper
from hemline.updater.apply import Change, OvertakenError, apply_changes, decode_record
from hemline.updater.dead_letters import DeadLetterLimit
from hemline.updater.reading import Reading
from hemline.user_state import UnreadableStateError, UserState, UserStates, UserVector
from hemline.v1 import event_pb2

logger = logging.getLogger(__name__)

GROUP = "updater"
MAX_BATCH = 20_000  # the larger, the more events of a shopper share one read and one write
MAX_FRESH_BATCH = 1_000  # a larger one means that we are catching up
MAX_OWED = 100_000  # shoppers remembered as having no vector yet
PAID_AT_ONCE = 500  # of them, as soon as there is nothing newer to do
GATHER_S = 0.04  # from one batch to the next, while they are small; the first of all waits for none
LAG_EVERY_S = 0.25
VECTOR_TIMEOUT_S = 2.0
RETRY_S = 0.25

Changes = Mapping[str, list[Change]]


class Updater:
    """Applies the event log to the store, one batch at a time.

    release: with its live items, if the vectors shall count clicks on those that came later.
    encoders: None to leave the user vectors to others; every state is stored without one then.
    """

    def __init__(
        self,
        log: EventLog,
        users: UserStates,
        encoders: Encoders | None,
        release: Release | LiveItems,
        consumer: Consumer | None = None,
        topic: str = EVENTS_TOPIC,
        dead_letters: DeadLetterLimit | None = None,
    ) -> None:
        self._log = log
        self._consumer = consumer or log.consumer(topic, GROUP)
        self._reading = Reading(log, topic, self._consumer, users)
        self._users = users
        self._encoders = encoders
        self._items = LiveItems(release) if isinstance(release, Release) else release
        release = self._items.release
        self._clip_dims = {release.encoder_id: release.item_content.shape[1]}
        self._dead_letters = dead_letters or DeadLetterLimit()
        self._lag_known = 0.0
        self._owed: set[str] = set()  # users whose vector was skipped

    async def run(self, stopping: asyncio.Event) -> None:
        """Apply batches until told to stop; a failed batch is tried again, never skipped.

        Raises SetupError, of which TooManyDeadLettersError is one, when trying again does not help;
        the batch is not done then, and is read again at next start.
        """
        batch: list[Record] = []
        while not stopping.is_set():
            try:
                batch = batch or await self._next(timeout_s=0.0 if self._owed else 0.5)
                if batch:
                    began = time.monotonic()
                    await self.apply(batch)
                    small, batch = len(batch) < MAX_FRESH_BATCH, []
                    if small:
                        await asyncio.sleep(max(0.0, began + GATHER_S - time.monotonic()))
                elif self._owed:
                    await self._pay()
                await self._tell_lag()
            except SetupError:
                with contextlib.suppress(HemlineError):  # a log that refuses us does so here too
                    await self._leave()
                raise
            except HemlineError as error:
                logger.warning("batch of %d records put off: %s", len(batch), error)
                await asyncio.sleep(RETRY_S)
        await self._leave()

    async def step(self, timeout_s: float) -> int:
        """Apply one batch, if one comes in time; how many records it had. Raises as `apply`."""
        batch = await self._next(timeout_s)
        if batch:
            await self.apply(batch)
        return len(batch)

    async def apply(self, batch: list[Record]) -> None:
        """Apply one polled batch durably, then remember that it is.

        Raises UnavailableError when store or log cannot be written, TooManyDeadLettersError when
        too little of it can be applied; nothing is lost by then.
        """
        waiting: Changes = await self._decode(batch)
        lineage = self._reading.lineage
        # Behind by this much, vectors would soon be stale. They follow when there is time; until
        # then the gateway computes what it needs.
        catching_up = len(batch) > MAX_FRESH_BATCH
        try:
            while waiting:
                waiting = await self._store(waiting, lineage, catching_up)
        except OvertakenError as error:
            logger.warning("%s; this batch will be read again", error)
            await self._reading.overtaken(error.lineage_id)
            return
        await self._reading.applied(batch)

    async def _leave(self) -> None:
        await self._reading.tell_group()
        await self._consumer.close()

    async def _next(self, timeout_s: float) -> list[Record]:
        batch = await self._reading.poll(MAX_BATCH, timeout_s)
        self._dead_letters.read(len(batch))
        return batch

    async def _tell_lag(self) -> None:
        now = time.monotonic()
        if now > self._lag_known + LAG_EVERY_S:
            metrics.EVENT_LAG.set(await self._reading.lag())
            self._lag_known = now

    async def _decode(self, batch: list[Record]) -> Changes:
        """Changes by user; records that cannot be read go to the dead letters with the reason."""
        by_user: dict[str, list[Change]] = defaultdict(list)
        for record in batch:
            try:
                by_user[record.key].append(decode_record(record, self._clip_dims))
            except InvalidInputError as error:
                await self._bury(record.key, record.position, record.value, str(error))
        return by_user

    async def _bury(self, key: str, position: Position, value: bytes, reason: str) -> None:
        """Keep a record that cannot be applied, with the reason, where an operator finds it."""
        logger.warning("record %s is a dead letter: %s", position, reason)
        letter = event_pb2.DeadLetter(
            topic=EVENTS_TOPIC,
            partition=position.partition,
            offset=position.offset,
            value=value,
            reason=reason,
        )
        await self._log.publish(DEAD_LETTERS_TOPIC, key, letter.SerializeToString())
        metrics.EVENTS_APPLIED.labels("dead_letter").inc()
        self._dead_letters.buried(position, reason)

    async def _read(self, changes: Changes) -> dict[str, UserState]:
        """The shoppers' states; records of those that are unreadable become dead letters."""
        try:
            return await self._users.get_many(list(changes))
        except UnreadableStateError:
            states: dict[str, UserState] = {}
            for user_id, records in changes.items():
                try:
                    states |= await self._users.get_many([user_id])
                except UnreadableStateError as error:
                    for change in records:
                        await self._bury(user_id, change.position, change.value, str(error))
            return states

    async def _store(self, changes: Changes, lineage: Lineage, catching_up: bool) -> Changes:
        """Store the changed states; returns what another writer was faster with."""
        states = await self._read(changes)
        changed: list[UserState] = []
        new: dict[str, int] = {}
        for user_id, state in states.items():
            after, new[user_id] = apply_changes(state, changes[user_id], lineage)
            if after is not state:
                changed.append(after)
        records = sum(len(changes[user_id]) for user_id in states)
        metrics.EVENTS_APPLIED.labels("duplicate").inc(records - sum(new.values()))
        if not changed:
            return {}
        if self._encoders is None or catching_up:
            metrics.VECTORS_SKIPPED.labels("catching_up").inc(len(changed))
            if self._encoders is not None and len(self._owed) < MAX_OWED:
                self._owed.update(state.user_id for state in changed)
        else:
            changed = await self._with_vectors(changed, self._encoders)
        stored = await self._users.compare_and_set(changed)
        users = [state.user_id for state in changed]
        conflicts = {u: changes[u] for u, fitted in zip(users, stored, strict=True) if not fitted}
        done = [user for user in users if user not in conflicts]
        metrics.EVENTS_APPLIED.labels("applied").inc(sum(new[user] for user in done))
        metrics.UPDATE_CONFLICTS.inc(len(conflicts))
        if not catching_up:  # how long ago a replayed event happened says nothing
            for user in done:
                _observe(changes[user])
        return conflicts

    async def _pay(self) -> None:
        """Give vectors to some shoppers who got none while we were catching up.

        Without one, Triton is asked at each of their Recommends. Whoever cannot be helped now stays
        without; so does who got a new state meanwhile, for it came with a vector.
        """
        users = list(islice(self._owed, PAID_AT_ONCE))
        self._owed.difference_update(users)
        with contextlib.suppress(UnreadableStateError):
            states = await self._users.get_many(users)
            lacking = [state for state in states.values() if state.vector is None]
            if lacking and self._encoders is not None:
                paid = await self._with_vectors(lacking, self._encoders)
                await self._users.compare_and_set([state for state in paid if state.vector])

    async def _with_vectors(self, states: list[UserState], encoders: Encoders) -> list[UserState]:
        """States with the user tower's vector; without it where Triton cannot answer in time.

        A state without a vector is still served: the gateway asks Triton itself.
        """
        view = self._items.view
        profiles = [read_shopper(state, view).profile for state in states]
        known = [place for place, profile in enumerate(profiles) if profile is not None]
        vectors: dict[int, UserVector] = {}
        if known:
            batch = np.stack([profiles[place] for place in known])  # type: ignore[misc]
            try:
                answer = await encoders.user_vectors(batch, view.version, VECTOR_TIMEOUT_S)
                vectors = {
                    place: UserVector(view.id, vector)
                    for place, vector in zip(known, answer, strict=True)
                }
            except HemlineError as error:
                logger.warning("%d states stored without a user vector: %s", len(known), error)
                metrics.VECTORS_SKIPPED.labels(type(error).__name__).inc(len(known))
        return [replace(state, vector=vectors.get(i)) for i, state in enumerate(states)]


def _observe(changes: list[Change]) -> None:
    """How long the changes took to be visible, unless the clocks cannot tell."""
    now_ms = time.time() * 1000
    for change in changes:
        if change.accepted_ms > now_ms + 1:  # the gateway's clock counts whole milliseconds
            metrics.EVENTS_FROM_THE_FUTURE.inc()
        else:
            metrics.EVENT_VISIBLE_SECONDS.observe(max(0.0, (now_ms - change.accepted_ms) / 1000))
