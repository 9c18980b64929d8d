"""What every recommender is given, and what it answers: fit, score, recommend, fold in a new user.

`Feedback` is all a model may learn from. A model is fitted once and then scores whole catalogues,
either for users it was fitted on (`score`) or for people it has never seen, from their histories
(`fold_in`). Most models compute a known user from their history in the very same way, so `score`
folds the user's own history in unless a model says otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training import metrics

I64 = npt.NDArray[np.int64]

SCORES_BYTES = 256 << 20  # of one block of scores in `recommend`


@dataclass(frozen=True)
class Feedback:
    """Who liked what, and what is known of users and items besides.

    likes: float32 CSR (n_users, n_items), > 0 where the user took to the item (1, or a weight).
    ratings: the same shape, explicit ratings, where there are any; a rated item need not be liked.
    times_ms: int64 CSR (n_users, n_items), the user's last event with the item, Unix milliseconds.
    places: int64 CSR with the cells of likes, > 0 and growing with the time of the user's last
    event with the item, or in file order where times are unknown; None where there is no order.
    users, items: one row a user or item, in matrix order, with the columns of the imported data
    (`hemline_training.data.schema`). content: float32 (n_items, d), unit norm, zeros where unknown.
    now_ms: the moment as of which is predicted; "recent" counts back from here.
    """

    likes: csr_matrix
    ratings: csr_matrix | None = None
    times_ms: csr_matrix | None = None
    places: csr_matrix | None = None
    users: pa.Table | None = field(default=None, repr=False)
    items: pa.Table | None = field(default=None, repr=False)
    content: F32 | None = field(default=None, repr=False)
    now_ms: int = 0

    def __post_init__(self) -> None:
        for name, rows, what in (
            ("ratings", self.ratings, "likes"),
            ("times_ms", self.times_ms, "likes"),
            ("places", self.places, "likes"),
        ):
            if rows is not None and rows.shape != self.likes.shape:
                raise InvalidInputError(name, f"is {rows.shape}, {what} is {self.likes.shape}")
        for name, found, wanted in (
            ("users", self.users, self.n_users),
            ("items", self.items, self.n_items),
            ("content", self.content, self.n_items),
        ):
            if found is not None and len(found) != wanted:
                raise InvalidInputError(name, f"{len(found)} rows, {wanted} are wanted")

    @property
    def n_users(self) -> int:
        return int(self.likes.shape[0])

    @property
    def n_items(self) -> int:
        return int(self.likes.shape[1])

    def of_users(self, users: npt.ArrayLike) -> Feedback:
        """The same for some of the users, in the order given; items stay as they are."""
        rows = np.asarray(users, dtype=np.int64)
        return replace(
            self,
            likes=self.likes[rows],
            ratings=None if self.ratings is None else self.ratings[rows],
            times_ms=None if self.times_ms is None else self.times_ms[rows],
            places=None if self.places is None else self.places[rows],
            users=None if self.users is None else self.users.take(pa.array(rows)),
        )

    def keeping(self, kept: csr_matrix) -> Feedback:
        """What was known when only `kept` of the likes were there: their times and places, too, and
        no ratings, which nothing ties to likes."""

        def of_kept(values: csr_matrix | None) -> csr_matrix | None:
            if values is None:
                return None
            return csr_matrix(csr_matrix(values.multiply(kept > 0)).astype(np.int64))

        return replace(
            self,
            likes=kept,
            ratings=None,
            times_ms=of_kept(self.times_ms),
            places=of_kept(self.places),
        )


class Recommender(ABC):
    """A model. `fit` keeps the feedback in `self.feedback`; seeds make it repeatable.

    losses: the mean training loss of each epoch; empty where a model is solved, not descended.
    """

    feedback: Feedback
    losses: Sequence[float] = ()

    def fit(self, feedback: Feedback) -> Self:
        """Learn from feedback. Raises InvalidInputError where it lacks what the model needs."""
        self.feedback = feedback
        self._fit(feedback)
        return self

    @abstractmethod
    def _fit(self, feedback: Feedback) -> None:
        """Learn; `self.feedback` is set."""

    @abstractmethod
    def fold_in(self, newcomers: Feedback) -> F32:
        """Scores float32 (newcomers.n_users, n_items) for people known by `newcomers` alone.

        Finite everywhere, higher is better, comparable within a row only. What a person already
        likes is scored like everything else. An empty history is a normal case.
        """

    def score(self, users: npt.ArrayLike) -> F32:
        """Scores float32 (len(users), n_items) for users of the fitted feedback; see `fold_in`."""
        return self.fold_in(self.feedback.of_users(users))

    def recommend(self, users: npt.ArrayLike, k: int, exclude: csr_matrix | None = None) -> I64:
        """The k best items of each user, best first, -1 where fewer are left; int64 (b, k).

        exclude: CSR (b, n_items), what not to show; without it, what the user likes or has rated.
        """
        users = np.asarray(users, dtype=np.int64)
        out = np.full((len(users), k), -1, dtype=np.int64)
        for part in blocks(len(users), self.feedback.n_items):
            scores = self.score(users[part])
            if exclude is not None:
                known = [exclude[part]]
            else:
                mine = self.feedback.of_users(users[part])
                known = [m for m in (mine.likes, mine.ratings) if m is not None]
            for matrix in known:
                scores[matrix.nonzero()] = -np.inf
            best = metrics.top_k(scores, k)
            out[part, : best.shape[1]] = best
        return out


def blocks(rows: int, columns: int, limit_bytes: int = SCORES_BYTES) -> Iterator[slice]:
    """Slices over `rows` such that a float32 block (slice, columns) stays within limit_bytes."""
    size = max(limit_bytes // (4 * max(columns, 1)), 1)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
