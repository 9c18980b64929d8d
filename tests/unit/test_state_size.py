"""However much a shopper does, the record of the state stays small enough to read at every call."""

from __future__ import annotations

from hemline.event_log import Position
from hemline.lineage import Lineage
from hemline.updater.apply import Change, apply_changes
from hemline.user_state import (
    MAX_HISTORY,
    MAX_ITEM_ID_BYTES,
    MAX_RECENT_EVENTS,
    Interaction,
    UserState,
    encode_user_state,
    event_hash,
)

EVENTS = 100_000
BATCH = 5_000
MOST_BYTES = 128 << 10  # without vectors; the history's item ids, at their longest, are most of it


def change(number: int) -> Change:
    item = f"{number:0{MAX_ITEM_ID_BYTES}d}"
    hashed = event_hash(str(number))
    return Change(Position(0, number), hashed, 1, b"", Interaction(item, "click", number), None)


def test_a_hundred_thousand_events_leave_the_newest_in_a_bounded_record() -> None:
    state, lineage = UserState("crawler"), Lineage(1, "log")
    for start in range(0, EVENTS, BATCH):
        state, new = apply_changes(state, [change(n) for n in range(start, start + BATCH)], lineage)
        assert new == BATCH
    assert [done.occurred_ms for done in state.history] == list(range(EVENTS - MAX_HISTORY, EVENTS))
    assert len(state.recent_event_ids) == MAX_RECENT_EVENTS
    assert len(encode_user_state(state)) < MOST_BYTES
