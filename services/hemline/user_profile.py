"""A shopper's taste as one content vector: the weighted mean of what they touched.

Training, the updater and the gateway all call these two functions, so that a user vector means the
same thing wherever it was computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, read
from hemline.vector_rows import dot
from hemline.vectors import F32

# Implicit grades 1 to 5 by how much an event costs the shopper; a dislike pushes away.
EVENT_WEIGHT: dict[str, float] = {
    "view": 1.0,
    "click": 2.0,
    "wish": 3.0,
    "bag": 4.0,
    "purchase": 5.0,
    "dislike": -2.0,
}

# Taste drifts slowly over weeks (half-life in days) and quickly within a visit (per later event).
RECENCY_HALF_LIFE_DAYS = 30.0
RECENCY_PER_EVENT = 0.97
MS_PER_DAY = 86_400_000.0


def profile_weights(kinds: Sequence[str], occurred_ms: Sequence[int]) -> F32:
    """Weights of a history, oldest event first: event grade x recency.

    Recency is measured from the newest event, never from the clock, so that the same history gives
    the same weights whenever it is replayed. Returns float32 (h,).
    """
    if len(kinds) == 0:
        return np.zeros(0, dtype=np.float32)
    grade = np.array([EVENT_WEIGHT[kind] for kind in kinds], dtype=np.float64)
    occurred = np.asarray(occurred_ms, dtype=np.float64)
    age_days = (occurred.max() - occurred) / MS_PER_DAY
    events_later = np.arange(len(kinds) - 1, -1, -1)
    recency = 0.5 ** (age_days / RECENCY_HALF_LIFE_DAYS) * RECENCY_PER_EVENT**events_later
    weights: F32 = (grade * recency).astype(np.float32)
    return weights


def profile_vector(content: F32, weights: npt.ArrayLike) -> F32 | None:
    """The normalised weighted mean of item content vectors.

    content: float32 (h, clip_dim), unit norm. weights: (h,), dislikes negative.
    Returns float32 (clip_dim,), unit norm, or None when there is nothing to like (no positive
    weight), in which case the shopper is served as new.
    """
    return _taste(
        np.ascontiguousarray(content, dtype=np.float32),
        np.ascontiguousarray(weights, dtype=np.float32),
    )


@compiled(read("f4", 2), read("f4"))
def _taste(content: F32, weights: F32) -> F32 | None:
    mean = np.zeros(content.shape[1], np.float32)
    total, liked = 0.0, False
    for event in range(len(weights)):
        weight = weights[event]
        vector = content[event]
        liked = liked or weight > 0
        total += abs(weight)
        for i in range(len(mean)):
            mean[i] += weight * vector[i]
    norm = np.sqrt(dot(mean, mean))
    if not liked or not norm > 1e-6 * total:
        return None
    for i in range(len(mean)):
        mean[i] /= norm
    return mean
