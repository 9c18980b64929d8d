"""Changed items get indexes once they are many, and no answer changes by it, nor waits for it."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from hemline import metrics
from hemline.changed_items import ChangedItems
from hemline.contracts import VectorQuery, WeightedVector
from hemline.filters import In
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.releases import Release
from hemline.retrieval.folding import Folding
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.recall_watch import judge
from hemline.vectors import normalise
from live_changes import new_state
from small_world import CLIP_DIM


def wait_for(done) -> None:
    ends = time.monotonic() + 60
    while not done():
        assert time.monotonic() < ends
        time.sleep(0.002)


def folded_slots(retrieval: FlatRetrieval) -> int:
    folded = retrieval._current._folding._folded
    return folded.slots if folded else 0


def while_searching_wait_for(retrieval: FlatRetrieval, slots: float) -> None:
    """It is searches that notice when it is time to fold, and not while a folding is under way."""

    def done() -> bool:
        assert_answers_are_true(retrieval)
        return folded_slots(retrieval) >= slots

    wait_for(done)


def queries() -> list[VectorQuery]:
    rng = np.random.default_rng(4)
    content, text = normalise(rng.normal(size=(2, CLIP_DIM)))
    return [
        VectorQuery("content", content, 200),
        VectorQuery("content", content, 7, In("colour", ("red",)), collapse_variants=True),
        VectorQuery("content", content, 30, also=(WeightedVector("text", text, 0.5),)),
        VectorQuery("image", text, 50, None, np.array([125, 3], dtype=np.int32)),
    ]


def assert_answers_are_true(retrieval: FlatRetrieval) -> None:
    view = retrieval.view
    for query in queries():
        (hits,) = asyncio.run(retrieval.search(view.id, [query], 60.0))
        assert judge(query, hits, view, view) == {"found": len(hits.rows)}
        assert len(hits.rows) > 0


def test_answers_are_true_before_between_and_after(small_release: Release) -> None:
    items = LiveItems(small_release)
    retrieval = FlatRetrieval(items, fold_after=10)
    rng = np.random.default_rng(1)
    seen = []
    for step in range(1, 12):
        names = [f"new-{n}" for n in rng.integers(0, 60, 8)] + [f"dress-{step:02d}"]
        items.apply([new_state(name, seed=step * 100 + n) for n, name in enumerate(names)])
        items.apply([Change(f"new-{rng.integers(0, 60)}", None), Change("boots-04", None)])
        assert_answers_are_true(retrieval)
        if step in (2, 7, 11):
            while_searching_wait_for(retrieval, slots=9 * step * 0.6)
            assert_answers_are_true(retrieval)
        seen.append(folded_slots(retrieval))
    retrieval.close()
    assert len(set(seen)) >= 3, "they were folded again as more came"


def test_indexes_of_slots_that_were_written_anew_are_of_no_use_any_more(
    small_release: Release,
) -> None:
    items = LiveItems(small_release)
    retrieval = FlatRetrieval(items, fold_after=10)
    items.apply([new_state(f"new-{n}", seed=n) for n in range(20)])
    asyncio.run(retrieval.search(items.view.id, queries()[:1], 10.0))
    wait_for(lambda: folded_slots(retrieval) == 20)
    generation = items.view.changed.generation
    for seed in range(60):  # the same twenty, over and over: 1200 slots, nearly all of them dead
        items.apply([new_state(f"new-{n}", seed=1000 * seed + n) for n in range(20)])
    assert items.view.changed.generation is not generation
    assert_answers_are_true(retrieval)
    retrieval.close()


def test_a_search_does_not_wait_for_indexes_that_are_being_made(small_release: Release) -> None:
    slots = ChangedItems({"content": CLIP_DIM})
    change = new_state("new", seed=1)
    for row in range(30):
        slots.append(row, change.item, change.vectors())
    folding = Folding(fold_after=10)
    others = set(threading.enumerate())  # an earlier test's may still be at it
    with folding._one_at_a_time:  # as if a thread were at it
        assert folding.of(slots.columns()) is None
        assert not any(thread.name == "fold" for thread in set(threading.enumerate()) - others)
    assert folding.of(slots.columns()) is None
    wait_for(lambda: folding._folded is not None)
    before = slots.columns()
    slots.append(30, change.item, change.vectors())
    folded = folding.of(slots.columns())
    assert folded is not None and folded.slots == 30 and folding.memory_bytes > 0
    assert folding.of(before) is folded


def test_few_changes_are_left_alone(small_release: Release) -> None:
    items = LiveItems(small_release)
    retrieval = FlatRetrieval(items, fold_after=10)
    wait_for(lambda: not any(thread.name == "fold" for thread in threading.enumerate()))
    made = metrics.LIVE_FOLDS.labels("done")._value.get()
    items.apply([new_state(f"new-{n}", seed=n) for n in range(10)])
    assert_answers_are_true(retrieval)
    retrieval.close()
    assert metrics.LIVE_FOLDS.labels("done")._value.get() == made


@pytest.mark.parametrize("k", [1, 200])
def test_a_view_from_before_the_indexes_is_answered_as_it_was(small_release: Release, k) -> None:
    items = LiveItems(small_release)
    retrieval = FlatRetrieval(items, fold_after=10)
    items.apply([new_state(f"new-{n}", seed=n) for n in range(12)])
    old = items.view
    items.apply([new_state(f"new-{n}", seed=n) for n in range(12, 30)])
    loaded = retrieval._current
    query = VectorQuery("content", queries()[0].vector, k)
    asyncio.run(retrieval.search(old.id, [query], 60.0))
    wait_for(lambda: folded_slots(retrieval) == 30)
    hits = loaded._answer(loaded._plan(query, old))
    assert judge(query, hits, old, old) == {"found": len(hits.rows)}
    retrieval.close()
