"""Inner products with some rows of many vectors, without copying the rows first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, read
from hemline.vectors import F32

I32 = npt.NDArray[np.int32]


@compiled(read("f4"), read("f4"))
def dot(a: F32, b: F32) -> np.float32:
    """The inner product of two vectors, for other compiled functions."""
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@compiled(read("f4", 2), read("i4"), read("f4"))
def dots(vectors: F32, rows: I32, vector: F32) -> F32:
    """`vectors[rows] @ vector`. vectors: float32 (n, d). rows: int32 (m,), below n.
    vector: float32 (d,). Returns float32 (m,)."""
    found = np.empty(len(rows), np.float32)
    for place in range(len(rows)):
        found[place] = dot(vectors[rows[place]], vector)
    return found


@compiled(read("f4", 2), read("f4", 2), read("i4"), read("i4"), read("f4"))
def dots_with_changes(base: F32, changed: F32, slot_of: I32, rows: I32, vector: F32) -> F32:
    """`dots`, with the vectors of some rows elsewhere: at `changed[slot_of[row]]` where that is not
    negative. slot_of: int32 (n,)."""
    found = np.empty(len(rows), np.float32)
    for place in range(len(rows)):
        slot = slot_of[rows[place]]
        if slot < 0:
            found[place] = dot(base[rows[place]], vector)
        else:
            found[place] = dot(changed[slot], vector)
    return found
