"""After any upserts and deletes, every search equals brute force over the items that are there."""

from __future__ import annotations

import asyncio
import gc
import weakref

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brute_force import matches, true_best
from hemline import live_items
from hemline.catalogue import Item
from hemline.contracts import VectorQuery
from hemline.errors import InvalidInputError
from hemline.filters import AllOf, In, InStock
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.live_view import LiveView
from hemline.releases import Release
from hemline.retrieval.index import FlatRetrieval
from hemline.vectors import normalise
from live_changes import new_state
from shapes import filters
from small_world import CLIP_DIM, TOWER_DIM, item_id

Expected = dict[str, tuple[Item, np.ndarray, np.ndarray]]

ids = st.one_of(
    st.sampled_from([item_id("dress", number) for number in range(4)]),
    st.sampled_from([f"new-{number}" for number in range(4)]),
)
changes = st.one_of(
    st.builds(lambda name: Change(name, None), ids),
    st.builds(
        lambda name, colour, price, stock, group, seed: new_state(
            name, colour, price, stock, group, seed
        ),
        ids,
        st.sampled_from(["Red", "Mauve", None]),
        st.sampled_from([5.0, 25.0, None]),
        st.booleans(),
        st.sampled_from(["", "dress-sizes", "together"]),
        st.integers(0, 1000),
    ),
)


def expected_after(release: Release, batches: list[list[Change]]) -> Expected:
    there = {
        item.item_id: (item, release.item_content[row], release.item_tower[row])
        for row, item in enumerate(release.catalogue.items())
    }
    for change in (change for batch in batches for change in batch):
        if change.item is None:
            there.pop(change.item_id, None)
        else:
            there[change.item_id] = (change.item, change.content, change.tower)
    return there


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batches=st.lists(st.lists(changes, max_size=6), max_size=5),
    condition=st.none() | filters,
    excluded=st.lists(ids, max_size=3),
    k=st.integers(1, 140),
    seed=st.integers(0, 2**32 - 1),
    space=st.sampled_from(["content", "tower"]),
    collapse=st.booleans(),
)
def test_search_equals_brute_force_after_any_changes(
    small_release: Release, batches, condition, excluded, k, seed, space, collapse
) -> None:
    items = LiveItems(small_release)
    retrieval = FlatRetrieval(items)
    for batch in batches:
        items.apply(batch)
    view, there = items.view, expected_after(small_release, batches)
    vector = normalise(
        np.random.default_rng(seed).normal(size=CLIP_DIM if space == "content" else TOWER_DIM)
    )
    hidden = np.array([view.row_of[i] for i in excluded if i in view.row_of], dtype=np.int32)
    query = VectorQuery(space, vector, k, condition, hidden, collapse)
    (hits,) = asyncio.run(retrieval.search(small_release.id, [query], 10.0))
    retrieval.close()

    allowed = {
        name: known
        for name, known in there.items()
        if name not in excluded and (condition is None or matches(condition, known[0]))
    }
    names = [view.item_ids[row] for row in hits.rows]
    assert hits.matching == len(allowed) and len(set(names)) == len(names)
    assert set(names) <= allowed.keys()
    scores = {n: float(v[1 if space == "content" else 2] @ vector) for n, v in allowed.items()}
    groups = {name: known[0].variant_group for name, known in allowed.items()}
    best = true_best(scores, groups if collapse else None, k)
    np.testing.assert_allclose(hits.scores, best, atol=1e-5)
    np.testing.assert_allclose([scores[name] for name in names], best, atol=1e-5)
    assert_view_holds(view, there)


def assert_view_holds(view: LiveView, there: Expected) -> None:
    """Everything else that answers are made of."""
    alive = {view.item_ids[row] for row in np.flatnonzero(view.alive)}
    assert alive == there.keys() and view.count == len(there)
    for name in (*there, "unknown"):
        row = view.row(name)
        assert (row is None) == (name not in there)
        if row is not None:
            item, content, tower = there[name]
            assert view.item(row) == item and view.titles[row] == item.title
            np.testing.assert_array_equal(view.item_content[row], content)
            np.testing.assert_array_equal(view.vectors("tower")[np.array([row])], tower[None])
    rows = np.flatnonzero(view.alive)
    condition = AllOf((InStock(), In("colour", ("red", "mauve"))))
    wanted = [matches(condition, view.item(row)) for row in rows]
    assert view.mask(condition)[rows].tolist() == wanted
    assert len(view.array("popularity")) == len(view)


