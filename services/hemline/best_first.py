"""The few best of a few hundred scores, in order, without sorting the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, read, scalar, written
from hemline.distinct import Places
from hemline.vectors import F32


@compiled(read("f4"), written("i8"), scalar("i8"), scalar("i8"))
def _sift_down(scores: F32, heap: npt.NDArray[np.int64], parent: int, size: int) -> None:
    """Put the place at `parent` below all that come before it, by score and then by place."""
    place = heap[parent]
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        left = heap[child]
        if child + 1 < size:
            right = heap[child + 1]
            if scores[right] > scores[left] or (scores[right] == scores[left] and right < left):
                child, left = child + 1, right
        if scores[left] < scores[place] or (scores[left] == scores[place] and place < left):
            break
        heap[parent] = left
        parent = child
    heap[parent] = place


@compiled(read("f4"), scalar("i8"))
def best_first(scores: F32, k: int) -> Places:
    """Places of the k highest scores, highest first and of equal ones the earlier first; all of
    them, where there are fewer. NaN is not allowed.

    scores: float32 (n,). Returns int (min(k, n),).
    """
    size = len(scores)
    heap = np.arange(size)
    for parent in range(size // 2 - 1, -1, -1):
        _sift_down(scores, heap, parent, size)
    best = np.empty(min(max(k, 0), size), np.int64)
    for place in range(len(best)):
        best[place] = heap[0]
        size -= 1
        heap[0] = heap[size]
        _sift_down(scores, heap, 0, size)
    return best
