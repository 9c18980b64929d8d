"""Changes of live items, made up for tests."""

from __future__ import annotations

import dataclasses

import numpy as np

from hemline.catalogue import Item
from hemline.live_change import Change
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
    """An item with vectors drawn from a seed; one seed in three gives no photo, and one content
    alone, as of a caller that knows no better."""
    rng = np.random.default_rng(seed)
    item = Item(name, f"{name} {seed}", colour=colour, price=price, in_stock=stock)
    tenant = (None, "acme", "bolt")[seed % 7 % 3]
    item = dataclasses.replace(item, variant_group=group or name, tenant=tenant)
    content, tower, image, text = (
        normalise(rng.normal(size=dim)) for dim in (CLIP_DIM, TOWER_DIM, CLIP_DIM, CLIP_DIM)
    )
    return Change(
        name,
        item,
        content,
        tower,
        order,
        image=None if seed % 3 else image,
        text=None if seed % 3 == 2 else text,
    )
