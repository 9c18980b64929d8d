"""Baselines that know nobody's taste: most popular, recently popular, popular with those who come
back, on the rise, popular in one's own segment.

Whatever is smarter has to beat these, and for a newcomer they are the honest answer. Every one of
them is what it is for all users alike (or all of a segment), so folding in costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.metrics import F64
from hemline_training.recommenders.base import Feedback, Recommender

MS_PER_DAY = 86_400_000


class MostPopular(Recommender):
    """How many users like the item."""

    popularity: F32

    def _fit(self, feedback: Feedback) -> None:
        self.popularity = _users_of_each_item(feedback)

    def fold_in(self, newcomers: Feedback) -> F32:
        return np.tile(self.popularity, (newcomers.n_users, 1))


@dataclass
class RecentPopular(Recommender):
    """The same, each user counting 2^(-age / half life), ages back from `Feedback.now_ms`."""

    half_life_days: float = 7.0

    def _fit(self, feedback: Feedback) -> None:
        # Items nobody touched lately keep the order of all time, below everything recent.
        ever = _users_of_each_item(feedback)
        self.popularity = (
            self._recent(feedback) + 1e-6 * ever / max(ever.max(initial=0.0), 1.0)
        ).astype(np.float32)

    def _recent(self, feedback: Feedback) -> F64:
        return decayed_users(feedback, self.half_life_days)

    def fold_in(self, newcomers: Feedback) -> F32:
        return np.tile(self.popularity, (newcomers.n_users, 1))


@dataclass
class ReturningPopular(RecentPopular):
    """Recently popular with those who had liked something before that day.

    Who comes back chooses otherwise than who comes for the first time: newcomers take what is in
    the window, regulars what was not there the last time.
    """

    half_life_days: float = 30.0

    def _recent(self, feedback: Feedback) -> F64:
        times = _times(feedback)
        owner = np.repeat(np.arange(feedback.n_users), np.diff(times.indptr))
        first = np.full(feedback.n_users, np.iinfo(np.int64).max)
        np.minimum.at(first, owner, times.data)
        returned = times.data >= first[owner] + MS_PER_DAY
        return decayed_users(feedback, self.half_life_days, returned)


@dataclass
class Rising(RecentPopular):
    """Recently popular, times how much more so than over a time `against` half lives as long.

        r ((r + ½) / (l / against + ½))^power        r, l: decayed users of the item

    What is on the rise now goes on for a while; what has been popular for long, regulars have seen.
    """

    half_life_days: float = 30.0
    against: float = 6.0
    power: float = 0.5

    def _recent(self, feedback: Feedback) -> F64:
        recent = decayed_users(feedback, self.half_life_days)
        usual = decayed_users(feedback, self.half_life_days * self.against) / self.against
        return np.asarray(recent * ((recent + 0.5) / (usual + 0.5)) ** self.power)


@dataclass
class SegmentPopular(Recommender):
    """Most popular among people of one's own age group and gender.

    A segment's counts are drawn towards everybody's by `prior` users' worth of them, so a small
    segment says little by itself and an unknown one gets plain popularity. columns: those of
    `Feedback.users` that make a segment; a missing value is a segment of its own.
    """

    columns: tuple[str, ...] = ("age_group", "gender")
    prior: float = 20.0

    def _fit(self, feedback: Feedback) -> None:
        keys = self._segments(feedback)
        names = sorted(set(keys))
        self._row_of = {name: row for row, name in enumerate(names)}
        segment = np.array([self._row_of[key] for key in keys])
        likes = feedback.likes.tocoo()
        n = feedback.n_items
        flat = np.bincount(
            segment[likes.row] * n + likes.col, weights=likes.data > 0, minlength=len(names) * n
        )
        ever = _users_of_each_item(feedback) / max(feedback.n_users, 1)
        self._counts = (flat.reshape(-1, n) + self.prior * ever).astype(np.float32)
        self._everybody = (self.prior * ever).astype(np.float32)

    def fold_in(self, newcomers: Feedback) -> F32:
        rows = [self._row_of.get(key, -1) for key in self._segments(newcomers)]
        scores = np.empty((len(rows), len(self._everybody)), dtype=np.float32)
        for place, row in enumerate(rows):
            scores[place] = self._counts[row] if row >= 0 else self._everybody
        return scores

    def _segments(self, feedback: Feedback) -> list[tuple[str, ...]]:
        users = feedback.users
        missing = [c for c in self.columns if users is None or c not in users.column_names]
        if users is None or missing:
            raise InvalidInputError("users", f"popular by segment needs columns {missing}")
        columns = [users[name].to_pylist() for name in self.columns]
        return [tuple(str(value) for value in row) for row in zip(*columns, strict=True)]


def decayed_users(
    feedback: Feedback, half_life_days: float, counted: npt.NDArray[np.bool_] | None = None
) -> F64:
    """Users of each item, each counting 2^(-age / half life): float64 (n_items,).

    counted: bool, one an entry of `feedback.times_ms`. Raises InvalidInputError without times.
    """
    times = _times(feedback)
    newest = feedback.now_ms or int(times.data.max(initial=0))
    weight = 0.5 ** (np.maximum((newest - times.data) / MS_PER_DAY, 0.0) / half_life_days)
    if counted is not None:
        weight = weight * counted
    counts = np.bincount(times.indices, weights=weight, minlength=feedback.n_items)
    return np.asarray(counts, dtype=np.float64)


def _times(feedback: Feedback) -> csr_matrix:
    if feedback.times_ms is None:
        raise InvalidInputError("times_ms", "recently popular needs the times of the events")
    return feedback.times_ms


def _users_of_each_item(feedback: Feedback) -> F32:
    likes = feedback.likes
    liked = likes.indices[likes.data > 0]
    return np.bincount(liked, minlength=feedback.n_items).astype(np.float32)
