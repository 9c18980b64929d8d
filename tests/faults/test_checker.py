"""The checker finds each thing that can be wrong, and nothing where all is well."""

from __future__ import annotations

from dataclasses import replace

import checker
import pytest
from checker import check
from ledger import Click, Ledger

from hemline.event_log import EVENTS_TOPIC, Record
from hemline.user_state import MAX_HISTORY, MAX_RECENT_EVENTS, Interaction, UserState, event_hash
from hemline.v1 import event_pb2
from hemline.wire import EVENT_KINDS


def clicks(count: int) -> list[Click]:
    """Ada's clicks in the order of the log; the later half occurred before the earlier."""
    times = [*range(count // 2, count), *range(count // 2)]
    return [Click(f"c{n}", "ada", f"dress-{n:02d}", "click", at) for n, at in enumerate(times)]


def told(sent: list[Click], unacknowledged: int = 0) -> Ledger:
    ledger = Ledger()
    for click in sent:
        ledger.trying(click)
    ledger.acknowledged.update(c.event_id for c in sent[: len(sent) - unacknowledged])
    return ledger


def log_of(sent: list[Click]) -> list[Record]:
    records = []
    for offset, click in enumerate(sent):
        message = event_pb2.EventRecord()
        message.event.event.event_id = click.event_id
        message.event.event.user_id = click.user_id
        message.event.event.item_id = click.item_id
        message.event.event.kind = EVENT_KINDS[click.kind]
        message.event.event.occurred_ms = click.occurred_ms
        value = message.SerializeToString()
        records.append(Record(EVENTS_TOPIC, 0, offset, click.user_id, value, 0))
    return records


def state_of(applied: list[Click]) -> UserState:
    history = sorted((Interaction(c.item_id, c.kind, c.occurred_ms) for c in applied), key=_time)
    recent = [event_hash(click.event_id) for click in applied]
    return UserState(
        "ada",
        history=tuple(history[-MAX_HISTORY:]),
        recent_event_ids=tuple(recent[-MAX_RECENT_EVENTS:]),
    )


def _time(interaction: Interaction) -> int:
    return interaction.occurred_ms


def names(ledger: Ledger, records: list[Record], state: UserState) -> list[str]:
    return [finding.what for finding in check(ledger, records, {"ada": state})]


@pytest.mark.parametrize("count", [0, 1, 10, MAX_HISTORY + 7, MAX_RECENT_EVENTS + 9])
def test_nothing_is_found_when_every_click_is_there_once(count: int) -> None:
    sent = clicks(count)
    assert names(told(sent), log_of(sent), state_of(sent)) == []


def test_clicks_that_came_twice_and_count_once_are_well() -> None:
    sent = clicks(10)
    records = log_of(sent + sent[3:6])
    assert names(told(sent), records, state_of(sent)) == []
    assert checker.repeats(records) == 3


def test_an_unacknowledged_click_may_be_there_or_not() -> None:
    sent = clicks(10)
    ledger = told(sent, unacknowledged=1)
    assert names(ledger, log_of(sent), state_of(sent)) == []
    assert names(ledger, log_of(sent[:9]), state_of(sent[:9])) == []
    assert ledger.unknown == 1


def test_an_acknowledged_click_that_the_log_lacks_is_found() -> None:
    sent = clicks(10)
    assert names(told(sent), log_of(sent[:9]), state_of(sent[:9])) == [checker.LOST_BY_LOG]


def test_an_unacknowledged_click_must_be_applied_once_the_log_has_it() -> None:
    sent = clicks(10)
    ledger = told(sent, unacknowledged=1)
    assert names(ledger, log_of(sent), state_of(sent[:9])) == [checker.LOST_BY_UPDATER]


def test_a_shopper_without_a_state_has_lost_everything() -> None:
    sent = clicks(3)
    (finding,) = check(told(sent), log_of(sent), {})
    assert finding.what == checker.LOST_BY_UPDATER
    assert finding.clicks == 3
    assert "ada" in str(finding)


def test_a_click_in_the_state_twice_is_found_by_its_history_or_by_its_id() -> None:
    sent = clicks(10)
    well = state_of(sent)
    doubled = sorted([*well.history, well.history[4]], key=_time)
    history = replace(well, history=tuple(doubled))
    ids = replace(well, recent_event_ids=(*well.recent_event_ids, well.recent_event_ids[2]))
    for state in (history, ids):
        assert names(told(sent), log_of(sent), state) == [checker.APPLIED_TWICE]


def test_a_click_that_nobody_sent_is_found_in_the_log_and_in_the_state() -> None:
    sent = clicks(10)
    assert names(told(sent[:9]), log_of(sent), state_of(sent)) == [checker.NEVER_SENT]
    assert names(told(sent[:9]), log_of(sent[:9]), state_of(sent)) == [checker.INVENTED]


def test_a_click_that_was_altered_on_its_way_is_found() -> None:
    sent = clicks(10)
    altered = [*sent[:9], replace(sent[9], item_id="boots-00")]
    assert names(told(sent), log_of(altered), state_of(altered)) == [checker.ALTERED]


def test_recent_ids_in_another_order_than_the_log_are_found() -> None:
    sent = clicks(10)
    swapped = replace(state_of(sent), recent_event_ids=state_of(sent).recent_event_ids[::-1])
    assert names(told(sent), log_of(sent), swapped) == [checker.DISORDERED]


def test_the_oldest_and_not_the_first_to_come_leave_a_full_history() -> None:
    sent = clicks(MAX_HISTORY + 10)
    first_come = [Interaction(c.item_id, c.kind, c.occurred_ms) for c in sent[:MAX_HISTORY]]
    wrong = replace(state_of(sent), history=tuple(sorted(first_come, key=_time)))
    assert names(told(sent), log_of(sent), wrong) == [checker.LOST_BY_UPDATER, checker.INVENTED]
