"""Titles and vectors by row: of the release or, where an item changed, of its newest state.

slot_of: int32 (rows,), the slot of a row's newest state among the changed items; -1: it is the
release's. Nothing here keeps the view, as such a cycle would outlive the view's last reader.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hemline.catalogue import Item
from hemline.vectors import F32

I32 = npt.NDArray[np.int32]


class Titles:
    """Titles by row: `titles[row]`."""

    def __init__(self, released: Sequence[str], changed: Sequence[Item], slot_of: I32) -> None:
        self._released = released
        self._changed = changed
        self._slot_of = slot_of

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
