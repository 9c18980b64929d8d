"""Filters never lie while items change: what was carried from view to view is what is there."""

from __future__ import annotations

import random
import threading

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brute_force import matches
from hemline import live_items
from hemline.filters import AllOf, Filter, In, InStock, OfTenant, Range
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.live_view import LiveView
from hemline.releases import Release
from live_changes import new_state
from shapes import filters
from small_world import item_id

NAMES = [item_id("dress", number) for number in range(4)] + [f"new-{n}" for n in range(4)]
CONDITIONS = (
    None,
    InStock(),
    AllOf((InStock(), Range("price", max=10.0))),
    In("colour", ("red", "mauve")),
    OfTenant("acme"),
)


def drawn(rng: random.Random) -> Change:
    if rng.random() < 0.3:
        return Change(rng.choice(NAMES), None)
    return new_state(
        rng.choice(NAMES),
        rng.choice(["Red", "Mauve", None]),
        rng.choice([5.0, 25.0, None]),
        rng.random() < 0.7,
        seed=rng.randrange(1000),
    )


def assert_truth(view: LiveView, condition: Filter | None) -> None:
    """The filter lets through what it would, item by item, and nothing twice."""
    wanted = [
        row
        for row in np.flatnonzero(view.alive).tolist()
        if condition is None or matches(condition, view.item(row))
    ]
    found = view.matching(condition)
    slots = found.slots.tolist()
    rows = [int(view.changed.rows[slot]) for slot in slots]
    assert [int(view.slot_of[row]) for row in rows] == slots, "a slot of an item's earlier state"
    assert slots == sorted(slots)
    of_release = np.flatnonzero(found.base).tolist()
    assert found.base_count == len(of_release)
    assert all(view.slot_of[row] < 0 for row in of_release), "the release's state of what changed"
    assert sorted(of_release + rows) == wanted
    assert np.flatnonzero(view.mask(condition)).tolist() == wanted


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    condition=filters,
    seed=st.integers(0, 2**32 - 1),
    asked=st.lists(st.booleans(), min_size=1, max_size=12),
)
def test_answers_asked_now_and_then_are_true_at_each_moment(
    small_release: Release, condition: Filter, seed: int, asked: list[bool]
) -> None:
    items, rng = LiveItems(small_release), random.Random(seed)
    views = [items.view]
    for ask in asked:
        items.apply([drawn(rng) for _ in range(rng.randrange(1, 5))])
        views.append(items.view)
        if ask:
            assert_truth(items.view, condition)
    rng.shuffle(views)
    for view in views:  # those from before the newest answer, too
        assert_truth(view, condition)


def test_answers_stay_true_when_slots_are_written_anew(small_release: Release) -> None:
    items, rng, generations = LiveItems(small_release), random.Random(5), set()
    for _ in range(60):
        items.apply([Change("new-3", None)])
        for _ in range(live_items.MAX_DEAD_SLOTS // 16):
            items.apply([drawn(rng)])
        generations.add(id(items.view.changed.generation))
        for condition in CONDITIONS:
            assert_truth(items.view, condition)
    assert len(generations) > 1


def test_a_deleted_new_item_stays_in_the_view_that_still_has_it(small_release: Release) -> None:
    items = LiveItems(small_release)
    items.apply([new_state("new-0")])
    before = items.view
    items.apply([Change("new-0", None)])
    assert not items.view.matching(InStock()).slots.size
    assert before.matching(InStock()).slots.tolist() == [0]
    assert not items.view.matching(InStock()).slots.size


def test_a_mask_is_not_copied_while_nothing_leaves_the_release(small_release: Release) -> None:
    items = LiveItems(small_release)
    before = items.view.matching(InStock())
    items.apply([new_state("new-0"), new_state("new-1", stock=False)])
    after = items.view.matching(InStock())
    assert after.base is before.base and after.slots.tolist() == [0]
    items.apply([Change(item_id("dress", 2), None)])
    left = items.view.matching(InStock())
    assert left.base is not before.base and not left.base.flags.writeable
    assert before.base_count - left.base_count == int(before.base[items.view.left[0]])


def test_readers_of_any_view_read_the_truth_while_items_change(small_release: Release) -> None:
    items = LiveItems(small_release)
    views, over = [items.view], threading.Event()
    failures: list[BaseException] = []

    def read(number: int) -> None:
        rng = random.Random(number)
        try:
            while not over.is_set():
                assert_truth(rng.choice(views[-5:]), rng.choice(CONDITIONS))
        except BaseException as failure:
            failures.append(failure)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    rng = random.Random(7)
    try:
        for _ in range(50):
            items.apply([drawn(rng) for _ in range(3)])
            views.append(items.view)
            assert_truth(items.view, rng.choice(CONDITIONS))
    finally:
        over.set()
        for reader in readers:
            reader.join()
    if failures:
        raise failures[0]
