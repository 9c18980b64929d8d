"""Changes of live items, made up for tests."""

from __future__ import annotations

import dataclasses

import numpy as np

from hemline.catalogue import Item
from hemline.live_items import Change
from hemline.vectors import normalise
from small_world import CLIP_DIM, TOWER_DIM


def new_state(
    name: str,
    colour: str | None = "Red",
    price: float | None = 5.0,
    stock: bool = True,
    group: str = "",
    seed: int = 0,
    order: int = -1,
) -> Change:
    """An item with vectors drawn from a seed."""
    rng = np.random.default_rng(seed)
    item = Item(name, f"{name} {seed}", colour=colour, price=price, in_stock=stock)
    item = dataclasses.replace(item, variant_group=group or name)
    return Change(
        name,
        item,
        normalise(rng.normal(size=CLIP_DIM)),
        normalise(rng.normal(size=TOWER_DIM)),
        order,
    )
