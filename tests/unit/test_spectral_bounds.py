"""The compiled search: its bounds hold, no order by chance, a wrong guess is made good."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemline import metrics
from hemline.retrieval.interface import Search
from hemline.retrieval.ranked_keys import key_of, row_of, score_of, select
from hemline.retrieval.spectral import SpectralIndex, head_of

floats = st.floats(width=32, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 700),
    dim=st.integers(1, 40),
    heads=st.integers(1, 40),
    decay=st.sampled_from([1.0, 0.7, 0.3]),
    scale=st.sampled_from([1.0, 1e-3, 1e3]),
    shift=st.sampled_from([0.0, 3.0]),
)
def test_no_score_exceeds_its_bound(
    seed: int, n: int, dim: int, heads: int, decay: float, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.float32(rng.normal(size=(n, dim)) * decay ** np.arange(dim) + shift)
    index = SpectralIndex(vectors, head_of(vectors)[:, :heads])
    query = np.float32(scale * rng.normal(size=dim))
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    bounds = index.bounds(query)
    assert (bounds >= scores).all()
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    assert (bounds <= 2 * lengths.max() * (1 + dim)).all()  # and they say something


def test_bounds_of_a_long_head_are_close() -> None:
    """With all directions in the head, what is left is the rounding to one byte."""
    rng = np.random.default_rng(2)
    vectors = np.float32(rng.normal(size=(5_000, 16)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bounds = SpectralIndex(vectors, np.eye(16, dtype=np.float32)).bounds(vectors[0])
    assert np.abs(bounds - vectors @ vectors[0]).max() < 0.03


@given(a=floats, b=floats, rows=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)))
def test_keys_order_by_score_and_then_by_row(a: float, b: float, rows: tuple[int, int]) -> None:
    first, second = key_of(np.float32(a), rows[0]), key_of(np.float32(b), rows[1])
    assert (score_of(first), row_of(first)) == (np.float32(a), rows[0])
    if a != b:
        assert (first < second) == (a > b)
    elif np.signbit(a) == np.signbit(b):
        assert (first < second) == (rows[0] < rows[1])


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, unique=True), st.data())
def test_selected_are_the_smallest_keys(values: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    keys = np.array(values, np.int64)
    select(keys, len(keys), k)
    assert sorted(keys[:k].tolist()) == sorted(values)[:k]
    assert keys[k - 1] == sorted(values)[k - 1]
    assert sorted(keys.tolist()) == sorted(values)


@pytest.mark.parametrize("k", [1, 40, 3_000])
def test_of_equal_items_the_first_are_found_in_their_order(k: int) -> None:
    vectors = np.ones((20_000, 4), np.float32)
    index = SpectralIndex(vectors, head_of(vectors))
    allowed = np.ones(20_000, dtype=bool)
    allowed[:7] = False
    query = np.ones(4, np.float32)
    rows, scores = index.search(query, k, allowed, 19_993)
    assert rows.tolist() == list(range(7, 7 + k))
    assert (scores == 4).all()


def test_a_query_need_not_be_contiguous() -> None:
    rng = np.random.default_rng(4)
    vectors = np.float32(rng.normal(size=(9_000, 8)))
    index = SpectralIndex(vectors, head_of(vectors))
    allowed = np.ones(9_000, dtype=bool)
    spread = np.repeat(vectors[5], 2)[::2]
    plain = index.search(vectors[5], 20, allowed, 9_000)
    np.testing.assert_array_equal(index.search(spread, 20, allowed, 9_000)[0], plain[0])


def test_a_guess_too_high_is_made_good_and_counted() -> None:
    """Only sampled items are good, fewer of them than are wanted."""
    rng = np.random.default_rng(1)
    n = 65_536  # of which every 32nd is sampled
    vectors = np.float32(0.1 * rng.normal(size=(n, 16)) * 0.3 ** np.arange(16))
    vectors[::32, 0] += 5
    index = SpectralIndex(vectors, head_of(vectors))
    query = np.eye(16, dtype=np.float32)[0]
    allowed = np.ones(n, dtype=bool)
    best = np.sort(vectors[:, 0])[::-1]
    for label, searches in (("head_again", 1), ("batch_again", 7)):
        counted = metrics.SEARCH_SCANS.labels(label)
        before = counted._value.get()
        k = 2_500
        if searches == 1:
            found = [index.search(query, k, allowed, n)]
        else:
            found = index.search_batch([Search(query, k, allowed, n)] * searches)
        for rows, scores in found:
            assert len(set(rows.tolist())) == k
            np.testing.assert_allclose(scores, best[:k], rtol=1e-5)
        assert counted._value.get() == before + searches


def test_each_query_of_a_batch_has_its_own_filter() -> None:
    rng = np.random.default_rng(6)
    n = 30_000
    vectors = np.float32(rng.normal(size=(n, 12)) * 0.6 ** np.arange(12))
    index = SpectralIndex(vectors, head_of(vectors))
    masks = [rng.random(n) < share for share in (1.0, 0.5, 0.2)]
    queries = np.float32(rng.normal(size=(7, 12)) * 0.6 ** np.arange(12))
    searches = [
        Search(query, 10 + 50 * place, masks[place % 3], int(masks[place % 3].sum()))
        for place, query in enumerate(queries)
    ]
    for search, (rows, scores) in zip(searches, index.search_batch(searches), strict=True):
        assert search.allowed[rows].all() and len(set(rows.tolist())) == search.k
        best = np.sort(vectors[search.allowed] @ search.vector)[::-1][: search.k]
        np.testing.assert_allclose(scores, best, rtol=1e-4, atol=1e-6)
