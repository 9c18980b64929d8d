"""The global time split: what is known at a moment, and what the same users liked afterwards.

One clock for all users (Ji et al., "A Critical Study on Data Leakage in Recommender System Offline
Evaluation", TOIS 2023): a leave-one-out split would let a model learn from other people's future.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from hemline.blend import SEGMENTS
from hemline_training.interactions import I64, LIKED_GRADE, Histories, Interactions


@dataclass(frozen=True)
class TimeSplit:
    """train: before validation_ms; validation: until test_ms; test: until end_ms (exclusive)."""

    validation_ms: int
    test_ms: int
    end_ms: int


def split_by_time(log: Interactions, validation: float = 0.1, test: float = 0.1) -> TimeSplit:
    """Cut so that about these shares of all events lie in validation and test."""
    if len(log) == 0:
        raise ValueError("an empty log cannot be split")
    times = np.sort(log.occurred_ms)
    last = len(times) - 1
    return TimeSplit(
        validation_ms=int(times[int(last * (1 - validation - test))]),
        test_ms=int(times[int(last * (1 - test))]),
        end_ms=int(times[-1]) + 1,
    )


@dataclass(frozen=True)
class Cases:
    """One prediction to make per user: what is known of them, and what they went on to like.

    users int64 (c,); histories of the same users; targets (c, n_items), boolean CSR: the distinct
    items liked in the window and never touched before. Users without a target are no cases; users
    without a history are.
    """

    users: I64
    histories: Histories
    targets: csr_matrix

    def __len__(self) -> int:
        return len(self.users)

    @property
    def segments(self) -> I64:
        """int64 (c,): index into `hemline.blend.SEGMENTS`."""
        smallest = [size for _, size in SEGMENTS]
        return np.searchsorted(smallest, self.histories.known_items, side="right") - 1


def cases_at(
    log: Interactions, start_ms: int, end_ms: int, limit: int, most: int = 0, seed: int = 0
) -> Cases:
    """Cases as of start_ms, with the targets of start_ms <= t < end_ms.

    limit: longest history, in events. most: at most so many users, drawn at random (0: all).
    """
    known = log.before(start_ms)
    later = log.between(start_ms, end_ms)
    liked = later.select(later.grades >= LIKED_GRADE)
    shape = (len(log.user_ids), log.n_items)
    targets = csr_matrix((np.ones(len(liked), np.float32), (liked.users, liked.rows)), shape=shape)
    touched = csr_matrix((np.ones(len(known), np.float32), (known.users, known.rows)), shape=shape)
    targets = (targets > 0).astype(np.float32)
    targets = targets - targets.multiply(touched > 0)
    targets.eliminate_zeros()
    users = np.flatnonzero(np.diff(targets.tocsr().indptr))
    if most and len(users) > most:
        users = np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
    return Cases(users, known.histories(users, limit), targets.tocsr()[users])


def hold_out(
    likes: csr_matrix,
    share: float,
    seed: int,
    places: csr_matrix | None = None,
    most_users: int = 0,
) -> tuple[csr_matrix, csr_matrix]:
    """(kept, held) of a matrix: of every user with two likes or more this share, at least one.

    Drawn at random; with places (`Feedback.places`), the latest likes. most_users: take from so
    many users only (0: from all). A model that learns from what is kept then knows nearly as much
    of everybody else as one that will learn from everything; and the users are drawn such that what
    is left of their histories is about as long as everybody's are.
    """
    counts = np.diff(likes.indptr)
    owner = np.repeat(np.arange(likes.shape[0]), counts)
    drawn = np.random.default_rng(seed).random(likes.nnz) if places is None else -places.data
    place = np.empty(likes.nnz, dtype=np.int64)
    order = np.lexsort((drawn, owner))
    place[order] = np.arange(likes.nnz) - np.repeat(likes.indptr[:-1], counts)
    wanted = np.where(counts >= 2, np.maximum(np.round(counts * share), 1), 0)
    able = np.flatnonzero(wanted)
    if 0 < most_users < len(able):
        odds = _alike_in_length(counts, (counts - wanted)[able])
        drawn_users = np.random.default_rng(seed + 1).choice(able, most_users, False, odds)
        wanted[np.setdiff1d(able, drawn_users)] = 0
    held = place < np.repeat(wanted, counts)
    kept, out = likes.copy(), likes.copy()
    kept.data, out.data = likes.data * ~held, likes.data * held
    kept.eliminate_zeros()
    out.eliminate_zeros()
    return kept, out


def _alike_in_length(wanted: I64, found: I64) -> npt.NDArray[np.float64]:
    """float64 (len(found),): chances, summing to 1, of drawing lengths spread as `wanted` is."""
    edges = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 50, 100])
    bins = np.searchsorted(edges, found, side="right")
    many = len(edges) + 1
    share = np.bincount(np.searchsorted(edges, wanted, side="right"), minlength=many)
    odds = (np.maximum(share, 1e-3) / np.maximum(np.bincount(bins, minlength=many), 1))[bins]
    return np.asarray(odds / odds.sum())
