"""Metrics against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from hemline_training import metrics

# Two users over 6 items. The first likes 1 and 4, the second 0, 2 and 5.
TARGETS = csr_matrix(np.array([[0, 1, 0, 0, 1, 0], [1, 0, 1, 0, 0, 1]], dtype=np.float32))
RANKED = np.array([[3, 1, 0, 4], [2, 0, 3, -1]])
RELEVANT = np.array([2, 3])


def test_hits_mark_the_targets_and_never_the_padding():
    expected = [[False, True, False, True], [True, True, False, False]]
    assert metrics.hits(RANKED, TARGETS).tolist() == expected


def test_padding_of_one_case_is_not_the_last_item_of_the_case_before():
    # Row -1 of case 1 has the key of item 5 of case 0.
    targets = csr_matrix(np.array([[0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]], dtype=np.float32))
    assert not metrics.hits(np.array([[0], [-1]]), targets).any()


def test_recall_divides_by_all_targets():
    hit = metrics.hits(RANKED, TARGETS)
    assert metrics.recall(hit, RELEVANT, 2).tolist() == [1 / 2, 2 / 3]
    assert metrics.recall(hit, RELEVANT, 4).tolist() == [1.0, 2 / 3]


def test_ndcg_by_hand():
    hit = metrics.hits(RANKED, TARGETS)
    first = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    second = (1 + 1 / math.log2(3)) / (1 + 1 / math.log2(3) + 1 / math.log2(4))
    assert metrics.ndcg(hit, RELEVANT, 4) == pytest.approx([first, second])


def test_a_perfect_list_shorter_than_the_targets_has_ndcg_one():
    hit = metrics.hits(np.array([[0, 2]]), TARGETS[1])
    assert metrics.ndcg(hit, [3], 2) == pytest.approx([1.0])


def test_hit_rate_and_reciprocal_rank():
    hit = metrics.hits(RANKED, TARGETS)
    assert metrics.hit_rate(hit, 1).tolist() == [0.0, 1.0]
    assert metrics.reciprocal_rank(hit, 4).tolist() == [0.5, 1.0]
    assert metrics.reciprocal_rank(hit, 1).tolist() == [0.0, 1.0]


def test_coverage_counts_distinct_items_and_no_padding():
    assert metrics.coverage(RANKED, n_items=6, k=4) == 5 / 6
    assert metrics.coverage(RANKED, n_items=6, k=1) == 2 / 6


def test_top_k_is_best_first_and_never_shows_what_is_masked():
    scores = np.float32([[0.1, 0.9, -np.inf, 0.5], [-np.inf, -np.inf, -np.inf, 2.0]])
    assert metrics.top_k(scores, 3).tolist() == [[1, 3, 0], [3, -1, -1]]


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_top_k_equals_a_full_sort(seed, k):
    scores = np.random.default_rng(seed).normal(size=(3, 20)).astype(np.float32)
    assert (metrics.top_k(scores, k) == np.argsort(-scores, axis=1)[:, :k]).all()


def test_bootstrap_interval_of_a_constant_is_that_constant():
    assert metrics.bootstrap_interval(np.full(50, 0.25)) == (0.25, 0.25)


def test_bootstrap_interval_has_the_width_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(size=2_000)
    low, high = metrics.bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(2_000), rel=0.1)
