"""Build every shopper's state anew from the event log, on somebody's word.

A new lineage that keeps nothing is begun in the store (hemline.lineage): every older state counts
as empty as soon as an event is applied to it, so shoppers are served from what was known until
their own events come by. Whoever applies the log then starts at its first record. Erasures stay:
events from before one are not applied again. A shopper without a single event in the log keeps the
state there is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from hemline.errors import HemlineError, UnavailableError
from hemline.event_log import EVENTS_TOPIC, EventLog
from hemline.lineage import Lineage, new_lineage_id
from hemline.user_state import UserStates

LOOK_EVERY_S = 0.2
STALLED_S = 30.0


class ReplayError(HemlineError):
    """A replay that would lose something, or has nothing to work on; the message says what."""


@dataclass(frozen=True)
class Replay:
    """lineage: the one that was begun. goal: by partition, the records there were by then."""

    lineage: Lineage
    goal: dict[int, range]

    @property
    def records(self) -> int:
        return sum(map(len, self.goal.values()))


async def begin_replay(log: EventLog, users: UserStates, forget_older: bool = False) -> Replay:
    """Begin the lineage; from now on everything is applied anew.

    forget_older: go on although the log has not all that the states were built from.
    Raises ReplayError for an empty log or, unless forget_older, one that is not complete;
    UnavailableError when log or store cannot be reached or somebody else began a lineage.
    """
    progress, goal = await users.progress(), await log.extent(EVENTS_TOPIC)
    identity = await log.identity(EVENTS_TOPIC)
    if not any(map(len, goal.values())):
        raise ReplayError("the event log is empty; there is nothing to build states from")
    old = progress.lineage if progress else None
    gone = sum(part.start for part in goal.values() if part.start > 0)
    reason = ""
    if old and old.log != identity:
        reason = "the states were built from another log than this one"
    elif old and old.kept:
        reason = "some of the states were built from an earlier log, which is gone"
    elif gone > 0 and old:
        reason = f"the log no longer has its first {gone} records"
    if reason and not forget_older:
        raise ReplayError(
            f"{reason}: shoppers would lose what only their states remember. "
            "Say --forget-older if that is what you want"
        )
    lineage = Lineage(new_lineage_id(old.id if old else 0), identity)
    if not await users.begin(lineage, instead_of=old):
        raise UnavailableError("somebody else has begun to rebuild the states just now; try again")
    return Replay(lineage, goal)


async def follow_replay(
    replay: Replay,
    users: UserStates,
    told: Callable[[int], object],
    stalled_s: float = STALLED_S,
) -> None:
    """Wait until every record of the replay is applied; `told` hears how many are, as it goes.

    Raises UnavailableError when nothing was applied for stalled_s, or the store stays away as long;
    ReplayError when another lineage was begun.
    """
    done, moved, away = -1, time.monotonic(), ""
    while done < replay.records:
        try:
            progress = await users.progress()
            if progress is None or progress.lineage.id != replay.lineage.id:
                raise ReplayError(
                    "the store was emptied, or another rebuild was begun; this one is over"
                )
            reached = {p: progress.positions.get(p, 0) for p in replay.goal}
            now = sum(
                min(max(reached[p] - part.start, 0), len(part)) for p, part in replay.goal.items()
            )
            away = ""
        except UnavailableError as error:
            now, away = done, f" ({error})"
        if now > done:
            done, moved = now, time.monotonic()
            told(done)
        elif time.monotonic() > moved + stalled_s:
            raise UnavailableError(
                f"nothing was applied for {stalled_s:g} s, with {max(done, 0)} of {replay.records} "
                f"records done{away}: look at the updater; it goes on by itself where it stands"
            )
        if done < replay.records:
            await asyncio.sleep(LOOK_EVERY_S)
