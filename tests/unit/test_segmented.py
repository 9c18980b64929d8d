"""Blending by how much is known of a user: windows of time, weights by segment, what recurs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline_training import metrics
from hemline_training.recommenders.base import Feedback, Recommender
from hemline_training.recommenders.baselines import ReturningPopular, Rising
from hemline_training.recommenders.segmented import SegmentBlend, segments_of, time_windows

DAY = 86_400_000
ITEMS = 40


class PairsWithTheNext(Recommender):
    """Knows, through noise, that whoever has item 2n goes on to 2n + 1; wrong about newcomers."""

    def _fit(self, feedback: Feedback) -> None:
        self._next = csr_matrix((np.full(ITEMS, 2.0), (np.arange(ITEMS), np.arange(ITEMS) ^ 1)))
        self._noise = np.random.default_rng(1).choice([0.0, 0.8], ITEMS)

    def fold_in(self, newcomers: Feedback) -> np.ndarray:
        scores = np.asarray((newcomers.likes @ self._next).todense()) + self._noise
        scores[np.diff(newcomers.likes.indptr) == 0] = 0
        scores[np.diff(newcomers.likes.indptr) == 0, -4:] = 1
        return scores.astype(np.float32)


class InTheWindow(Recommender):
    """Always the same three items first."""

    def _fit(self, feedback: Feedback) -> None:
        self._scores = np.zeros(ITEMS, np.float32)
        self._scores[[0, 2, 4]] = 3, 2.9, 2.8

    def fold_in(self, newcomers: Feedback) -> np.ndarray:
        return np.tile(self._scores, (newcomers.n_users, 1))


def shop(users: int = 600) -> Feedback:
    """Everybody comes first on their own day, for one of three items; who comes back, a hundred
    days later, takes the item that pairs with the first."""
    rng = np.random.default_rng(0)
    first_item = rng.choice([0, 2, 4], users, p=[0.6, 0.3, 0.1])
    first_day = 1 + np.arange(users)
    rows, columns = np.arange(users), first_item
    days = first_day
    rows = np.concatenate([rows, np.arange(users)])
    columns = np.concatenate([columns, first_item + 1])
    days = np.concatenate([days, first_day + 100])
    known = days <= users
    shape = (users, ITEMS)
    cells = (rows[known], columns[known])
    return Feedback(
        likes=csr_matrix((np.ones(known.sum(), np.float32), cells), shape=shape),
        times_ms=csr_matrix((days[known].astype(np.int64) * DAY, cells), shape=shape),
        now_ms=(users + 1) * DAY,
    )


PARTS = {"pairs": PairsWithTheNext, "window": InTheWindow}


def test_newcomers_and_those_who_come_back_get_weights_of_their_own():
    blend = SegmentBlend(PARTS, k=1, prior=1.0).fit(shop())
    assert blend.learned["0"]["window"] > blend.learned["1"]["window"] + 0.1
    assert all(sum(of.values()) == pytest.approx(1.0) for of in blend.learned.values())
    people = csr_matrix(np.float32([np.zeros(ITEMS), np.eye(ITEMS)[4]]))
    best = metrics.top_k(blend.fold_in(Feedback(likes=people)), 1)[:, 0]
    assert best.tolist() == [0, 5]


def test_a_segment_of_few_cases_takes_nearly_the_weights_of_all():
    own = SegmentBlend(PARTS, k=1, prior=1.0).fit(shop()).learned
    drawn = SegmentBlend(PARTS, k=1, prior=1e9).fit(shop()).learned
    assert drawn["0"] == pytest.approx(drawn["1"], abs=1e-3)
    assert own["1"]["pairs"] > own["0"]["pairs"] + 0.1
    assert own["20+"] == pytest.approx(drawn["20+"], abs=1e-3)  # nobody has twenty


def test_a_window_holds_what_came_in_it_and_knows_nothing_of_it():
    feedback = shop()
    moments = []
    for past, wanted in time_windows(feedback, windows=3, share=0.2):
        moments.append(past.now_ms)
        assert past.times_ms.data.max() < past.now_ms
        assert (past.likes.multiply(wanted)).nnz == 0
        assert wanted.nnz == pytest.approx(0.2 * feedback.likes.nnz, abs=3)
    assert moments == sorted(moments, reverse=True)


def test_windows_say_what_they_lack():
    feedback = shop()
    with pytest.raises(InvalidInputError, match="each like needs its time"):
        next(time_windows(Feedback(likes=feedback.likes), 2, 0.1))
    with pytest.raises(InvalidInputError, match=r"10 of 0\.2 leave nothing"):
        next(time_windows(feedback, 10, 0.2))
    at_once = Feedback(likes=feedback.likes, times_ms=(feedback.likes > 0).astype(np.int64))
    with pytest.raises(InvalidInputError, match="too many likes share one time"):
        next(time_windows(at_once, 2, 0.1))


def test_given_weights_are_taken_and_a_part_without_any_is_not_fitted():
    weights = {name: {"pairs": 0.0, "window": 1.0} for name in ("0", "1", "2-4", "5-19", "20+")}
    blend = SegmentBlend(PARTS, weights=weights).fit(shop())
    assert set(blend._fitted) == {"window"}
    assert blend.recommend([0], 1)[0, 0] in (0, 2, 4)


def test_segments_are_those_of_serving():
    counts = [0, 1, 2, 4, 5, 19, 20, 39]
    likes = csr_matrix(np.float32([[1] * n + [0] * (ITEMS - n) for n in counts]))
    assert segments_of(likes).tolist() == [0, 1, 2, 2, 3, 3, 4, 4]


def timed(cells: list[tuple[int, int, int]], now_day: int) -> Feedback:
    """(user, item, day)."""
    users, items, days = (np.array(column) for column in zip(*cells, strict=True))
    shape = (users.max() + 1, items.max() + 1)
    return Feedback(
        likes=csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape),
        times_ms=csr_matrix((days.astype(np.int64) * DAY, (users, items)), shape=shape),
        now_ms=now_day * DAY,
    )


def test_popular_with_those_who_come_back_counts_no_first_visit():
    feedback = timed([(0, 0, 10), (0, 1, 40), (1, 0, 40), (2, 2, 40), (2, 0, 40)], now_day=40)
    score = ReturningPopular(half_life_days=30.0).fit(feedback).score([0])[0]
    assert score == pytest.approx([0, 1, 0], abs=1e-5)  # user 2 took two items in one visit


def test_what_is_on_the_rise_passes_what_was_always_popular():
    steady = [(user, 0, 1 + 10 * user) for user in range(20)]
    new = [(user, 1, 196 + user // 2) for user in range(8)]
    feedback = timed(steady + new, now_day=200)
    score = Rising(half_life_days=30.0).fit(feedback).score([0])[0]
    assert score[1] > score[0]
    flat = Rising(half_life_days=30.0, power=0.0).fit(feedback).score([0])[0]
    assert score[1] / score[0] > 1.2 * flat[1] / flat[0]
