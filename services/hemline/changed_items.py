"""Items that changed since a release was made: columns and vectors that only ever grow.

A change takes the next slot; the slot its item had before stays as it was. Whoever knows the first
m slots reads them undisturbed, however many are written after: slots are never rewritten, and
arrays grow by copying. What filters read is the same as of a `Catalogue`, so one `filter_mask`
serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline.catalogue import ATTRIBUTES, Item
from hemline.vectors import F32

_CAPACITY = 256


class ChangedItems:
    """The slots. One writer; readers hold a `ChangedColumns` of the slots they know.

    content_dim, tower_dim: length of an item's vectors.
    """

    def __init__(self, content_dim: int, tower_dim: int) -> None:
        self.count = 0
        self.items: list[Item] = []
        self.rows = np.zeros(_CAPACITY, np.int32)  # of the item in each slot
        self.content = np.zeros((_CAPACITY, content_dim), np.float32)
        self.tower = np.zeros((_CAPACITY, tower_dim), np.float32)
        self.price = np.zeros(_CAPACITY, np.float32)
        self.year = np.zeros(_CAPACITY, np.int16)
        self.in_stock = np.zeros(_CAPACITY, np.bool_)
        self.codes = np.zeros((len(ATTRIBUTES), _CAPACITY), np.int32)
        self.values: list[list[str]] = [[] for _ in ATTRIBUTES]
        self._code_of: list[dict[str, int]] = [{} for _ in ATTRIBUTES]

    def append(self, row: int, item: Item, content: F32, tower: F32) -> int:
        """The slot that the item's new state takes. content, tower: float32, unit norm."""
        slot = self.count
        if slot == len(self.rows):
            self._grow()
        self.items.append(item)
        self.rows[slot] = row
        self.content[slot], self.tower[slot] = content, tower
        self.price[slot] = np.nan if item.price is None else item.price
        self.year[slot] = -1 if item.year is None else item.year
        self.in_stock[slot] = item.in_stock
        for place, name in enumerate(ATTRIBUTES):
            self.codes[place, slot] = self._code(place, getattr(item, name))
        self.count += 1
        return slot

    def columns(self) -> ChangedColumns:
        """The slots there are now."""
        m = self.count
        return ChangedColumns(
            items=self.items,
            rows=self.rows[:m],
            content=self.content[:m],
            tower=self.tower[:m],
            price=self.price[:m],
            year=self.year[:m],
            in_stock=self.in_stock[:m],
            all_codes=self.codes[:, :m],
            all_values=self.values,
        )

    def _code(self, place: int, value: str | None) -> int:
        if value is None:
            return -1
        code = self._code_of[place].get(value)
        if code is None:
            code = self._code_of[place][value] = len(self.values[place])
            self.values[place].append(value)
        return code

    def _grow(self) -> None:
        """Copies, because readers hold views of the present arrays."""
        for name in ("rows", "content", "tower", "price", "year", "in_stock"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        self.codes = np.concatenate([self.codes, np.zeros_like(self.codes)], axis=1)


@dataclass(frozen=True, eq=False)
class ChangedColumns:
    """The first m slots; `hemline.filters.Columns`.

    items: the item of each slot (later ones may follow). rows: int32 (m,). content, tower:
    float32 (m, dim). price, year, in_stock: (m,), as in `Catalogue`.
    """

    items: Sequence[Item]
    rows: npt.NDArray[np.int32]
    content: F32
    tower: F32
    price: npt.NDArray[np.float32]
    year: npt.NDArray[np.int16]
    in_stock: npt.NDArray[np.bool_]
    all_codes: npt.NDArray[np.int32]
    all_values: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def codes(self, attribute: str) -> npt.NDArray[np.int32]:
        """int32 (m,): places in `values(attribute)`, -1 where unknown."""
        return np.asarray(self.all_codes[ATTRIBUTES.index(attribute)])

    def values(self, attribute: str) -> Sequence[str]:
        """The attribute's distinct values; later slots may add some."""
        return self.all_values[ATTRIBUTES.index(attribute)]
