from __future__ import annotations

from math import comb

import numpy as np
import pytest

from hemline_training.clip.metrics import (
    accuracy,
    hit_rate,
    precision_at,
    random_hit_rate,
    ranks,
)

SCORES = np.array([[0.9, 0.1, 0.5, 0.3], [0.2, 0.8, 0.4, 0.6], [0.1, 0.2, 0.3, 0.4]])


def test_a_rank_counts_the_wrong_candidates_before_the_first_right_one() -> None:
    relevant = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0]], bool)
    assert ranks(SCORES, relevant).tolist() == [0, 2, 2]


def test_other_right_answers_do_not_push_a_right_answer_down() -> None:
    relevant = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]], bool)
    assert ranks(SCORES, relevant).tolist() == [0, 0, 0]


def test_a_constant_score_finds_nothing() -> None:
    relevant = np.eye(4, dtype=bool)
    assert hit_rate(ranks(np.ones((4, 4)), relevant), 3) == 0.0


def test_a_query_without_a_right_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match="relevant"):
        ranks(SCORES, np.zeros((3, 4), bool))


def test_the_hit_rate_at_k_counts_ranks_below_k() -> None:
    assert [hit_rate(np.array([0, 2, 9, 10]), k) for k in (1, 3, 10, 11)] == [0.25, 0.5, 0.75, 1]


def test_the_random_hit_rate_is_hypergeometric() -> None:
    relevant = np.zeros((2, 20), bool)
    relevant[0, :1] = True
    relevant[1, :4] = True
    expected = ((1 - comb(19, 5) / comb(20, 5)) + (1 - comb(16, 5) / comb(20, 5))) / 2
    assert random_hit_rate(relevant, 5) == pytest.approx(expected)
    assert random_hit_rate(relevant, 20) == random_hit_rate(relevant, 99) == 1.0


def test_precision_counts_right_answers_among_the_top_k() -> None:
    relevant = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0]], bool)
    assert precision_at(SCORES, relevant, 2) == pytest.approx((2 + 1 + 0) / 6)


def test_accuracy_takes_the_largest_column() -> None:
    assert accuracy(SCORES, np.array([0, 1, 0])) == pytest.approx(2 / 3)
