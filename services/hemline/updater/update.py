"""One click, after its acknowledgement: event log -> shopper's state and vector -> store.

A batch of records is applied to the states of its shoppers, the new user vectors are computed in
one call to Triton, all states are stored in one transaction, and only then is the log told. A crash
anywhere repeats a batch, and `apply_record` makes repeats harmless.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hemline import metrics
from hemline.contracts import Encoders
from hemline.errors import HemlineError, InvalidInputError
from hemline.event_log import (
    DEAD_LETTERS_TOPIC,
    EVENTS_TOPIC,
    Consumer,
    EventLog,
    Position,
    Record,
)
from hemline.releases import Release
from hemline.shopper import read_shopper
from hemline.updater.apply import apply_record, decode_record
from hemline.user_state import UnreadableStateError, UserState, UserStates, UserVector
from hemline.v1 import event_pb2

logger = logging.getLogger(__name__)

GROUP = "updater"
MAX_BATCH = 500
VECTOR_TIMEOUT_S = 2.0
RETRY_S = 0.25

Changes = Mapping[str, list[tuple[Position, event_pb2.EventRecord]]]


class Updater:
    """Applies the event log to the store, one batch at a time."""

    def __init__(
        self,
        log: EventLog,
        users: UserStates,
        encoders: Encoders,
        release: Release,
        consumer: Consumer | None = None,
    ) -> None:
        self._log = log
        self._consumer = consumer or log.consumer(EVENTS_TOPIC, GROUP)
        self._users = users
        self._encoders = encoders
        self._release = release
        self._clip_dims = {release.encoder_id: release.item_content.shape[1]}

    async def run(self, stopping: asyncio.Event) -> None:
        """Apply batches until told to stop; a failed batch is tried again, never skipped."""
        batch: list[Record] = []
        while not stopping.is_set():
            try:
                batch = batch or await self._consumer.poll(MAX_BATCH, timeout_s=0.5)
                if batch:
                    await self.apply(batch)
                    batch = []
                metrics.EVENT_LAG.set(await self._consumer.lag())
            except HemlineError as error:
                logger.warning("batch of %d records put off: %s", len(batch), error)
                await asyncio.sleep(RETRY_S)
        await self._consumer.close()

    async def apply(self, batch: list[Record]) -> None:
        """Apply one batch durably, then commit it.

        Raises UnavailableError when store or log cannot be written; nothing is lost by then.
        """
        waiting: Changes = await self._decode(batch)
        while waiting:
            waiting = await self._store(waiting)
        await self._consumer.commit(batch)

    async def _decode(self, batch: list[Record]) -> Changes:
        """Records by user; those that cannot be read go to the dead letters with the reason."""
        by_user: dict[str, list[tuple[Position, event_pb2.EventRecord]]] = defaultdict(list)
        for record in batch:
            try:
                by_user[record.key].append(
                    (record.position, decode_record(record, self._clip_dims))
                )
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
                    for position, message in records:
                        value = message.SerializeToString()
                        await self._bury(user_id, position, value, str(error))
            return states

    async def _store(self, changes: Changes) -> Changes:
        """Store the changed states; returns what another writer was faster with."""
        states = await self._read(changes)
        changed: list[UserState] = []
        for user_id, state in states.items():
            for position, message in changes[user_id]:
                after = apply_record(state, message, position)
                metrics.EVENTS_APPLIED.labels("duplicate" if after is None else "applied").inc()
                state = after or state
            if state is not states[user_id]:
                changed.append(state)
        if not changed:
            return {}
        stored = await self._users.compare_and_set(await self._with_vectors(changed))
        conflicts = {}
        for state, fitted in zip(changed, stored, strict=True):
            if fitted:
                self._observe(changes[state.user_id])
            else:
                metrics.UPDATE_CONFLICTS.inc()
                conflicts[state.user_id] = changes[state.user_id]
        return conflicts

    async def _with_vectors(self, states: list[UserState]) -> list[UserState]:
        """States with the user tower's vector; without it where Triton cannot answer in time.

        A state without a vector is still served: the gateway asks Triton itself.
        """
        profiles = [read_shopper(state, self._release).profile for state in states]
        known = [place for place, profile in enumerate(profiles) if profile is not None]
        vectors: dict[int, UserVector] = {}
        if known:
            batch = np.stack([profiles[place] for place in known])  # type: ignore[misc]
            try:
                answer = await self._encoders.user_vectors(
                    batch, self._release.version, VECTOR_TIMEOUT_S
                )
                vectors = {
                    place: UserVector(self._release.id, vector)
                    for place, vector in zip(known, answer, strict=True)
                }
            except HemlineError as error:
                logger.warning("%d states stored without a user vector: %s", len(known), error)
                metrics.VECTORS_SKIPPED.labels(type(error).__name__).inc(len(known))
        return [replace(state, vector=vectors.get(i)) for i, state in enumerate(states)]

    def _observe(self, records: list[tuple[Position, event_pb2.EventRecord]]) -> None:
        now_ms = time.time() * 1000
        for _, message in records:
            kind = message.WhichOneof("record")
            accepted_ms = getattr(message, kind or "event").accepted_ms
            metrics.EVENT_VISIBLE_SECONDS.observe(max(0.0, (now_ms - accepted_ms) / 1000))
