"""What filters let through, carried from one view of live items to the next.

Over a whole release a filter is worked out once. From then on a view differs from the one before by
a few items, and so does the answer: of the release's mask the bits of items that left it since are
cleared, of the slots those that are no item's newest state any more are dropped, and only slots
that came since are shown to the filter. After each ten changes this takes half the processor time
of working out everything anew at a million items, and 0.7 to 1 of it at 43,941, where most of both
is Python whose data has left the caches.

A view that is older than the newest answer starts from the release's mask: carrying leads forward
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hemline.changed_items import ChangedColumns
from hemline.compiled import compiled, read
from hemline.filters import Columns, Filter, FilterMasks, Mask, filter_mask

I32 = npt.NDArray[np.int32]
K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 256  # filters
_NO_SLOTS = np.zeros(0, np.int32)


class Moment(Protocol):
    """What a `LiveView` knows of its moment; see there."""

    @property
    def number(self) -> int: ...
    @property
    def alive(self) -> Mask: ...
    @property
    def slot_of(self) -> I32: ...
    @property
    def left(self) -> I32: ...
    @property
    def changed(self) -> ChangedColumns: ...


@dataclass(frozen=True, eq=False)
class Matching:
    """What a filter lets through: of the release by mask, of what changed since by slot.

    base: bool (n,), read-only, False for all that changed. slots: int32 (m,), ascending.
    """

    base: Mask
    base_count: int
    slots: I32

    @property
    def count(self) -> int:
        return self.base_count + len(self.slots)


@dataclass(frozen=True, eq=False)
class _Known:
    """An answer, and what had happened by then: how many items had left the release, and how many
    slots of which generation there were."""

    number: int
    matching: Matching
    left: int
    generation: object
    slots: int


class CarriedMatches:
    """The newest answers to recent filters, of one release; for any number of threads."""

    def __init__(self, catalogue: Columns) -> None:
        self._released = FilterMasks(catalogue)
        self._newest: dict[Filter | None, _Known] = {}

    def released(self, condition: Filter | None) -> Mask:
        """bool (n,), read-only: what the filter lets through of the release as it was made."""
        return self._released.mask(condition)

    def matching(self, condition: Filter | None, moment: Moment) -> Matching:
        """What a filter lets through at a moment; it must have passed `check_filter`."""
        newest = self._newest.get(condition)
        if newest is not None and newest.number == moment.number:
            return newest.matching
        known = newest
        if known is None or known.number > moment.number:
            base = self.released(condition)
            matching = Matching(base, int(np.count_nonzero(base)), _NO_SLOTS)
            known = _Known(0, matching, 0, None, 0)
        found = _carried(known, condition, moment)
        if newest is None or newest.number < moment.number:
            changed = moment.changed
            now = _Known(moment.number, found, len(moment.left), changed.generation, len(changed))
            remember(self._newest, condition, now)
        return found


def _carried(known: _Known, condition: Filter | None, moment: Moment) -> Matching:
    """What was known at an earlier moment, as it is at this one."""
    changed, left = moment.changed, moment.left[known.left :]
    base, base_count = known.matching.base, known.matching.base_count
    if left.size:
        base, cleared_bits = cleared(base, left)
        base.setflags(write=False)
        base_count -= cleared_bits
    slots, seen = known.matching.slots, known.slots
    if known.generation is not changed.generation:  # the slots were written anew
        slots, seen = _NO_SLOTS, 0
    if seen < len(changed):
        came = np.arange(seen, len(changed), dtype=np.int32)
        if condition is not None:
            came = came[filter_mask(condition, changed.since(seen))]
        slots = np.concatenate((slots, came))
    return Matching(
        base, base_count, still_newest(slots, changed.rows, moment.slot_of, moment.alive)
    )


@compiled(read("b1"), read("i4"))
def cleared(mask: Mask, places: I32) -> tuple[Mask, int]:
    """A copy that is False at these places, those beyond its end aside, and how many it was True
    at. places: int32, 0 or more."""
    copy, count = mask.copy(), 0
    for place in places:
        if place < len(copy) and copy[place]:
            copy[place] = False
            count += 1
    return copy, count


@compiled(read("i4"), read("i4"), read("i4"), read("b1"))
def still_newest(slots: I32, rows: I32, slot_of: I32, alive: Mask) -> I32:
    """Of these slots those with the newest state of an item that was not deleted, in their order.

    rows: int32 (m,), of the item in each slot. slot_of, alive: as in `LiveView`.
    """
    kept = np.empty(len(slots), np.int32)
    count = 0
    for slot in slots:
        row = rows[slot]
        if slot_of[row] == slot and alive[row]:
            kept[count] = slot
            count += 1
    return kept[:count].copy()


def remember(answers: dict[K, V], question: K, answer: V) -> None:
    """Keep an answer among the REMEMBERED ones."""
    if len(answers) >= REMEMBERED:  # a stranger's filters must not fill the memory
        answers.clear()
    answers[question] = answer
