"""The simulated log: reproducible, marked as simulated, with cold users, a funnel, structure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hemline.catalogue import Catalogue, Item, items_table
from hemline.errors import InvalidInputError
from hemline.user_profile import profile_vector, profile_weights
from hemline.vectors import F32, normalise
from hemline_training.interactions import KINDS, Interactions
from hemline_training.simulator import SimulatorConfig, simulate
from hemline_training.splits import cases_at, split_by_time

CONFIG = SimulatorConfig(users=1_500, days=60, seed=1)


def small_shop() -> tuple[Catalogue, F32]:
    """300 items of 2 genders x 5 types, with some attributes unknown; vectors cluster by type."""
    rng = np.random.default_rng(0)
    items = [
        Item(
            item_id=f"i{n}",
            title=f"item {n}",
            brand=None if n % 7 == 0 else f"brand {n % 11}",
            gender=("Men", "Women", "Unisex")[n % 3] if n % 10 else None,
            article_type=None if n == 5 else f"type {n % 5}",
            colour=f"colour {n % 4}",
            price=None if n % 9 == 0 else 10.0 + n % 50,
        )
        for n in range(300)
    ]
    centres = rng.normal(size=(5, 24))
    vectors = centres[np.arange(300) % 5] + 0.7 * rng.normal(size=(300, 24))
    return Catalogue.from_table(items_table(items)), normalise(vectors)


@pytest.fixture(scope="module")
def shop():
    return small_shop()


@pytest.fixture(scope="module")
def log(shop):
    return simulate(*shop, CONFIG)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(shop, log):
    again, other = simulate(*shop, CONFIG), simulate(*shop, replace(CONFIG, seed=2))
    for name in ("users", "rows", "kinds", "occurred_ms", "sessions"):
        assert getattr(log, name).tobytes() == getattr(again, name).tobytes()
    assert log.rows.tobytes() != other.rows.tobytes()


def test_the_log_says_that_it_is_simulated(shop, log):
    assert log.about["simulated"] is True
    assert log.to_table(shop[0].item_ids).schema.metadata[b"hemline.simulated"] == b"true"


def test_some_users_have_no_event_and_few_have_many(log):
    events = np.diff(log.indptr)
    assert 0.05 < (events == 0).mean() < 0.25
    assert np.median(events) < events.mean() < events.max() / 5


def test_sessions_funnel_from_view_to_purchase(log):
    count = {kind: int((log.kinds == k).sum()) for k, kind in enumerate(KINDS)}
    assert count["view"] > count["click"] > count["bag"] > count["purchase"] > 0
    assert count["wish"] > 0 and count["dislike"] > 0
    pair = log.users.astype(np.int64) * log.n_items + log.rows
    viewed = set(pair[log.kinds == KINDS.index("view")].tolist())
    assert viewed >= set(pair.tolist())
    bagged = set(pair[log.kinds == KINDS.index("bag")].tolist())
    assert bagged >= set(pair[log.kinds == KINDS.index("purchase")].tolist())


def test_a_session_belongs_to_one_user_and_lasts_minutes(log):
    order = np.argsort(log.sessions, kind="stable")
    first = np.flatnonzero(np.diff(log.sessions[order], prepend=-1))
    for users in np.split(log.users[order], first[1:]):
        assert (users == users[0]).all()
    times = np.split(log.occurred_ms[order], first[1:])
    minutes = np.array([t.max() - t.min() for t in times]) / 60_000
    assert np.median(minutes) < 10 and (minutes > 0).any()


def test_events_lie_in_the_period_and_each_user_is_in_time_order(log):
    end = CONFIG.start_ms + CONFIG.days * 86_400_000
    assert log.occurred_ms.min() >= CONFIG.start_ms and log.occurred_ms.max() < end
    within = np.diff(log.users) == 0
    assert (np.diff(log.occurred_ms)[within] >= 0).all()


def test_popularity_is_skewed_and_new_items_arrive(log):
    count = np.sort(np.bincount(log.rows, minlength=log.n_items))[::-1]
    assert count[:30].sum() > 0.3 * count.sum()
    first = np.full(log.n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, log.rows, log.occurred_ms)
    known = first < np.iinfo(np.int64).max
    late = first[known] > CONFIG.start_ms + 20 * 86_400_000
    assert 0.05 < late.mean() < 0.5


def test_shoppers_keep_to_their_taste_and_to_hidden_looks(shop, log):
    """Both structures are there: content alone, and co-occurrence that content cannot see."""
    _, content = shop
    liked = log.select(log.grades >= 2)
    same_user = np.diff(liked.users) == 0
    a, b = liked.rows[:-1][same_user], liked.rows[1:][same_user]
    shuffled = np.random.default_rng(0).permutation(b)
    alike = (content[a] * content[b]).sum(axis=1).mean()
    assert alike > (content[a] * content[shuffled]).sum(axis=1).mean() + 0.1
    without = simulate(*shop, replace(CONFIG, w_look=0.0))
    assert _triangles(log) > 1.2 * _triangles(without)


def _triangles(log: Interactions) -> float:
    """How often the most shared neighbours of an item share each other, beyond their popularity."""
    seen = (log.histories().seen > 0).astype(np.float64)
    both = (seen.T @ seen).toarray()
    count = np.diag(both).copy()
    np.fill_diagonal(both, 0)
    expected = np.outer(count, count) / len(log.user_ids)
    lift = np.where(expected > 0.5, both / np.maximum(expected, 0.5), 0)
    return float((np.sort(lift, axis=1)[:, -10:] ** 2).mean())


def test_a_table_round_trips(shop, log):
    item_ids = shop[0].item_ids
    back = Interactions.from_table(log.to_table(item_ids), item_ids)
    assert back.about == {"simulated": True, "unknown_items": 0}
    assert len(back) == len(log)
    assert [back.user_ids[u] for u in back.users] == [log.user_ids[u] for u in log.users]
    for name in ("rows", "kinds", "occurred_ms"):
        assert np.array_equal(getattr(back, name), getattr(log, name))


def test_events_on_unknown_items_are_left_out_and_counted(shop, log):
    item_ids = shop[0].item_ids
    back = Interactions.from_table(log.to_table(item_ids), item_ids[:100])
    assert back.about["unknown_items"] == int((log.rows >= 100).sum()) > 0
    assert len(back) == int((log.rows < 100).sum())


def test_an_unknown_kind_and_a_missing_column_are_refused(shop, log):
    table = log.to_table(shop[0].item_ids)
    at = table.column_names.index("kind")
    with pytest.raises(InvalidInputError, match="'stare' is none of view"):
        odd = table.slice(0, 1).set_column(at, "kind", [["stare"]])
        Interactions.from_table(odd, shop[0].item_ids)
    with pytest.raises(InvalidInputError, match="kind"):
        Interactions.from_table(table.drop_columns(["kind"]), shop[0].item_ids)


def test_bulk_profiles_equal_those_of_serving(shop, log):
    content = shop[1]
    histories = log.histories(limit=20)
    profiles, known = histories.profiles(content)
    checked = 0
    for user in range(0, len(histories), 7):
        events = slice(histories.indptr[user], histories.indptr[user + 1])
        weights = profile_weights(
            [KINDS[k] for k in histories.kinds[events]], histories.occurred_ms[events].tolist()
        )
        assert histories.weights[events] == pytest.approx(weights, rel=1e-5)
        expected = profile_vector(content[histories.rows[events]], weights)
        assert known[user] == (expected is not None)
        if expected is not None:
            assert profiles[user] == pytest.approx(expected, abs=1e-5)
            checked += 1
    assert checked > 100 and not known.all()


def test_the_time_split_hides_the_future_and_asks_only_for_new_items(log):
    split = split_by_time(log)
    cases = cases_at(log, split.test_ms, split.end_ms, limit=50)
    assert cases.histories.occurred_ms.max() < split.test_ms
    assert 0.05 < (log.occurred_ms >= split.test_ms).mean() < 0.15
    assert not cases.targets.multiply(log.before(split.test_ms).histories(cases.users).seen).nnz
    assert (np.diff(cases.targets.indptr) > 0).all()
    assert (cases.segments == 0).sum() > 0  # shoppers nobody had seen before
    later = log.between(split.test_ms, split.end_ms)
    for case in range(0, len(cases), 10):
        mine = later.select((later.users == cases.users[case]) & (later.grades >= 2))
        assert set(cases.targets[case].indices) <= set(mine.rows.tolist())


def test_a_sample_of_cases_is_the_same_for_the_same_seed(log):
    split = split_by_time(log)
    first = cases_at(log, split.test_ms, split.end_ms, 50, most=20, seed=4)
    again = cases_at(log, split.test_ms, split.end_ms, 50, most=20, seed=4)
    assert len(first) == 20 and np.array_equal(first.users, again.users)
