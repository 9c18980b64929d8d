"""The final score: a weighted sum of standardised parts, the weights chosen by how much is known.

Parts live on different scales (cosines, preferences, log counts), so each is first standardised
within the candidate list that is being ranked. Training learns the weights through these very
functions; nothing here may change without a new release.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hemline.compiled import compiled, read, written
from hemline.vectors import F32

PARTS = ("tower", "content", "cf", "neighbours", "popularity", "trending")

# Distinct items known of a user -> segment; (name, smallest number of the segment).
SEGMENTS = (("0", 0), ("1", 1), ("2-4", 2), ("5-19", 5), ("20+", 20))

# A part that is zero for all but a few candidates would otherwise reach z = sqrt(n) for those few.
MAX_Z = 5.0


def segment_of(known_items: int) -> str:
    """The segment of a user of whom so many distinct items are known, imported ones included."""
    return next(name for name, smallest in reversed(SEGMENTS) if known_items >= smallest)


def standardise(values: F32) -> F32:
    """(x - mean) / standard deviation over the finite values of each list, clipped to ±MAX_Z.

    values: float32 (n,) or (lists, n). NaN means that the part knows nothing about a candidate: it
    takes no part in mean and deviation and comes out as 0, neither praised nor punished. A part
    that is the same for all candidates comes out as 0 too. Returns float32 of the same shape.
    """
    values = np.ascontiguousarray(values, dtype=np.float32)
    lists = values.reshape(-1, values.shape[-1])
    return _standardise(lists).reshape(values.shape)


@compiled(read("f4", 2))
def _standardise(lists: F32) -> F32:
    standard = np.zeros(lists.shape, np.float32)
    for place in range(len(lists)):
        values, out = lists[place], standard[place]
        count, total = 0, 0.0
        for i in range(len(values)):
            if np.isfinite(values[i]):
                count += 1
                total += values[i]
        mean = total / max(count, 1)
        squares = 0.0
        for i in range(len(values)):
            if np.isfinite(values[i]):
                squares += (values[i] - mean) * (values[i] - mean)
        deviation = np.sqrt(squares / max(count, 1))
        if deviation <= 1e-8:
            continue
        for i in range(len(values)):
            if np.isfinite(values[i]):
                out[i] = min(max((values[i] - mean) / deviation, -MAX_Z), MAX_Z)
    return standard


def blend_scores(
    parts: Mapping[str, F32], weights: Mapping[str, float]
) -> tuple[F32, dict[str, F32]]:
    """Total scores of a candidate list, and what each part contributed to them.

    parts: name of PARTS -> float32 (n,), all of one length; a part that was not available is left
    out. weights: those of the user's segment; a part without a weight counts 0.
    Returns float32 (n,) and the summands by part, each float32 (n,).
    Raises ValueError when there is no part or they differ in length.
    """
    if len({len(values) for values in parts.values()}) != 1:
        lengths = {name: len(values) for name, values in parts.items()}
        raise ValueError(f"parts must be of one length, got {lengths}")
    weight = np.array([weights.get(name, 0.0) for name in parts], dtype=np.float32)
    contributions = standardise(np.stack(list(parts.values())))
    return _weigh(contributions, weight), dict(zip(parts, contributions, strict=True))


@compiled(written("f4", 2), read("f4"))
def _weigh(contributions: F32, weights: F32) -> F32:
    """Multiply each part by its weight, in place, and add them all up."""
    total = np.zeros(contributions.shape[1], np.float32)
    for part in range(len(weights)):
        values = contributions[part]
        for i in range(len(values)):
            values[i] *= weights[part]
            total[i] += values[i]
    return total
