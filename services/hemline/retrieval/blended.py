"""Exact nearest items by a weighted sum of inner products in several spaces.

An upper bound of a sum is the sum of upper bounds, and `SpectralIndex` has one of every item in its
space. So a blend needs no index of its own, nor the vectors a second time:

    1. add up the bounds of every item, and guess from a sample of them a threshold
    2. score in full, in all spaces, the items whose bound reaches it
    3. the k-th best score so far is what the true k best reach at least: score the items whose
       bound reaches that and which were not scored yet

In a space without such bounds every item is scored, which is a bound as well. Weights are in the
query's vectors already, and may be of any sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.retrieval.spectral import SpectralIndex
from hemline.vectors import F32

_FEW = 2_000  # so few matching items are scored in full straight away …
_FEW_OF = 64  # … and this part of all
_SAMPLE = 2_048
_ROUNDING = 2.0**-15  # of sums of float32, as a share of the query's length

_BOUNDED = metrics.SEARCH_SCANS.labels("blended")
_FEW_MATCH = metrics.SEARCH_SCANS.labels("few_match")


@dataclass(frozen=True, eq=False)
class Part:
    """One space. vectors: float32 (n, d), no longer than 1. index: of the same, where its kind
    gives bounds. query: float32 (d,), its weight included."""

    vectors: F32
    index: SpectralIndex | None
    query: F32


def search_blended(parts: Sequence[Part], k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
    """The k best allowed rows, best first, and their scores: int32 (k,) and float32 (k,).

    allowed: bool (n,); matching: how many are True, at least k.
    """
    n = len(allowed)
    if matching <= max(_FEW, 4 * k, n // _FEW_OF):
        _FEW_MATCH.inc()
        rows = np.flatnonzero(allowed)
        return _best(rows, _scores(parts, rows), k)
    _BOUNDED.inc()
    bounds: F32 = np.zeros(n, dtype=np.float32)
    for part in parts:
        bounds += _bounds(part)
    if matching < n:
        bounds[~allowed] = -np.inf
    slack = _ROUNDING * sum(float(np.linalg.norm(part.query)) for part in parts)

    threshold, first = _likely(bounds, k)
    scores = _scores(parts, first)
    reached = float(np.partition(scores, -k)[-k]) - slack
    if reached >= threshold:
        return _best(first, scores, k)
    rest = np.flatnonzero((bounds >= reached) & (bounds < threshold))
    rows = np.concatenate((first, rest))
    return _best(rows, np.concatenate((scores, _scores(parts, rest))), k)


def _bounds(part: Part) -> F32:
    """What no item's inner product with the query exceeds, but for rounding: float32 (n,)."""
    if part.index is None:
        return np.asarray(part.vectors @ part.query)
    return part.index.bounds(part.query)


def _scores(parts: Sequence[Part], rows: npt.NDArray[np.integer]) -> F32:
    scores: F32 = np.zeros(len(rows), dtype=np.float32)
    for part in parts:
        scores += part.vectors[rows] @ part.query
    return scores


def _likely(bounds: F32, k: int) -> tuple[float, npt.NDArray[np.intp]]:
    """A threshold, and the rows whose bounds reach it: at least k, by a sample."""
    stride = max(1, len(bounds) // _SAMPLE)
    sample = bounds[::stride]
    sample = sample[sample > -np.inf]
    expected = k / stride  # of the k best, in the sample
    place = math.ceil(expected + math.sqrt(expected) + 1)
    while place <= len(sample):
        threshold = float(np.partition(sample, -place)[-place])
        rows = np.flatnonzero(bounds >= threshold)
        if len(rows) >= k:
            return threshold, rows
        place *= 2
    return -math.inf, np.flatnonzero(bounds > -np.inf)


def _best(rows: npt.NDArray[np.integer], scores: F32, k: int) -> tuple[Rows, F32]:
    if len(rows) > 8 * k:
        kept = np.argpartition(scores, -k)[-k:]
        rows, scores = rows[kept], scores[kept]
    order = np.argsort(-scores)[:k]
    return rows[order].astype(np.int32), scores[order]
