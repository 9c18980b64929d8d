"""The items of a release as they are now: what the release holds, and what changed since.

    release        immutable and mapped; rows 0 … n-1
    changes        newest state of the items that changed or came later (`ChangedItems`, by slot)
    alive          bool by row, False where an item was deleted

A row names an item for as long as the process serves the release: items that came later get the
next rows, and no row is ever given to another. `LiveItems.apply` writes a batch of changes and then
publishes a new `LiveView`. A reader takes the view once and sees nothing move under it, and neither
ever waits for the other: what is rewritten is copied first (a few bytes a row), what is large only
grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hemline.catalogue import Item
from hemline.changed_items import ChangedColumns, ChangedItems
from hemline.contracts import Space
from hemline.errors import InvalidInputError
from hemline.filters import Filter, FilterMasks, Mask, filter_mask
from hemline.releases import Release
from hemline.vector_rows import dots, dots_with_changes
from hemline.vectors import F32

I32 = npt.NDArray[np.int32]
A = TypeVar("A", bound=npt.NDArray[Any])
K = TypeVar("K")
V = TypeVar("V")

MAX_DEAD_SLOTS = 1024  # more of them than of live ones, and the slots are written anew
REMEMBERED = 256  # filters, by each view
UNKNOWN = -1
_NORM_OFF = 1e-3


@dataclass(frozen=True, eq=False)
class Change:
    """An item's new state; item None: it was deleted.

    content, tower: float32 (dim,), unit norm. image, text: the same, of its photo and its words
    alone; image None: it has no photo; text None: content stands for both. order: changes of one
    item with a smaller one are older and come to nothing; UNKNOWN: this one is the newest.
    """

    item_id: str
    item: Item | None
    content: F32 | None = None
    tower: F32 | None = None
    order: int = UNKNOWN
    image: F32 | None = None
    text: F32 | None = None

    def vectors(self) -> dict[Space, F32]:
        """In every space there may be."""
        assert self.content is not None and self.tower is not None
        image, text = self.image, self.text
        if text is None:
            image = text = self.content
        elif image is None:
            image = np.zeros_like(text)
        assert image is not None
        return {"tower": self.tower, "content": self.content, "image": image, "text": text}


@dataclass(frozen=True, eq=False)
class Matching:
    """What a filter lets through: of the release by mask, of what changed since by slot.

    base: bool (n,), read-only, False for all that changed. slots: int32 (m,).
    """

    base: Mask
    base_count: int
    slots: I32

    @property
    def count(self) -> int:
        return self.base_count + len(self.slots)


class Titles:
    """Titles by row: `titles[row]`."""

    def __init__(self, view: LiveView) -> None:  # not kept: a cycle would outlive its last reader
        self._slot_of = view.slot_of
        self._changed = view.changed.items
        self._released = view.release.catalogue.titles

    def __getitem__(self, row: int) -> str:
        slot = int(self._slot_of[row])
        return self._changed[slot].title if slot >= 0 else self._released[row]


class RowVectors:
    """Vectors by row, not to be written: `vectors[row]`, float32 (dim,), and `vectors[rows]`,
    float32 (m, dim)."""

    def __init__(self, base: F32, changed: F32, slot_of: I32) -> None:
        self._base = base
        self._changed = changed
        self._slot_of = slot_of
        self.shape = (len(slot_of), base.shape[1])

    def __getitem__(self, rows: npt.NDArray[np.integer] | int) -> F32:
        if isinstance(rows, int):
            slot = int(self._slot_of[rows])
            return np.asarray(self._changed[slot] if slot >= 0 else self._base[rows])
        slots = self._slot_of[rows]
        if not np.any(slots >= 0):
            return np.asarray(self._base[rows])
        last = max(len(self._base) - 1, 0)
        found = np.where(
            (slots >= 0)[..., None],
            self._changed[np.maximum(slots, 0)],
            self._base[np.minimum(rows, last)] if len(self._base) else np.float32(0),
        )
        return np.asarray(found, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class LiveView:
    """All items at one moment. Read-only; for any number of threads.

    It answers like the `Release`, and as its own `catalogue`, to whoever serves from one.

    number: how many views of the release came before. item_ids, row_of: shared by all views, so
    that they may know later rows as well. alive: bool (rows,). slot_of: int32 (rows,), -1 where the
    item is as the release has it. variant_group: int32 (rows,).
    """

    release: Release
    number: int
    item_ids: Sequence[str]
    row_of: Mapping[str, int]
    alive: Mask
    slot_of: I32
    variant_group: I32
    changed: ChangedColumns
    _base_masks: FilterMasks

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
        return Titles(self)

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
        return array if len(array) == len(self) else _grown(array, len(self), 0)

    def json(self, name: str) -> dict[str, Any]:
        return self.release.json(name)

    @cached_property
    def live_slots(self) -> Mask:
        """bool (m,): whether the slot holds the present state of an item that was not deleted."""
        rows = self.changed.rows
        here = np.arange(len(rows), dtype=np.int32)
        return np.asarray((self.slot_of[rows] == here) & self.alive[rows])

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
        found = self._matching.get(condition)
        if found is None:
            found = self._compute(condition)
            _remember(self._matching, condition, found)
        return found

    def mask(self, condition: Filter | None) -> Mask:
        """bool (rows,), read-only: the items that a filter lets through."""
        if self._untouched:
            return self._base_masks.mask(condition)
        found = self._masks.get(condition)
        if found is None:
            matching = self.matching(condition)
            found = np.zeros(len(self), dtype=bool)
            found[: len(matching.base)] = matching.base
            found[self.changed.rows[matching.slots]] = True
            found.setflags(write=False)
            _remember(self._masks, condition, found)
        return found

    @cached_property
    def _matching(self) -> dict[Filter | None, Matching]:
        return {}

    @cached_property
    def _masks(self) -> dict[Filter | None, Mask]:
        return {}

    @cached_property
    def _untouched(self) -> bool:
        return self.number == 0

    @cached_property
    def _as_released(self) -> Mask:
        n = len(self.release.catalogue)
        return np.asarray(self.alive[:n] & (self.slot_of[:n] < 0))

    def _compute(self, condition: Filter | None) -> Matching:
        base = self._base_masks.mask(condition)
        live = self.live_slots
        if not self._untouched:
            base = base & self._as_released
            base.setflags(write=False)
            if condition is not None:
                live = live & filter_mask(condition, self.changed)
        slots = np.flatnonzero(live).astype(np.int32)
        return Matching(base, int(np.count_nonzero(base)), slots)


class LiveItems:
    """The one writer of a release's live items; `view` may be read from any thread."""

    def __init__(self, release: Release) -> None:
        catalogue = release.catalogue
        self.release = release
        self._item_ids = list(catalogue.item_ids)
        self._row_of = dict(catalogue.row_of)
        self._orders: dict[str, int] = {}  # newest order of each item that changed
        self._group_of: dict[str, int] = {}
        self._changed = ChangedItems({s: release.vectors(s).shape[1] for s in release.spaces})
        self._used = 0  # slots that hold the newest state of an item, be it a deleted one
        masks = FilterMasks(catalogue)
        n = len(catalogue)
        self.view = LiveView(
            release,
            0,
            self._item_ids,
            self._row_of,
            _frozen(np.ones(n, dtype=bool)),
            _frozen(np.full(n, UNKNOWN, dtype=np.int32)),
            catalogue.variant_group,
            self._changed.columns(),
            masks,
        )

    @property
    def item_ids(self) -> Sequence[str]:
        """Ids by row."""
        return self._item_ids

    @property
    def row_of(self) -> Mapping[str, int]:
        """Rows by id, those of deleted items included."""
        return self._row_of

    def check(self, change: Change) -> None:
        """Raises InvalidInputError naming what of the change does not fit the release."""
        if change.item is None:
            return
        clip_dim = self.release.item_content.shape[1]
        for name, vector, dim, needed in (
            ("content_vector", change.content, clip_dim, True),
            ("tower_vector", change.tower, self.release.item_tower.shape[1], True),
            ("image_vector", change.image, clip_dim, False),
            ("text_vector", change.text, clip_dim, False),
        ):
            if vector is None and not needed:
                continue
            if vector is None or vector.shape != (dim,):
                shape = None if vector is None else vector.shape
                raise InvalidInputError(name, f"has shape {shape}, wanted ({dim},)")
            norm = math.sqrt(vector.dot(vector))
            if not abs(norm - 1.0) <= _NORM_OFF:  # NaN is not near 1 either
                raise InvalidInputError(name, f"has norm {norm:g}, wanted 1")

    def apply(self, changes: Sequence[Change]) -> int:
        """Make a batch of changes visible, all at once; how many items came or changed or went.

        Raises InvalidInputError, before anything changed, for vectors that do not fit.
        """
        for change in changes:
            self.check(change)
        newest = {change.item_id: change for change in changes if self._is_news(change)}
        if not newest:
            return 0
        for item_id, change in newest.items():
            if change.item is not None and item_id not in self._row_of:
                self._row_of[item_id] = len(self._item_ids)
                self._item_ids.append(item_id)
        old, rows = self.view, len(self._item_ids)
        alive = _grown(old.alive, rows, False)
        slot_of = _grown(old.slot_of, rows, UNKNOWN)
        groups = _grown(old.variant_group, rows, UNKNOWN)
        done = 0
        for item_id, change in newest.items():
            row = self._row_of.get(item_id)
            if row is None:  # deleted, and never seen
                continue
            done += change.item is not None or bool(alive[row])
            alive[row] = change.item is not None
            if change.item is not None:
                self._used += int(slot_of[row]) < 0
                slot_of[row] = self._changed.append(row, change.item, change.vectors())
                groups[row] = self._group(change.item.variant_group)
        self._publish(alive, slot_of, groups)
        return done

    def changes(self) -> list[Change]:
        """What it takes to get from the release to the present view, one change an item."""
        return self.later_changes()()

    def later_changes(self) -> Callable[[], list[Change]]:
        """What gives `changes` as they are now, later and in any thread: of many, it takes long."""
        view, orders = self.view, dict(self._orders)
        return lambda: _changes(view, orders)

    def _is_news(self, change: Change) -> bool:
        known = self._orders.get(change.item_id, UNKNOWN)
        if change.order == UNKNOWN:
            return True
        if change.order < known:
            return False
        self._orders[change.item_id] = change.order
        return True

    def _group(self, name: str) -> int:
        if not self._group_of:
            names = self.release.catalogue.variant_groups
            self._group_of = {name: code for code, name in enumerate(names)}
        return self._group_of.setdefault(name, len(self._group_of))

    def _publish(self, alive: Mask, slot_of: I32, groups: I32) -> None:
        count = self._changed.count
        if count - self._used > max(self._used, MAX_DEAD_SLOTS):
            rows = self._changed.rows[:count]
            kept = np.flatnonzero(slot_of[rows] == np.arange(count))
            self._changed = self._changed.only(kept)  # older views keep the others alive
            slot_of[rows[kept]] = np.arange(len(kept))
        old = self.view
        self.view = LiveView(
            self.release,
            old.number + 1,
            self._item_ids,
            self._row_of,
            _frozen(alive),
            _frozen(slot_of),
            _frozen(groups),
            self._changed.columns(),
            old._base_masks,
        )


def _changes(view: LiveView, orders: Mapping[str, int]) -> list[Change]:
    """orders: the newest of each item that changed."""
    found = []
    for row in np.flatnonzero((view.slot_of >= 0) | ~view.alive).tolist():
        item_id, slot = view.item_ids[row], int(view.slot_of[row])
        order = orders.get(item_id, UNKNOWN)
        if view.alive[row]:
            found.append(view.with_vectors_of(row, view.changed.items[slot], order))
        else:
            found.append(Change(item_id, None, order=order))
    gone = orders.keys() - {change.item_id for change in found}
    return found + [Change(item_id, None, order=orders[item_id]) for item_id in sorted(gone)]


def _grown(array: A, rows: int, fill: object) -> A:
    """A writable copy, longer by as many `fill`s as are missing."""
    grown = np.full(rows, fill, dtype=array.dtype)
    grown[: len(array)] = array
    return grown  # type: ignore[return-value]


Served = Release | LiveView  # what answers are made from


def _remember(answers: dict[K, V], question: K, answer: V) -> None:
    if len(answers) >= REMEMBERED:  # a stranger's filters must not fill the memory
        answers.clear()
    answers[question] = answer


def _frozen(array: A) -> A:
    array.setflags(write=False)
    return array
