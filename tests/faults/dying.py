"""Stores that kill their own process at a chosen call, just before or just after it took effect.

A kill from outside lands wherever the process happens to be, mostly waiting. These land in the few
microseconds that matter: a record written but not acknowledged, states stored but not their
position in the log.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from hemline.event_log import EVENTS_TOPIC, Position
from hemline.lineage import Lineage
from hemline.sqlite_event_log import SqliteEventLog
from hemline.sqlite_user_state import SqliteUserStates
from hemline.user_state import UserState

T = TypeVar("T")

Call = Literal["publish", "compare_and_set", "advance"]


@dataclass
class Death:
    """At the `count`-th call of that name from now on, before or after it is done."""

    call: Call
    count: int
    after: bool

    async def around(self, call: Call, work: Awaitable[T]) -> T:
        self.count -= call == self.call
        due = call == self.call and self.count == 0
        if due and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await work
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class DyingLog(SqliteEventLog):
    def __init__(self, path: Path, death: Death) -> None:
        super().__init__(path)
        self._death = death

    async def publish(self, topic: str, key: str, value: bytes) -> Position:
        publishing = super().publish(topic, key, value)
        if topic != EVENTS_TOPIC:
            return await publishing
        return await self._death.around("publish", publishing)


class DyingStates(SqliteUserStates):
    def __init__(self, path: Path, death: Death) -> None:
        super().__init__(path)
        self._death = death

    async def compare_and_set(self, states: Sequence[UserState]) -> list[bool]:
        return await self._death.around("compare_and_set", super().compare_and_set(states))

    async def advance(self, lineage: Lineage, steps: Mapping[int, range]) -> bool:
        return await self._death.around("advance", super().advance(lineage, steps))
