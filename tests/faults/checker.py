"""What the clients were told against what is stored, click by click.

Three accounts of one run are compared: the clients' ledger, the event log's records, and the
stored states. What a state must be is worked out here from the other two, in the simplest way there
is and with none of the updater's code:

- every acknowledged click is in the log, as it was sent; nothing is in the log that nobody sent;
- the state holds each click of the log exactly once, however often it is in the log: the newest
  MAX_HISTORY by time of occurrence, and the ids of the last MAX_RECENT_EVENTS in the log's order.

Every difference is a `Finding`, named for what a shopper would have to complain about.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ledger import Click, Ledger

from hemline.event_log import Record
from hemline.user_state import (
    MAX_HISTORY,
    MAX_RECENT_EVENTS,
    Interaction,
    UserState,
    event_hash,
)
from hemline.v1 import event_pb2
from hemline.wire import EVENT_KIND_NAMES

LOST_BY_LOG = "acknowledged, but not in the log"
ALTERED = "in the log, but not as it was sent"
NEVER_SENT = "in the log, but never sent"
LOST_BY_UPDATER = "in the log, but not applied"
APPLIED_TWICE = "applied more than once"
INVENTED = "in the state, but not in the log"
DISORDERED = "ids of recent events are in another order than the log's"
STUCK = "the log was not applied in time"
SHOWN = 5  # clicks that a finding names


class Finding(NamedTuple):
    """what: one of the names above. clicks: how many. detail: whose, and the first few."""

    what: str
    clicks: int
    detail: str

    def __str__(self) -> str:
        return f"{self.clicks} x {self.what}: {self.detail}"


def check(
    ledger: Ledger, records: Iterable[Record], states: Mapping[str, UserState]
) -> list[Finding]:
    """Everything wrong with the end of a run; empty when all is well.

    records: the whole log of events, of each partition in order. states: one for every shopper of
    the ledger, those nothing is stored of may be missing.
    """
    logged = _logged(records)
    findings = _check_log(ledger, logged)
    for user_id in sorted({click.user_id for click in ledger.sent.values()} | logged.keys()):
        state = states.get(user_id) or UserState(user_id)
        findings += _check_state(state, list(logged.get(user_id, {}).values()))
    return findings


def repeats(records: Iterable[Record]) -> int:
    """How many records of a log repeat an event id."""
    ids = [click.event_id for click in map(_click, records)]
    return len(ids) - len(set(ids))


def _logged(records: Iterable[Record]) -> dict[str, dict[str, Click]]:
    """Shopper -> event id -> the click, in the order in which the log first had it."""
    logged: dict[str, dict[str, Click]] = defaultdict(dict)
    for record in records:
        click = _click(record)
        logged[record.key].setdefault(click.event_id, click)
    return logged


def _click(record: Record) -> Click:
    event = event_pb2.EventRecord.FromString(record.value).event.event
    kind = EVENT_KIND_NAMES.get(event.kind, "")
    return Click(event.event_id, event.user_id, event.item_id, kind, event.occurred_ms)


def _check_log(ledger: Ledger, logged: Mapping[str, Mapping[str, Click]]) -> list[Finding]:
    found = {click.event_id: click for clicks in logged.values() for click in clicks.values()}
    return _findings(
        {
            LOST_BY_LOG: [e for e in ledger.acknowledged if e not in found],
            NEVER_SENT: [e for e in found if e not in ledger.sent],
            ALTERED: [e for e in found if e in ledger.sent and found[e] != ledger.sent[e]],
        },
        "the log",
    )


def _check_state(state: UserState, clicks: list[Click]) -> list[Finding]:
    """One shopper's state against the clicks the log has of her, each once, in the log's order."""
    newest = sorted(clicks, key=lambda click: click.occurred_ms)[-MAX_HISTORY:]
    history = [Interaction(c.item_id, c.kind, c.occurred_ms) for c in newest]
    ids = {event_hash(c.event_id): c.event_id for c in clicks}
    recent = [event_hash(c.event_id) for c in clicks][-MAX_RECENT_EVENTS:]

    stored, stored_ids = Counter(state.history), Counter(state.recent_event_ids)
    twice = [f"{each}" for each, count in stored.items() if count > 1]
    twice_ids = [ids.get(each, f"{each:x}") for each, count in stored_ids.items() if count > 1]
    lost = [f"{each}" for each in history if each not in stored]
    lost_ids = [ids[each] for each in recent if each not in stored_ids]
    expected = set(history)
    invented = [f"{each}" for each in stored if each not in expected]
    invented_ids = [f"{each:x}" for each in stored_ids if each not in ids]
    found = {
        APPLIED_TWICE: max(twice, twice_ids, key=len),
        LOST_BY_UPDATER: max(lost, lost_ids, key=len),
        INVENTED: max(invented, invented_ids, key=len),
    }
    if not any(found.values()) and list(state.history) != history:
        found[DISORDERED] = ["history"]
    if not any(found.values()) and list(state.recent_event_ids) != recent:
        found[DISORDERED] = ["recent_event_ids"]
    return _findings(found, state.user_id)


def _findings(found: Mapping[str, list[str]], whose: str) -> list[Finding]:
    return [
        Finding(what, len(clicks), f"{whose}: {', '.join(clicks[:SHOWN])}")
        for what, clicks in found.items()
        if clicks
    ]
