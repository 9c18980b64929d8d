"""The load test's parts without a cluster: when calls come, who makes them, and the verdict."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "loadtest"))

from profiles import SHAPES, SPIKE, Profile, arrivals
from slo import CallFigures, Run, Slo, broken_promises
from tally import Tally
from traffic import KINDS, MIX, Act, Shown, Traffic

from hemline.v1 import common_pb2


def generator() -> np.random.Generator:
    return np.random.default_rng(11)


# -- profiles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_arrivals_follow_the_shape_of_their_profile(name: str) -> None:
    profile = Profile(name, rate_per_s=100.0, seconds=200.0)
    times = np.array(list(arrivals(profile, generator())))
    assert np.all(np.diff(times) >= 0) and times[0] >= 0 and times[-1] < 200
    found, _ = np.histogram(times, bins=20, range=(0, 200))
    moments = np.linspace(0, 200, 2000, endpoint=False)
    rates = np.array([profile.rate_at(t) for t in moments])
    assert rates.max() <= profile.highest_rate
    expected = rates.reshape(20, 100).mean(axis=1) * 10
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected))
    assert profile.expected_arrivals == pytest.approx(rates.mean() * 200, rel=0.01)


def test_arrivals_at_a_steady_rate_are_memoryless() -> None:
    gaps = np.diff(list(arrivals(Profile("steady", 200.0, 100.0), generator())))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_a_spike_is_four_times_the_rate_in_the_middle_fifth() -> None:
    spike = Profile("spike", 10.0, 100.0)
    assert [spike.rate_at(t) for t in (0, 39.9, 40, 59.9, 60)] == [10, 10, 40, 40, 10]
    assert spike.rate_at(100) == spike.rate_at(-1) == 0
    assert spike.highest_rate == 10 * SPIKE


def test_a_ramp_begins_at_nothing_and_ends_at_the_rate() -> None:
    ramp = Profile("ramp", 80.0, 100.0)
    assert (ramp.rate_at(0), ramp.rate_at(25), ramp.rate_at(50)) == (0, 20, 40)


def test_several_senders_make_the_rate_together() -> None:
    profile = Profile("steady", 90.0, 100.0)
    rng = generator()
    parts = [list(arrivals(profile.shared_among(3), rng)) for _ in range(3)]
    assert abs(sum(map(len, parts)) - 9000) < 5 * np.sqrt(9000)
    assert all(abs(len(part) - 3000) < 5 * np.sqrt(3000) for part in parts)


# -- traffic --------------------------------------------------------------------------------------

ITEMS = tuple(
    common_pb2.Item(item_id=f"item-{n}", title="Fernhill Cotton Dress", article_type="Dress")
    for n in range(20)
)


def traffic(shoppers: int = 100, newcomers: float = 0.1) -> Traffic:
    made = Traffic(shoppers, newcomers, generator())
    made.saw(Shown("ann", "request-1", ITEMS))
    return made


def test_calls_come_in_their_mix() -> None:
    made = traffic()
    calls = Counter(made.next().call for _ in range(5000))
    for call, share in MIX.items():
        assert calls[call] / 5000 == pytest.approx(share, abs=0.03)


def test_shoppers_come_back_by_zipfs_law_and_newcomers_never() -> None:
    made = Traffic(shoppers=100, newcomers=0.2, rng=generator())
    visitors = Counter(made.next().user_id for _ in range(10_000))
    new = [user for user in visitors if user.startswith("load-new-")]
    assert len(new) / 10_000 == pytest.approx(0.2, abs=0.02)
    assert {visitors[user] for user in new} == {1}
    assert visitors["load-000000"] / visitors["load-000001"] == pytest.approx(2, rel=0.2)
    assert len(visitors) - len(new) <= 100


def test_before_any_answer_everybody_just_visits() -> None:
    made = Traffic(shoppers=10, newcomers=0.0, rng=generator())
    made.saw(Shown("ann", "request-1", ()))  # an empty answer shows nothing to act upon
    assert {made.next().call for _ in range(100)} == {"Recommend"}


def test_what_is_done_with_an_item_follows_from_an_answer_that_showed_it() -> None:
    made = traffic()
    acts = [act for act in (made.next() for _ in range(4000)) if act.call != "Recommend"]
    assert {act.user_id for act in acts} == {"ann"}
    assert {act.request_id for act in acts} == {"request-1"}
    assert all(act.item == ITEMS[act.position - 1] for act in acts)
    positions = Counter(act.position for act in acts)
    assert positions[1] > positions[2] > positions[10] > 0  # the first items most
    assert {act.kind for act in acts} == set(KINDS)


def test_old_answers_are_forgotten() -> None:
    made = traffic()
    for number in range(1000):
        made.saw(Shown("bob", f"request-{number}", ITEMS))
    assert "ann" not in {made.next().user_id for _ in range(3000)}


def test_a_search_is_for_the_kind_of_item_that_was_seen() -> None:
    red = common_pb2.Item(colour="Red", article_type="Dress", title="Fernhill Cotton Dress")
    assert Act("Search", "ann", red).search_text == "red dress"
    nameless = common_pb2.Item(title="Fernhill Cotton Dress")
    assert Act("Search", "ann", nameless).search_text == "cotton dress"


# -- tally ----------------------------------------------------------------------------------------


def test_a_master_counts_what_its_workers_sent_it_once() -> None:
    master, worker = Tally(), Tally()
    for number in range(99):
        worker.sent(0.0005)
        worker.answered(["retrieval"] if number < 3 else [])
    master.add(json.loads(json.dumps(worker.take())))  # over the wire, keys become text
    worker.sent(0.0321)
    worker.answered(["retrieval", "reranker"])
    master.add(worker.take())
    master.add(worker.take())  # nothing new
    assert (master.answers, master.degraded) == (100, 4)
    assert master.degraded_stages == {"retrieval": 4, "reranker": 1}
    assert master.lag_p99_ms() == 1
    master.sent(0.0331)
    assert master.lag_p99_ms() == 33
    assert Tally().lag_p99_ms() == 0


# -- verdict --------------------------------------------------------------------------------------

GOOD = Run(
    calls={"Recommend": CallFigures(1000, 0, 5, 9, 40, 80, 90)},
    expected=1000,
    answers=1000,
    degraded=0,
    send_lag_p99_ms=3,
)


def slow(p99_ms: float, failed: int = 0) -> dict[str, CallFigures]:
    return {"Recommend": CallFigures(1000, failed, 5, 9, p99_ms, 200, 300)}


def test_a_run_that_kept_every_promise_passes() -> None:
    assert broken_promises(GOOD, Slo()) == []
    assert broken_promises(replace(GOOD, calls=slow(100)), Slo(p99_ms=100)) == []  # just


def test_few_arrivals_are_no_late_client_but_far_too_few_are() -> None:
    # 90% of 1,250 are 1,125, and four standard deviations of a Poisson count are 141.
    assert broken_promises(replace(GOOD, expected=1250), Slo()) == []
    assert broken_promises(replace(GOOD, expected=1270), Slo())


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (replace(GOOD, calls=slow(101)), "p99 of Recommend is 101 ms, at most 100 ms"),
        (replace(GOOD, calls=slow(40, failed=2)), "0.20% of all calls failed, at most 0.10%"),
        (replace(GOOD, degraded=11), "1.10% of the answers were degraded, at most 1.00%"),
        (replace(GOOD, send_lag_p99_ms=51), "the client sent up to 51 ms late"),
        (replace(GOOD, expected=2000), "1,000 of about 2,000 planned calls were sent"),
        (replace(GOOD, calls={}), "no Recommend was sent"),
    ],
)
def test_a_broken_promise_is_named_with_its_figure(run: Run, reason: str) -> None:
    broken = broken_promises(run, Slo())
    assert len(broken) == 1 and broken[0].startswith(reason)


def test_every_broken_promise_is_named() -> None:
    assert len(broken_promises(replace(GOOD, calls=slow(500, 50), degraded=500), Slo())) == 3
