"""The compiled steps of an answer, each compared with the plain NumPy that says what it means."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hemline.best_first import best_first
from hemline.distinct import FirstPlaces
from hemline.gateway.candidates import SOURCES, Merger, top_eligible
from hemline.gateway.select import pool_size, select
from hemline.vector_rows import dots, dots_with_changes

seeds = st.integers(0, 2**32 - 1)


@given(st.lists(st.integers(-3, 3), max_size=60), st.integers(0, 80))
def test_the_best_are_those_of_a_stable_sort(scores: list[int], k: int) -> None:
    values = np.array(scores, dtype=np.float32)
    assert best_first(values, k).tolist() == np.argsort(-values, kind="stable")[:k].tolist()


@given(st.lists(st.lists(st.integers(0, 19), max_size=40), max_size=4))
def test_first_places_are_those_of_unique(calls: list[list[int]]) -> None:
    first = FirstPlaces(20)
    for values in calls:  # nothing is left over from one call to the next
        _, expected = np.unique(values, return_index=True)
        assert first(np.array(values, dtype=np.int32)).tolist() == sorted(expected.tolist())


@given(seeds)
def test_products_with_rows_those_that_changed_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base, changed = (rng.normal(size=(n, 7)).astype(np.float32) for n in (30, 4))
    slot_of = np.full(33, -1, np.int32)
    slot_of[[3, 30, 31, 32]] = rng.permutation(4)
    rows = rng.integers(0, 33, 20).astype(np.int32)
    vector = rng.normal(size=7).astype(np.float32)
    now = np.concatenate((base, np.zeros((3, 7), np.float32)))
    now[[3, 30, 31, 32]] = changed[slot_of[[3, 30, 31, 32]]]
    found = dots_with_changes(base, changed, slot_of, rows, vector)
    assert np.allclose(found, now[rows] @ vector, atol=1e-5)
    known = rows[rows < 30]
    assert np.allclose(dots(base, known, vector), base[known] @ vector, atol=1e-5)


@given(seeds)
def test_merged_candidates_are_the_eligible_ones_with_their_sources(seed: int) -> None:
    rng = np.random.default_rng(seed)
    merger = Merger(40)
    for _ in range(2):
        names = rng.permutation(SOURCES)[: rng.integers(1, len(SOURCES) + 1)]
        brought = {
            str(name): rng.permutation(40)[: rng.integers(0, 12)].astype(np.int32) for name in names
        }
        eligible = rng.random(40) < 0.7
        merged = merger.merge(brought, eligible)
        expected = {int(row) for found in brought.values() for row in found if eligible[row]}
        assert merged.rows.tolist() == sorted(expected)
        named = merged.sources(np.arange(len(merged.rows)))
        for row, sources in zip(merged.rows, named, strict=True):
            assert set(sources) == {name for name, found in brought.items() if row in found}


@given(seeds, st.integers(0, 25))
def test_the_first_that_may_be_shown(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    order, eligible = rng.permutation(20).astype(np.int32), rng.random(20) < 0.5
    expected = [row for row in order.tolist() if eligible[row]][:count]
    assert top_eligible(order, eligible, count).tolist() == expected


@given(seeds, st.integers(1, 70), st.floats(0, 1))
def test_the_selection_is_maximal_marginal_relevance(seed: int, k: int, diversity: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(300, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    variants = rng.integers(0, rng.integers(1, 300), 300).astype(np.int32)
    rows = rng.permutation(300)[:200].astype(np.int32)
    scores = rng.normal(size=200).astype(np.float32)
    chosen = select(rows, scores, vectors, variants, FirstPlaces(300), k, diversity)

    best_of: dict[int, int] = {}
    for place in np.argsort(-scores, kind="stable").tolist():
        best_of.setdefault(int(variants[rows[place]]), place)
    pool = list(best_of.values())[: pool_size(k)]
    scaled = scores[pool].astype(np.float64) - scores[pool].min()
    scaled /= max(scaled.max(), 1e-9)
    similar = vectors[rows[pool]] @ vectors[rows[pool]].T
    left, expected = list(range(len(pool))), []
    while left and len(expected) < k:
        value = {
            i: (1 - diversity) * scaled[i]
            - diversity * max([0.0, *(similar[i, j] for j in expected)])
            for i in left
        }
        best = max(value.values())
        taken = pool.index(chosen[len(expected)])
        assert taken in left and value[taken] > best - 1e-5  # what rounding may decide
        expected.append(taken)
        left.remove(taken)
    assert len(chosen) == len(expected)
