"""Items that changed since a release was made: columns and vectors that only ever grow.

A change takes the next slot; the slot its item had before stays as it was. Whoever knows the first
m slots reads them undisturbed, however many are written after: slots are never rewritten, and
arrays grow by copying. What filters read is the same as of a `Catalogue`, so one `filter_mask`
serves both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hemline.catalogue import CODED, Item
from hemline.contracts import Space
from hemline.vectors import F32

A = TypeVar("A", bound=npt.NDArray[Any])

_CAPACITY = 256


class ChangedItems:
    """The slots. One writer; readers hold a `ChangedColumns` of the slots they know.

    dims: length of an item's vectors, by space.
    """

    def __init__(self, dims: Mapping[Space, int]) -> None:
        self.count = 0
        self.generation = object()  # tells these slots from those of another
        self.items: list[Item] = []
        self.rows = np.zeros(_CAPACITY, np.int32)  # of the item in each slot
        self.vectors: dict[Space, F32] = {
            space: np.zeros((_CAPACITY, dim), np.float32) for space, dim in dims.items()
        }
        self.price = np.zeros(_CAPACITY, np.float32)
        self.year = np.zeros(_CAPACITY, np.int16)
        self.in_stock = np.zeros(_CAPACITY, np.bool_)
        self.codes = np.zeros((len(CODED), _CAPACITY), np.int32)
        self.values: list[list[str]] = [[] for _ in CODED]
        self._code_of: list[dict[str, int]] = [{} for _ in CODED]

    def append(self, row: int, item: Item, vectors: Mapping[Space, F32]) -> int:
        """The slot that the item's new state takes. vectors: float32 (dim,), of every space."""
        slot = self.count
        if slot == len(self.rows):
            self._grow()
        self.items.append(item)
        self.rows[slot] = row
        for space, of_space in self.vectors.items():
            of_space[slot] = vectors[space]
        self.price[slot] = np.nan if item.price is None else item.price
        self.year[slot] = -1 if item.year is None else item.year
        self.in_stock[slot] = item.in_stock
        for place, name in enumerate(CODED):
            self.codes[place, slot] = self._code(place, getattr(item, name))
        self.count += 1
        return slot

    def columns(self) -> ChangedColumns:
        """The slots there are now."""
        m = self.count
        return ChangedColumns(
            generation=self.generation,
            items=self.items,
            rows=self.rows[:m],
            vectors={space: of_space[:m] for space, of_space in self.vectors.items()},
            price=self.price[:m],
            year=self.year[:m],
            in_stock=self.in_stock[:m],
            all_codes=self.codes[:, :m],
            all_values=self.values,
        )

    def only(self, slots: npt.NDArray[np.intp]) -> ChangedItems:
        """Others that hold these slots alone, in their order, from 0 on."""
        kept = ChangedItems({space: of.shape[1] for space, of in self.vectors.items()})
        count = kept.count = len(slots)
        room = max(_CAPACITY, count + count // 2)
        kept.items = [self.items[slot] for slot in slots.tolist()]
        for name in ("rows", "price", "year", "in_stock"):
            setattr(kept, name, _with_room(getattr(self, name)[slots], room))
        kept.vectors = {space: _with_room(of[slots], room) for space, of in self.vectors.items()}
        kept.codes = np.zeros((len(CODED), room), np.int32)
        for place, values in enumerate(self.values):
            used, codes = np.unique(self.codes[place, slots], return_inverse=True)
            unknown = int(used.size > 0 and used[0] < 0)
            kept.codes[place, :count] = codes - unknown
            kept.values[place] = [values[code] for code in used[unknown:].tolist()]
            kept._code_of[place] = {value: code for code, value in enumerate(kept.values[place])}
        return kept

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
        for name in ("rows", "price", "year", "in_stock"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        self.vectors = {
            space: np.concatenate([old, np.zeros_like(old)]) for space, old in self.vectors.items()
        }
        self.codes = np.concatenate([self.codes, np.zeros_like(self.codes)], axis=1)


def _with_room(array: A, room: int) -> A:
    grown = np.zeros((room, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class ChangedColumns:
    """The first m slots; `hemline.filters.Columns`.

    generation: the same for all that share their slots. items: of each slot (later ones may
    follow). rows: int32 (m,). vectors: by space, float32 (m, dim). price, year, in_stock: (m,), as
    in `Catalogue`.
    """

    generation: object
    items: Sequence[Item]
    rows: npt.NDArray[np.int32]
    vectors: Mapping[Space, F32]
    price: npt.NDArray[np.float32]
    year: npt.NDArray[np.int16]
    in_stock: npt.NDArray[np.bool_]
    all_codes: npt.NDArray[np.int32]
    all_values: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def since(self, slot: int) -> LaterColumns:
        """This slot and those after it, as filters look at them."""
        return LaterColumns(self, slot)

    def codes(self, attribute: str) -> npt.NDArray[np.int32]:
        """int32 (m,): places in `values(attribute)`, -1 where unknown."""
        return np.asarray(self.all_codes[CODED.index(attribute)])

    def values(self, attribute: str) -> Sequence[str]:
        """The attribute's distinct values; later slots may add some."""
        return self.all_values[CODED.index(attribute)]


@dataclass(frozen=True, eq=False)
class LaterColumns:
    """Some slot and those after it; `hemline.filters.Columns`, cut off where they are looked at."""

    of: ChangedColumns
    slot: int

    def __len__(self) -> int:
        return len(self.of) - self.slot

    def codes(self, attribute: str) -> npt.NDArray[np.int32]:
        return self.of.codes(attribute)[self.slot :]

    def values(self, attribute: str) -> Sequence[str]:
        return self.of.values(attribute)

    @property
    def price(self) -> npt.NDArray[np.float32]:
        return self.of.price[self.slot :]

    @property
    def year(self) -> npt.NDArray[np.int16]:
        return self.of.year[self.slot :]

    @property
    def in_stock(self) -> npt.NDArray[np.bool_]:
        return self.of.in_stock[self.slot :]
