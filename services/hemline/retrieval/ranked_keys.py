"""A row and its score in one int64 that sorts as the answer does: the best first, and of equal
scores the lowest row. Compiled, for other compiled functions: selecting and sorting such keys moves
half of what places and scores would.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, scalar, written
from hemline.contracts import Rows
from hemline.vectors import F32

Keys = npt.NDArray[np.int64]


@compiled(scalar("f4"), scalar("i8"))
def key_of(score: np.float32, row: int) -> int:
    """score: not NaN. row: 0 or more, below 2 ** 31."""
    bits = np.int64(np.float32(score).view(np.int32))
    # The bits of a float order as integers do, those of negative ones the other way round.
    return int((~(bits ^ ((bits >> 63) & 0x7FFFFFFF)) << 32) | row)


@compiled(scalar("i8"))
def score_of(key: int) -> np.float32:
    ordered = ~(key >> 32)
    return np.int32(ordered ^ ((ordered >> 63) & 0x7FFFFFFF)).view(np.float32)


@compiled(scalar("i8"))
def row_of(key: int) -> int:
    return key & 0xFFFFFFFF


@compiled(written("i8"), scalar("i8"), scalar("i8"))
def select(keys: Keys, count: int, k: int) -> None:
    """Put the k best of the first `count` in front, the last of them last. All keys differ.

    Quickselect with Lomuto's partition, which has no branch that a processor could mispredict.
    """
    low, high, place = 0, count - 1, k - 1
    while low < high:
        middle = (low + high) // 2
        first, second, third = keys[low], keys[middle], keys[high]
        pivot = max(min(first, second), min(max(first, second), third))
        where = middle
        if pivot == first:
            where = low
        elif pivot == third:
            where = high
        keys[where], keys[high] = keys[high], pivot
        border = low
        for i in range(low, high):
            key = keys[i]
            keys[i] = keys[border]
            keys[border] = key
            border += key < pivot
        keys[high] = keys[border]
        keys[border] = pivot
        if border == place:
            return
        if border < place:
            low = border + 1
        else:
            high = border - 1


@compiled(written("i8"), scalar("i8"), written("i4"), written("f4"))
def write_in_order(keys: Keys, k: int, rows: Rows, scores: F32) -> None:
    """Sort the first k keys, and write what they are made of. rows: int32 (>= k,). scores: float32
    (>= k,)."""
    keys[:k].sort()
    for i in range(k):
        rows[i] = row_of(keys[i])
        scores[i] = score_of(keys[i])