def test_a_view_stays_as_it_was_whatever_comes_after(small_release: Release) -> None:
    items = LiveItems(small_release)
    items.apply([new_state("new-0", seed=1), Change("dress-01", None)])
    view = items.view
    before = (len(view), view.count, view.matching(None).count, view.item_content[120].tolist())
    for seed in range(600):  # the slots grow several times, and are written anew
        items.apply([new_state("new-0", seed=seed), new_state(f"new-{seed % 9}", seed=seed)])
        items.apply([Change("new-0", None), Change("dress-02", None)])
    fresh = LiveItems(small_release)
    assert fresh.view.count == 120
    assert before == (
        len(view),
        view.count,
        view.matching(None).count,
        view.item_content[120].tolist(),
    )
    assert items.view.count == 120 - 2 + 8


def test_a_view_is_gone_with_its_last_reader(small_release: Release) -> None:
    items = LiveItems(small_release)
    items.apply([new_state("new-0", seed=1)])
    view = items.view
    assert view.titles[120].startswith("new-0") and view.titles[0]
    assert view.mask(InStock()).any() and view.matching(None).count and view.count
    assert view.vectors("tower")[0].any() and view.item_content[np.array([120])].any()
    gone = weakref.ref(view)
    gc.disable()  # so that nobody looks for cycles
    try:
        items.apply([new_state("new-1", seed=2)])
        del view
        assert gone() is None
    finally:
        gc.enable()


def test_superseded_states_are_thrown_away(small_release: Release) -> None:
    items = LiveItems(small_release)
    for seed in range(3 * live_items.MAX_DEAD_SLOTS):
        items.apply([new_state(f"new-{seed % 5}", seed=seed)])
    assert len(items.view.changed) <= live_items.MAX_DEAD_SLOTS + 10
    last = [
        new_state(f"new-{n % 5}", seed=n)
        for n in range(3 * live_items.MAX_DEAD_SLOTS - 5, 3 * live_items.MAX_DEAD_SLOTS)
    ]
    for change in last:
        row = items.view.row(change.item_id)
        assert row is not None and items.view.item(row) == change.item


def test_an_older_state_never_replaces_a_newer_one(small_release: Release) -> None:
    items = LiveItems(small_release)
    items.apply([new_state("new-0", seed=1, order=5)])
    items.apply([Change("new-0", None, order=7)])
    assert items.apply([new_state("new-0", seed=2, order=6)]) == 0
    assert items.view.row("new-0") is None
    items.apply([new_state("new-0", seed=3, order=8)])
    assert items.view.row("new-0") is not None
    assert items.apply([Change("never-seen", None, order=3)]) == 0
    assert items.apply([new_state("never-seen", order=2)]) == 0
    assert items.view.row("never-seen") is None


def test_changes_lead_from_the_release_to_the_present(small_release: Release) -> None:
    items = LiveItems(small_release)
    items.apply([new_state("new-0", seed=1, order=5), Change("dress-03", None, order=6)])
    items.apply([new_state("dress-04", seed=2, order=7), Change("unseen", None, order=9)])
    again = LiveItems(small_release)
    again.apply(items.changes())
    there = {name: again.view.row(name) is not None for name in ("new-0", "dress-03", "dress-04")}
    assert there == {"new-0": True, "dress-03": False, "dress-04": True}
    assert again.apply([new_state("unseen", order=8)]) == 0, "the order of a deletion was lost"
    assert [(c.item_id, c.item, c.order) for c in again.changes()] == [
        (c.item_id, c.item, c.order) for c in items.changes()
    ]


@pytest.mark.parametrize(
    ("content", "tower", "field"),
    [
        (np.ones(3, np.float32), None, "content_vector"),
        (np.full(CLIP_DIM, np.nan, np.float32), None, "content_vector"),
        (None, np.ones(TOWER_DIM, np.float32), "tower_vector"),
    ],
)
def test_vectors_that_do_not_fit_change_nothing(
    small_release: Release, content, tower, field: str
) -> None:
    items = LiveItems(small_release)
    good = new_state("new-0")
    bad = Change(
        "new-1",
        new_state("new-1").item,
        good.content if content is None else content,
        good.tower if tower is None else tower,
    )
    with pytest.raises(InvalidInputError, match=field):
        items.apply([good, bad])
    assert items.view.number == 0 and items.view.row("new-0") is None
