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
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hemline.changed_items import ChangedItems
from hemline.errors import InvalidInputError
from hemline.filters import Mask
from hemline.live_change import UNKNOWN, Change
from hemline.live_matching import CarriedMatches
from hemline.live_view import LiveView, grown
from hemline.releases import Release

I32 = npt.NDArray[np.int32]
A = TypeVar("A", bound=npt.NDArray[Any])

MAX_DEAD_SLOTS = 1024  # more of them than of live ones, and the slots are written anew
_NORM_OFF = 1e-3


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
        n = len(catalogue)
        self._left = np.empty(n, np.int32)  # rows of the release's items, as they change or go
        self._left_count = 0
        self.view = LiveView(
            release,
            0,
            self._item_ids,
            self._row_of,
            _frozen(np.ones(n, dtype=bool)),
            _frozen(np.full(n, UNKNOWN, dtype=np.int32)),
            catalogue.variant_group,
            self._left[:0],
            self._changed.columns(),
            CarriedMatches(catalogue),
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
        alive = grown(old.alive, rows, False)
        slot_of = grown(old.slot_of, rows, UNKNOWN)
        groups = grown(old.variant_group, rows, UNKNOWN)
        done = 0
        for item_id, change in newest.items():
            row = self._row_of.get(item_id)
            if row is None:  # deleted, and never seen
                continue
            if row < len(self._left) and alive[row] and slot_of[row] < 0:
                self._left[self._left_count] = row  # beyond what any view reads
                self._left_count += 1
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
            self._left[: self._left_count],
            self._changed.columns(),
            old._matches,
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


def _frozen(array: A) -> A:
    array.setflags(write=False)
    return array
