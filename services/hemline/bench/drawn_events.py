"""Events as a shop's visitors make them: from many users at once, few items in most of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from hemline.bench.arrivals import Zipf
from hemline.bench.shoppers import KINDS, POPULARITY
from hemline.v1 import event_pb2


class DrawnEvents:
    """users: how many shoppers there are, each as active as any other.

    item_ids: of the release, most popular first. run_id: part of every user's id.
    """

    def __init__(
        self, item_ids: Sequence[str], users: int, run_id: str, rng: np.random.Generator
    ) -> None:
        self._item_ids = item_ids
        self._users = users
        self._run_id = run_id
        self._rng = rng
        self._popularity = Zipf(len(item_ids), POPULARITY, rng)

    def draw(self, count: int, spread_ms: int = 0) -> list[event_pb2.Event]:
        """Events without an id. spread_ms: they happened one after the other over this time until
        now; 0: when the gateway has them."""
        kinds, shares = zip(*KINDS, strict=True)
        columns = zip(
            self._rng.integers(0, self._users, count).tolist(),
            self._popularity.draw(count).tolist(),
            self._rng.choice(kinds, count, p=shares).tolist(),
            _times(count, spread_ms),
            strict=True,
        )
        return [
            event_pb2.Event(
                user_id=f"bench-{self._run_id}-{user:06d}",
                item_id=self._item_ids[rank],
                kind=kind,
                occurred_ms=occurred_ms,
            )
            for user, rank, kind, occurred_ms in columns
        ]


def _times(count: int, spread_ms: int) -> list[int]:
    if not spread_ms:
        return [0] * count
    now_ms = time.time_ns() // 1_000_000
    return [int(ms) for ms in np.linspace(now_ms - spread_ms, now_ms, count)]
