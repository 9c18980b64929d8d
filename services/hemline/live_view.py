"""All items of a release at one moment: what answers are made from while changes go on coming.

A reader takes a view once and sees nothing move under it; `LiveItems` publishes the next one. What
the release holds is read from the release, the newest states of what changed from their slots in
`ChangedColumns`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hemline.catalogue import Item
from hemline.changed_items import ChangedColumns
from hemline.contracts import Space
from hemline.filters import Filter, Mask
from hemline.live_change import Change
from hemline.live_columns import RowVectors, Titles
from hemline.live_matching import CarriedMatches, Matching, remember
from hemline.releases import Release
from hemline.vector_rows import dots, dots_with_changes
from hemline.vectors import F32

I32 = npt.NDArray[np.int32]
A = TypeVar("A", bound=npt.NDArray[Any])


@dataclass(frozen=True, eq=False)
class LiveView:
    """All items at one moment. Read-only; for any number of threads.

    It answers like the `Release`, and as its own `catalogue`, to whoever serves from one.

    number: how many views of the release came before. item_ids, row_of: shared by all views, so
    that they may know later rows as well. alive: bool (rows,). slot_of: int32 (rows,), -1 where the
    item is as the release has it. variant_group: int32 (rows,). left: int32, the rows of the
    release's items that changed or were deleted, in the order in which it happened first.
    """

    release: Release
    number: int
    item_ids: Sequence[str]
    row_of: Mapping[str, int]
    alive: Mask
    slot_of: I32
    variant_group: I32
    left: I32
    changed: ChangedColumns
    _matches: CarriedMatches

    def __len__(self) -> int:
        """How many rows there are, those of deleted items included."""
        return len(self.alive)

    @property
    def id(self) -> str:
        return self.release.id

    @property
    def version(self) -> int:
        return self.release.version

    @property
    def encoder_id(self) -> str:
        return self.release.encoder_id

    @property
    def catalogue(self) -> LiveView:
        return self

    @cached_property
    def titles(self) -> Titles:
        return Titles(self.release.catalogue.titles, self.changed.items, self.slot_of)

    @cached_property
    def item_content(self) -> F32 | RowVectors:
        """Content vectors by row, unit norm."""
        return self.vectors("content")

    def untouched(self, rows: npt.NDArray[np.integer]) -> Mask:
        """As the release's."""
        return self.release.untouched(rows)

    def vectors(self, space: Space) -> F32 | RowVectors:
        """By row, unit norm; of the space "image" 0 without a photo. Raises ReleaseError for a
        space that the release was made without."""
        of_release = self.release.vectors(space)
        if self._untouched:
            return of_release
        return RowVectors(of_release, self.changed.vectors[space], self.slot_of)

    def dots(self, space: Space, rows: I32, vector: F32) -> F32:
        """`vectors(space)[rows] @ vector`: float32 (m,), at a third of its cost."""
        of_release = self.release.vectors(space)
        if self._untouched:
            return dots(of_release, rows, vector)
        return dots_with_changes(
            of_release, self.changed.vectors[space], self.slot_of, rows, vector
        )

    def with_vectors_of(self, row: int, item: Item, order: int) -> Change:
        """The item of a row in a new state, with the vectors that it has."""
        found = {space: self.vectors(space)[row] for space in self.release.spaces}
        image, text = found.get("image"), found.get("text")
        if image is not None and not image.any():
            image = None
        content, tower = found["content"], found["tower"]
        return Change(item.item_id, item, content, tower, order, image, text)

    def array(self, name: str) -> npt.NDArray[Any]:
        """An array of the release, one entry a row; 0 for items that came later."""
        array: npt.NDArray[Any] = self.release.array(name)
        return array if len(array) == len(self) else grown(array, len(self), 0)

    def json(self, name: str) -> dict[str, Any]:
        return self.release.json(name)

    @cached_property
    def count(self) -> int:
        """How many items there are."""
        return int(np.count_nonzero(self.alive))

    def row(self, item_id: str) -> int | None:
        """The row of an item that is there, deleted ones excepted."""
        row = self.row_of.get(item_id)
        return row if row is not None and row < len(self) and self.alive[row] else None

    def item(self, row: int) -> Item:
        """The newest state of the item; of a deleted one, the last. Raises IndexError."""
        slot = int(self.slot_of[row])
        return self.changed.items[slot] if slot >= 0 else self.release.catalogue.item(row)

    def tenant(self, row: int) -> str | None:
        """Whose the item of a row is; None: everybody's. Of a deleted one, whose it was."""
        slot = int(self.slot_of[row])
        if slot >= 0:
            return self.changed.items[slot].tenant
        catalogue = self.release.catalogue
        code = int(catalogue.codes("tenant")[row])
        return catalogue.values("tenant")[code] if code >= 0 else None

    def matching(self, condition: Filter | None) -> Matching:
        """What a filter lets through; it must have passed `check_filter`."""
        return self._matches.matching(condition, self)

    def mask(self, condition: Filter | None) -> Mask:
        """bool (rows,), read-only: the items that a filter lets through."""
        if self._untouched:
            return self._matches.released(condition)
        found = self._masks.get(condition)
        if found is None:
            matching = self.matching(condition)
            found = np.zeros(len(self), dtype=bool)
            found[: len(matching.base)] = matching.base
            found[self.changed.rows[matching.slots]] = True
            found.setflags(write=False)
            remember(self._masks, condition, found)
        return found

    @cached_property
    def _masks(self) -> dict[Filter | None, Mask]:
        return {}

    @cached_property
    def _untouched(self) -> bool:
        return self.number == 0


Served = Release | LiveView  # what answers are made from


def grown(array: A, rows: int, fill: object) -> A:
    """A writable copy, longer by as many `fill`s as are missing."""
    copy = np.full(rows, fill, dtype=array.dtype)
    copy[: len(array)] = array
    return copy  # type: ignore[return-value]
