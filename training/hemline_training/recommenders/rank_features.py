"""What the second stage sees of a (user, candidate) pair: each first stage's opinion, the user, the
item, and how the two go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags

from hemline.vectors import F32, normalise
from hemline_training import metrics
from hemline_training.recommenders.base import I64, Feedback
from hemline_training.recommenders.blended import standardise
from hemline_training.recommenders.neighbourhood import attribute_matrix
from hemline_training.recommenders.tower_features import USER_NUMBERS, Events, ItemFeatures

CROSS = ("content cosine", "attributes shared", "price against the history's")


@dataclass(frozen=True)
class Candidates:
    """users int64 (p,), places in the users asked for, ascending; items int64 (p,); first float32
    (p,), the mean of the standardised first-stage scores; features float32 (p, f)."""

    users: I64
    items: I64
    first: F32
    features: F32


@dataclass(frozen=True)
class RankFeatures:
    """The catalogue's side of the features, computed once a fit."""

    items: ItemFeatures
    described: csr_matrix  # (n_items, attribute values), unit rows
    content: F32 | None

    @classmethod
    def of(cls, feedback: Feedback) -> RankFeatures:
        described = attribute_matrix(feedback.items, feedback.n_items)
        size = np.sqrt(np.maximum(np.asarray(described.sum(axis=1)).ravel(), 1))
        return cls(
            ItemFeatures.of(feedback), (diags(1 / size) @ described).tocsr(), feedback.content
        )

    def candidates(self, scores: Mapping[str, F32], histories: Feedback, each: int) -> Candidates:
        """The `each` best of every first stage that the user does not have, and their features.

        scores: name -> float32 (b, n_items), consumed; histories: of the same b users. Features in
        this order: of each first stage the standardised score and 1 / rank, USER_NUMBERS of the
        user, ITEM_NUMBERS of the item, CROSS.
        """
        likes = histories.likes
        chosen = np.zeros(likes.shape, dtype=bool)
        best = {}
        for name, part in scores.items():
            standardise(part, likes)
            part[likes.nonzero()] = -np.inf
            best[name] = metrics.top_k(part, each)
            rows, ranks = np.nonzero(best[name] >= 0)
            chosen[rows, best[name][rows, ranks]] = True
        users, items = (side.astype(np.int64) for side in np.nonzero(chosen))
        columns = []
        for name, part in scores.items():
            rank = np.zeros(chosen.shape, dtype=np.float32)
            rows, ranks = np.nonzero(best[name] >= 0)
            rank[rows, best[name][rows, ranks]] = 1 / (1 + ranks)
            columns += [part[users, items], rank[users, items]]
        first = np.asarray(np.mean(columns[::2], axis=0), dtype=np.float32)
        events = Events.of(histories).histories(np.arange(histories.n_users), limit=1_000)
        numbers = events.numbers(self.items.prices, histories.now_ms)
        features = np.column_stack(
            [*columns, numbers[users], self.items.numbers[items], self._cross(users, items, likes)]
        )
        return Candidates(users, items, first, np.asarray(features, dtype=np.float32))

    def _cross(self, users: I64, items: I64, likes: csr_matrix) -> F32:
        out = np.zeros((len(users), len(CROSS)), dtype=np.float32)
        taken = (likes > 0).astype(np.float32)
        if self.content is not None:
            profiles = normalise(taken @ self.content)
            out[:, 0] = np.einsum("pd,pd->p", profiles[users], self.content[items])
        if self.described.shape[1]:
            habits = normalise((taken @ self.described).toarray())
            out[:, 1] = np.asarray(
                self.described[items].multiply(habits[users]).sum(axis=1)
            ).ravel()
        known = (~np.isnan(self.items.prices)).astype(np.float32)
        log_price = np.log1p(np.nan_to_num(self.items.prices))
        usual = (taken @ (known * log_price)) / np.maximum(taken @ known, 1)
        priced = (known[items] > 0) & ((taken @ known)[users] > 0)
        out[:, 2] = np.where(priced, log_price[items] - usual[users], 0)
        return out


def names_of(parts: Mapping[str, object]) -> list[str]:
    """The names of the features, in their order, for reports."""
    stages = [f"{name} {what}" for name in parts for what in ("score", "1/rank")]
    numbers = ["events", "spend", "prices known", "recency", "events of 30 days"]
    assert len(numbers) == USER_NUMBERS
    item = ["price", "price in its kind", "price missing", "popularity"]
    return [*stages, *numbers, *item, *CROSS]
