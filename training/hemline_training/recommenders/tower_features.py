"""What the two towers are told of a user and of an item, beside the content vectors.

A user: how much they did, what they spent, how lately, and who they are. An item: its attribute
values, its price as such and within its article type, and how many like it. Histories are ragged:
flat arrays of events with the example each belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hemline.vectors import F32
from hemline_training.interactions import ranges
from hemline_training.recommenders.base import I64, Feedback
from hemline_training.recommenders.neighbourhood import attribute_matrix

MS_PER_DAY = 86_400_000
RECENT_DAYS = 30.0
DEMOGRAPHICS = ("age_group", "gender")
USER_NUMBERS = 5
ITEM_NUMBERS = 4


@dataclass(frozen=True)
class Events:
    """Everybody's likes, by user and, within a user, oldest first where times are known.

    indptr int64 (users + 1,); items int64 (e,); weights float32 (e,); times_ms int64 (e,), 0 where
    unknown.
    """

    indptr: I64
    items: I64
    weights: F32
    times_ms: I64

    @classmethod
    def of(cls, feedback: Feedback) -> Events:
        likes = feedback.likes.tocsr().sorted_indices()
        positive = likes.data > 0
        users = np.repeat(np.arange(likes.shape[0]), np.diff(likes.indptr))[positive]
        items = likes.indices[positive].astype(np.int64)
        times = np.zeros(len(items), dtype=np.int64)
        if feedback.times_ms is not None and len(items):
            found: Any = feedback.times_ms.tocsr()[users, items]
            times = np.asarray(found, dtype=np.int64).ravel()
        order = np.lexsort((items, times, users))
        indptr = np.searchsorted(users[order], np.arange(likes.shape[0] + 1))
        weights = likes.data[positive][order].astype(np.float32)
        return cls(indptr.astype(np.int64), items[order], weights, times[order])

    @cached_property
    def users(self) -> I64:
        """int64 (e,): whose event it is."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    @cached_property
    def until(self) -> I64:
        """int64 (e,): one past the user's last event of the same moment (of all, without times)."""
        changes = (np.diff(self.users) != 0) | (np.diff(self.times_ms) != 0)
        ends = np.flatnonzero(np.append(changes, True)) + 1
        return ends[np.searchsorted(ends, np.arange(len(self.items)), side="right")]

    def histories(self, users: I64, limit: int) -> Histories:
        """The newest `limit` events of each of the users, int64 (b,)."""
        starts, ends = self.indptr[users], self.indptr[users + 1]
        take, indptr = ranges(np.maximum(starts, ends - limit), ends)
        owner = np.repeat(np.arange(len(users)), np.diff(indptr))
        return self._taken(take, owner, np.zeros(len(users), dtype=np.int64))

    def before(self, targets: I64, limit: int) -> Histories:
        """What each target's user had done by then: events of the same moment or earlier, but not
        the target itself. targets: int64 (b,), events.
        """
        starts, ends = self.indptr[self.users[targets]], self.until[targets]
        take, indptr = ranges(np.maximum(starts, ends - limit - 1), ends)
        owner = np.repeat(np.arange(len(targets)), np.diff(indptr))
        others = take != targets[owner]
        return self._taken(take[others], owner[others], self.times_ms[targets])

    def _taken(self, take: I64, owner: I64, now_ms: I64) -> Histories:
        return Histories(
            len(now_ms), owner, self.items[take], self.weights[take], self.times_ms[take], now_ms
        )


