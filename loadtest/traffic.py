"""Who does what: shoppers by Zipf's law with newcomers among them, and the mix of their calls.

What a shopper clicks on, looks for or searches comes from an answer that was given before, so that
nothing of the catalogue need be known here.
"""

from __future__ import annotations

import random
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hemline.bench.arrivals import Zipf
from hemline.v1 import common_pb2

T = TypeVar("T")

# Shares of the calls: visits, and what visitors do with what they are shown.
MIX = {"Recommend": 0.60, "RecordEvent": 0.25, "SimilarItems": 0.10, "Search": 0.05}
KINDS = {
    common_pb2.EVENT_KIND_VIEW: 0.50,
    common_pb2.EVENT_KIND_CLICK: 0.30,
    common_pb2.EVENT_KIND_WISH: 0.05,
    common_pb2.EVENT_KIND_BAG: 0.10,
    common_pb2.EVENT_KIND_PURCHASE: 0.05,
}
REMEMBERED_ANSWERS = 1000


@dataclass(frozen=True)
class Shown:
    """An answer that somebody has on the screen; items in its order."""

    user_id: str
    request_id: str
    items: Sequence[common_pb2.Item]


@dataclass(frozen=True)
class Act:
    """One call. item, position (1 for the first) and kind are set where the call needs them."""

    call: str
    user_id: str
    item: common_pb2.Item | None = None
    position: int = 0
    kind: common_pb2.EventKind = common_pb2.EVENT_KIND_UNSPECIFIED
    request_id: str = ""

    @property
    def search_text(self) -> str:
        """What somebody would type who wants such an item, e.g. "red dresses"."""
        if self.item is None:
            return ""
        words = f"{self.item.colour} {self.item.article_type}".split()
        return " ".join(words or self.item.title.split()[-2:]).lower()


class Traffic:
    """Decides each arrival's call. Not thread-safe; greenlets of one sender share it."""

    def __init__(self, shoppers: int, newcomers: float, rng: np.random.Generator) -> None:
        """shoppers: how many come back, the first ones most often. newcomers: share of the visits
        that are by somebody nobody has seen, 0 to 1."""
        self._random = random.Random(int(rng.integers(2**63)))  # much faster for one at a time
        self._newcomers = newcomers
        self._returning = Zipf(shoppers, 1.0, rng)
        self._shown: deque[Shown] = deque(maxlen=REMEMBERED_ANSWERS)

    def next(self) -> Act:
        """What the next arrival does; a visit as long as no answer is known to act upon."""
        call = self._one_of(MIX)
        if call == "Recommend" or not self._shown:
            return Act("Recommend", self._visitor())
        shown = self._random.choice(self._shown)
        # People look at the first items most: the chance falls as 1 / position.
        positions = range(1, len(shown.items) + 1)
        position = self._one_of({position: 1 / position for position in positions})
        item, kind = shown.items[position - 1], self._one_of(KINDS)
        return Act(call, shown.user_id, item, position, kind, shown.request_id)

    def saw(self, shown: Shown) -> None:
        """Remember an answer, in place of the oldest one."""
        if shown.items:
            self._shown.append(shown)

    def _visitor(self) -> str:
        if self._random.random() < self._newcomers:
            return f"load-new-{uuid.uuid4().hex[:16]}"
        return f"load-{int(self._returning.draw(1)[0]):06d}"

    def _one_of(self, chances: Mapping[T, float]) -> T:
        return self._random.choices(list(chances), list(chances.values()))[0]
