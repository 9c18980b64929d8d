"""How much of the truth an index found.

The truth is the scores of every item in float32. What scores no worse than the true k-th is right,
whichever of several equal items it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.filters import Mask
from hemline.vectors import F32

_TIE = 1e-5  # scores this near are the same: sums of float32 differ in their order


def true_scores(items: F32, query: F32, k: int, allowed: Mask | None = None) -> F32:
    """The k best scores, best first; fewer where fewer items are allowed."""
    scores = items @ query
    if allowed is not None:
        scores = scores[allowed]
    kept = min(k, len(scores))
    best: F32 = np.sort(np.partition(scores, -kept)[-kept:])[::-1]
    return best


def recall(items: F32, query: F32, found: npt.NDArray[np.integer], true: F32, k: int) -> float:
    """The share of the k best that is among the first k of those found."""
    wanted = min(k, len(true))
    scores = items[found[:wanted]] @ query
    return float(np.count_nonzero(scores >= true[wanted - 1] - _TIE)) / wanted