@dataclass(frozen=True)
class Histories:
    """count histories: owner int64 (t,), items int64 (t,), weights float32 (t,), times_ms int64
    (t,); now_ms int64 (count,), the moment each is looked at, 0 where unknown."""

    count: int
    owner: I64
    items: I64
    weights: F32
    times_ms: I64
    now_ms: I64

    def numbers(self, prices: F32, now_ms: int = 0) -> F32:
        """float32 (count, USER_NUMBERS): log(1 + events), log(1 + spend), share of prices known,
        e^(-age of the newest event / 30 days), log(1 + events of the last 30 days).

        prices: float32 (n_items,), NaN unknown. now_ms: used where a history has no moment itself.
        The last two are 0 without times.
        """
        out = np.zeros((self.count, USER_NUMBERS), dtype=np.float32)
        events = np.bincount(self.owner, minlength=self.count)
        price = prices[self.items]
        out[:, 0] = np.log1p(events)
        out[:, 1] = np.log1p(np.bincount(self.owner, np.nan_to_num(price), self.count))
        priced = np.bincount(self.owner, ~np.isnan(price), self.count)
        out[:, 2] = priced / np.maximum(events, 1)
        now = np.where(self.now_ms > 0, self.now_ms, now_ms)
        if len(self.owner) and self.times_ms.any():
            age = np.maximum(now[self.owner] - self.times_ms, 0) / MS_PER_DAY
            youngest = np.full(self.count, np.inf)
            np.minimum.at(youngest, self.owner, age)
            out[:, 3] = np.exp(-youngest / RECENT_DAYS)
            out[:, 4] = np.log1p(np.bincount(self.owner, age <= RECENT_DAYS, self.count))
        return out


@dataclass(frozen=True)
class ItemFeatures:
    """numbers: float32 (n, ITEM_NUMBERS), standardised. prices: float32 (n,), NaN unknown.
    indptr, values: each item's attribute values, ragged; n_values: how many there are."""

    numbers: F32
    prices: F32
    indptr: I64
    values: I64
    n_values: int

    @classmethod
    def of(cls, feedback: Feedback) -> ItemFeatures:
        n, table = feedback.n_items, feedback.items
        prices = np.full(n, np.nan, dtype=np.float32)
        kinds: list[str | None] = [None] * n
        if table is not None and "price" in table.column_names:
            prices = np.array([np.nan if p is None else p for p in table["price"].to_pylist()])
        if table is not None and "article_type" in table.column_names:
            kinds = table["article_type"].to_pylist()
        log_price = np.log1p(np.maximum(prices, 0))
        numbers = np.zeros((n, ITEM_NUMBERS), dtype=np.float32)
        numbers[:, 0] = standardised(log_price)
        numbers[:, 1] = within_groups(log_price, kinds)
        numbers[:, 2] = np.isnan(prices)
        liked = np.bincount((feedback.likes > 0).indices, minlength=n)
        numbers[:, 3] = standardised(np.log1p(liked))
        described = attribute_matrix(table, n).tocsr()
        return cls(
            numbers,
            prices.astype(np.float32),
            described.indptr.astype(np.int64),
            described.indices.astype(np.int64),
            described.shape[1],
        )


def demographics(feedback: Feedback, known: dict[tuple[str, str], int], learn: bool) -> I64:
    """int64 (users, len(DEMOGRAPHICS)): numbers of each user's segments, 0 for unknown.

    known: (column, value) -> number from 1 on; grows when `learn`.
    """
    out = np.zeros((feedback.n_users, len(DEMOGRAPHICS)), dtype=np.int64)
    table = feedback.users
    for column, name in enumerate(DEMOGRAPHICS):
        if table is None or name not in table.column_names:
            continue
        for row, value in enumerate(table[name].to_pylist()):
            if value is not None:
                if learn:
                    known.setdefault((name, str(value)), len(known) + 1)
                out[row, column] = known.get((name, str(value)), 0)
    return out


def standardised(values: npt.NDArray[np.floating]) -> F32:
    """To mean 0 and deviation 1 over what is known; 0 where unknown (NaN) or all are equal."""
    known = ~np.isnan(values)
    if not known.any():
        return np.zeros(len(values), dtype=np.float32)
    mean, deviation = values[known].mean(), values[known].std()
    scaled = (values - mean) / (deviation if deviation > 0 else 1.0)
    return np.asarray(np.nan_to_num(scaled), dtype=np.float32)


def within_groups(values: npt.NDArray[np.floating], groups: list[str | None]) -> F32:
    """`standardised` within each group: dear or cheap for its kind."""
    out = np.zeros(len(values), dtype=np.float32)
    names, group = np.unique([name or "" for name in groups], return_inverse=True)
    for number in range(len(names)):
        members = np.flatnonzero(group == number)
        out[members] = standardised(values[members])
    return out
