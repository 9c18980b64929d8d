"""iALS and fold-in: against the formula written out, against `implicit`, and on a block matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from hemline.fold_in import (
    cf_scores,
    cf_scores_many,
    confidence,
    fold_in,
    fold_in_many,
    gram,
    without_factors,
)
from hemline.user_profile import profile_weights
from hemline_training.ials import IalsConfig, confidences, fit_ials, fold_in_histories
from hemline_training.interactions import KINDS, Interactions

VIEW, PURCHASE, DISLIKE = KINDS.index("view"), KINDS.index("purchase"), KINDS.index("dislike")


def written_out(y, rows, signed, regularisation):
    """Eq. 4 of Hu, Koren & Volinsky with full diagonal matrices."""
    c, p = np.ones(len(y)), np.zeros(len(y))
    c[rows], p[rows] = np.abs(signed), np.asarray(signed) > 0
    a = y.T @ np.diag(c) @ y + regularisation * np.eye(y.shape[1])
    return np.linalg.solve(a, y.T @ np.diag(c) @ p)


def factors(n=30, f=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, f)).astype(np.float32)


@given(st.integers(0, 1_000))
def test_fold_in_equals_the_formula_written_out(seed):
    rng = np.random.default_rng(seed)
    y = factors(seed=seed)
    rows = rng.choice(30, size=5, replace=False)
    signed = (1 + rng.exponential(3.0, 5)) * np.where(rng.random(5) < 0.3, -1, 1)
    expected = written_out(y.astype(np.float64), rows, signed, 0.7)
    assert fold_in(y, gram(y), rows, signed, 0.7) == pytest.approx(expected, abs=1e-4)


def test_fold_in_equals_implicit_recalculating_the_user():
    rng = np.random.default_rng(3)
    signed = csr_matrix(np.where(rng.random((40, 30)) < 0.2, 1 + rng.exponential(2.0, (40, 30)), 0))
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=6, regularization=0.5, alpha=1.0, iterations=3, random_state=1, num_threads=1
        )
        model.fit(signed, show_progress=False)
        theirs = model.recalculate_user(np.arange(40), signed)
    y = np.asarray(model.item_factors)
    ours = fold_in_many(y, gram(y), signed.indptr, signed.indices, signed.data, 0.5)
    assert ours == pytest.approx(np.asarray(theirs), abs=1e-4)


def test_an_empty_history_folds_to_zero():
    y = factors()
    many = fold_in_many(y, gram(y), [0, 0, 1], [4], [3.0], 0.5)
    assert not many[0].any()
    assert many[1] == pytest.approx(fold_in(y, gram(y), [4], [3.0], 0.5))


def test_confidence_sums_repeated_items_and_signs_dislikes():
    rows, signed = confidence([7, 2, 7, 5, 9, 9], [1.0, 2.0, 0.5, -2.0, 1.0, -1.0], alpha=2.0)
    assert rows.tolist() == [7, 2, 5]  # 9's weights cancel out
    assert signed.tolist() == [4.0, 5.0, -5.0]


def test_items_that_no_event_touched_have_an_unknown_score():
    y = np.float32([[1, 0], [0, 0], [0, 2]])
    scores = cf_scores_many(y, np.float32([[0.5, 0.25], [0, 0]]))
    assert np.array_equal(scores, [[0.5, np.nan, 0.5], [0, np.nan, 0]], equal_nan=True)


def test_candidates_are_scored_alike_for_one_user_and_for_many():
    rng = np.random.default_rng(3)
    y, users = rng.normal(size=(300, 24)), rng.normal(size=(5, 24))
    y, users = y.astype(np.float32), users.astype(np.float32)
    y[::7] = 0
    of_all = cf_scores_many(y, users)
    rows = rng.choice(300, 80).astype(np.int32)
    expected = np.where(rows % 7 == 0, np.nan, users @ y[rows].T)
    for user, scores, wanted in zip(users, of_all, expected, strict=True):
        found = cf_scores(y, without_factors(y), rows, user)
        assert np.array_equal(found, scores[rows], equal_nan=True)
        assert found == pytest.approx(wanted, abs=1e-5, nan_ok=True)


def log_of(events, users, items):
    """An Interactions of (user, row, kind, day) tuples."""
    u, rows, kinds, days = (np.array(column) for column in zip(*events, strict=True))
    return Interactions.sorted(
        u,
        rows,
        kinds.astype(np.int8),
        days.astype(np.int64) * 86_400_000,
        np.zeros(len(u), np.int64),
        [f"u{i}" for i in range(users)],
        items,
        {},
    )


def two_blocks():
    """20 users buy items 0-4, 20 buy 5-9, each all but one of them; item 10 is never touched."""
    events = []
    for user in range(40):
        block = 5 * (user // 20)
        events += [(user, block + i, PURCHASE, i) for i in range(5) if i != user % 5]
    return log_of(events, users=41, items=11)


def test_the_missing_item_of_a_block_comes_first():
    config = IalsConfig(factors=2, regularisation=0.1, alpha=1.0, iterations=15)
    histories = two_blocks().histories()
    y = fit_ials(histories, config)
    users = fold_in_histories(y, histories, config)
    for user in range(40):
        scores = np.nan_to_num(cf_scores_many(y, users[user : user + 1])[0], nan=-1.0)
        scores[histories.seen[user].indices] = -1.0
        assert scores.argmax() == 5 * (user // 20) + user % 5


def test_an_untouched_item_gets_zero_factors_and_an_empty_user_zeros():
    config = IalsConfig(factors=4, iterations=5)
    histories = two_blocks().histories()
    y = fit_ials(histories, config)
    assert not y[10].any() and y[:10].any(axis=1).all()
    assert not fold_in_histories(y, histories, config)[40].any()


def test_factors_are_the_same_for_the_same_seed():
    histories = two_blocks().histories()
    first = fit_ials(histories, IalsConfig(factors=4, seed=3))
    assert np.array_equal(first, fit_ials(histories, IalsConfig(factors=4, seed=3)))
    assert not np.array_equal(first, fit_ials(histories, IalsConfig(factors=4, seed=4)))


def test_training_folds_in_exactly_as_serving_does():
    log = log_of(
        [(0, 3, VIEW, 0), (0, 3, PURCHASE, 40), (0, 1, DISLIKE, 41), (1, 2, VIEW, 3)], 2, 6
    )
    config = IalsConfig(factors=6, alpha=1.5, regularisation=0.3)
    y = factors(n=6)
    histories = log.histories()
    in_bulk = fold_in_histories(y, histories, config)
    weights = profile_weights(
        ["view", "purchase", "dislike"], [0, 40 * 86_400_000, 41 * 86_400_000]
    )
    rows, signed = confidence([3, 3, 1], weights, config.alpha)
    assert in_bulk[0] == pytest.approx(fold_in(y, gram(y), rows, signed, 0.3), abs=1e-5)
    assert confidences(histories, config.alpha)[0].toarray()[0, rows] == pytest.approx(signed)
