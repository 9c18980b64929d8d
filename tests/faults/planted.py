"""Bugs on purpose: what a hasty hand might write. The checker has to find each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dying import Death, DyingLog, DyingStates

from hemline.event_log import Position, Record
from hemline.updater.update import Updater
from hemline.user_state import UserState

WRITES_LATER_S = 0.05


class CommitsFirst(Updater):
    """Auto-commit: the position is stored before the states are; what dies in between is lost."""

    async def apply(self, batch: list[Record]) -> None:
        await self._reading.applied(batch)
        await super().apply(batch)


class ForgetfulStates(DyingStates):
    """A store that keeps neither ids nor positions: what is delivered twice is applied twice."""

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        states = await super().get_many(user_ids)
        return {
            user_id: replace(state, applied=None, recent_event_ids=())
            for user_id, state in states.items()
        }


class AcknowledgesFirstLog(DyingLog):
    """A log that says yes at once and writes a little later, as an unsynced buffer does."""

    def __init__(self, path: Path, death: Death) -> None:
        super().__init__(path, death)
        self._writing: set[asyncio.Task[Position]] = set()

    async def publish(self, topic: str, key: str, value: bytes) -> Position:
        async def later() -> Position:
            await asyncio.sleep(WRITES_LATER_S)
            return await super(AcknowledgesFirstLog, self).publish(topic, key, value)

        task = asyncio.create_task(later())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return Position(0, 0)
