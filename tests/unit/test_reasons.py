"""Reasons stay true for items that nobody has touched yet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from hemline.contracts import Part
from hemline.gateway.reasons import reasons_for
from hemline.shopper import NEWCOMER, Shopper


@dataclass
class ShopOfTwins:
    """Two items of unlike content; the second is new and has the first for a twin."""

    item_content: np.ndarray = field(default_factory=lambda: np.eye(2, 4, dtype=np.float32))

    def untouched(self, rows: np.ndarray) -> np.ndarray:
        return rows == 1


def parts(strongest: str) -> dict[str, Part]:
    values = np.float32([1, 1])
    names = ("content", "cf", "popularity", "trending")
    return {n: Part(values, values * (2 if n == strongest else 1)) for n in names}


def shopper(profile: bool) -> Shopper:
    return replace(NEWCOMER, profile=np.ones(4, np.float32) if profile else None)


@pytest.mark.parametrize(
    ("profile", "strongest", "said"),
    [
        (False, "popularity", ["Popular with shoppers", "New in"]),
        (False, "trending", ["Trending now", "New in"]),
        (True, "cf", ["Shoppers with your taste like this", "New in"]),
        (True, "popularity", ["Popular with shoppers", "New in"]),
        (True, "content", ["Matches your style", "Matches your style"]),
    ],
)
def test_what_others_did_is_never_said_of_an_item_nobody_touched(profile, strongest, said):
    rows = np.int32([0, 1])
    found = reasons_for(np.arange(2), rows, parts(strongest), shopper(profile), ShopOfTwins())
    assert [reason.text for reason in found] == said
