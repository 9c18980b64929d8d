"""The recall watch agrees with right answers and convicts every kind of wrong one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemline import metrics
from hemline.contracts import Hits, VectorQuery
from hemline.filters import In
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.releases import Release
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.recall_watch import OUTCOMES, RecallWatch, judge
from hemline.vectors import normalise
from live_changes import new_state
from shapes import filters
from small_world import CLIP_DIM


def changed_items(release: Release) -> LiveItems:
    items = LiveItems(release)
    items.apply([new_state(f"new-{n}", seed=n, group="together") for n in range(5)])
    items.apply([new_state("dress-03", seed=9), Change("dress-01", None), Change("new-4", None)])
    return items


def query_of(seed: int, **more) -> VectorQuery:
    vector = normalise(np.random.default_rng(seed).normal(size=CLIP_DIM))
    return VectorQuery("content", vector, **({"k": 20} | more))


def answer(items: LiveItems, query: VectorQuery) -> Hits:
    retrieval = FlatRetrieval(items)
    (hits,) = asyncio.run(retrieval.search(items.release.id, [query], 60.0))
    retrieval.close()
    return hits


@settings(max_examples=40, deadline=None)
@given(
    condition=st.none() | filters,
    seed=st.integers(0, 999),
    k=st.integers(1, 130),
    collapse=st.booleans(),
)
def test_right_answers_are_found_right(
    small_release: Release, condition, seed: int, k: int, collapse: bool
) -> None:
    items = changed_items(small_release)
    query = query_of(seed, k=k, filter=condition, collapse_variants=collapse)
    hits = answer(items, query)
    verdict = judge(query, hits, items.view, items.view)
    assert verdict == ({"found": len(hits.rows)} if len(hits.rows) else {})


@pytest.mark.parametrize("outcome", ["missed", "ghost", "mismatched", "stale"])
def test_wrong_answers_are_convicted(small_release: Release, outcome: str) -> None:
    items = changed_items(small_release)
    query = query_of(3, filter=In("colour", ("red",)) if outcome == "mismatched" else None)
    hits = answer(items, query)
    view = items.view
    rows, scores = hits.rows.copy(), hits.scores.copy()
    match outcome:
        case "missed":
            rows, scores = rows[1:], scores[1:]
        case "ghost":
            rows[3] = view.row_of["dress-01"]
        case "mismatched":
            rows[3] = next(
                row
                for row in range(len(view))
                if view.alive[row] and view.item(row).colour == "Blue"
            )
        case "stale":
            scores[3] += 0.1
    verdict = judge(query, replace(hits, rows=rows, scores=scores), view, view)
    assert verdict[outcome] == 1
    assert sum(verdict[other] for other in OUTCOMES) <= 22


def test_what_was_right_a_moment_ago_is_right(small_release: Release) -> None:
    items = changed_items(small_release)
    query = query_of(5)
    before, hits = items.view, answer(items, query)
    items.apply([Change(items.view.item_ids[hits.rows[0]], None)])
    assert judge(query, hits, before, items.view) == {"found": 20}
    assert judge(query, hits, items.view, items.view)["ghost"] == 1


async def test_a_share_of_live_searches_is_watched(small_release: Release) -> None:
    items = changed_items(small_release)
    retrieval = FlatRetrieval(items, watched_share=1.0)
    before = metrics.SEARCH_WATCHED.labels("found")._value.get()
    ends = time.monotonic() + 60
    while metrics.SEARCH_WATCHED.labels("found")._value.get() == before:
        assert time.monotonic() < ends
        await retrieval.search(small_release.id, [query_of(7)], 60.0)
        await asyncio.sleep(0.005)
    retrieval.close()


def test_without_a_share_nothing_is_looked_at(small_release: Release) -> None:
    items = LiveItems(small_release)
    watch = RecallWatch(0.0)
    before = [metrics.SEARCH_WATCHED.labels(name)._value.get() for name in OUTCOMES]
    query = query_of(1)
    for _ in range(50):
        watch.offer(items.view, items.view, [query], [answer(items, query)] if _ == 0 else [])
    watch.close()
    assert before == [metrics.SEARCH_WATCHED.labels(name)._value.get() for name in OUTCOMES]
