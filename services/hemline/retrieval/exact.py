"""Exact nearest items by inner product, at the cost of an approximate scan.

    1. score a sample in float32, and guess from it a threshold that more than k items reach
    2. let FAISS scan all items, rounded to int8 or fp16, for those within `slack` of the threshold
    3. score these in float32; if k of them reach the threshold, they are the true k best

Rounding moves a score by at most `slack` (Cauchy-Schwarz), so that step 2 misses no item that
reaches the threshold. If the guess was too high, every item is scored in float32: the answer is
exact either way. A float32 scan is bound by memory and reads twice or four times the bytes; asking
for everything above a threshold spares the heap that costs FAISS as much as the scan itself when k
is in the hundreds.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.retrieval.faiss_seam import Flat, OneList, bits_of
from hemline.vectors import F32

_FEW = 2_000  # so few matching items are scored in float32 straight away
_SAMPLE = 2_048
_SUMS = 2.0**-16  # error of float32 sums over some hundred dimensions, as a share of |q| |x|

_FLAT = metrics.SEARCH_SCANS.labels("flat")
_FEW_MATCH = metrics.SEARCH_SCANS.labels("few_match")


class FlatIndex:
    """All vectors in float32, by FAISS's own scan: what the others are compared with.

    vectors: float32 (n, d), finite; copied.
    """

    def __init__(self, vectors: F32) -> None:
        self._flat = Flat(np.ascontiguousarray(vectors, dtype=np.float32))
        self.dim = int(vectors.shape[1])
        self.memory_bytes = int(vectors.nbytes)

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """See `hemline.retrieval.interface.Index`."""
        _FLAT.inc()
        scores, rows = self._flat.search(vector[None], k, bits_of(allowed, matching))
        return rows[0].astype(np.int32), scores[0]


class ExactIndex:
    """The vectors of one space. Safe for any number of threads.

    vectors: float32 (n, d), finite; kept, not copied. coding: what the scan reads.
    """

    def __init__(self, vectors: F32, coding: Literal["int8", "fp16"] = "int8") -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._stride = max(1, len(vectors) // _SAMPLE)
        self._sample = np.ascontiguousarray(self._vectors[:: self._stride])
        self._certified = metrics.SEARCH_SCANS.labels(coding)
        self._not_certified = metrics.SEARCH_SCANS.labels(f"{coding}_then_float32")
        self._coding = coding
        largest = np.abs(self._vectors).max(axis=0, initial=0.0)  # of each dimension
        if coding == "int8":
            self._step: F32 = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
            codes = np.rint(self._vectors / self._step)
            rounded = codes * self._step
        else:
            self._step = np.full(self.dim, largest.max(initial=0.0) or 1.0, dtype=np.float32)
            codes = (self._vectors / self._step).astype(np.float16).astype(np.float32)
            rounded = codes * self._step
        self._rounding = _longest(self._vectors - rounded)
        self._longest = _longest(rounded)
        self._codes = OneList(codes, coding)

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def memory_bytes(self) -> int:
        """Bytes of vectors, sample and codes."""
        return int(self._vectors.nbytes + self._sample.nbytes) + self._codes.memory_bytes

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """The k best allowed rows, best first, and their inner products with `vector`.

        vector: float32 (d,), finite. allowed: bool (n,); matching: how many are True, at least k.
        Returns int32 (k,) and float32 (k,).
        """
        if matching <= max(_FEW, 4 * k):
            _FEW_MATCH.inc()
            return self._best(np.flatnonzero(allowed), vector, k)
        threshold = self._threshold(vector, k, allowed)
        scaled = vector * self._step
        unit = float(np.abs(scaled).max()) / 127 or 1.0
        query = np.rint(scaled / unit) if self._coding == "int8" else scaled / unit
        off = (scaled - unit * query) / self._step
        slack = self._rounding * math.sqrt(vector @ vector) + self._longest * math.sqrt(off @ off)
        if self._coding == "fp16":  # sums of float32, where those of integers are without error
            slack += _SUMS * self._longest * math.sqrt(vector @ vector)
        found = self._codes.reaching(query, (threshold - slack) / unit, bits_of(allowed, matching))
        if len(found) >= k:
            rows, scores = self._best(found, vector, k)
            if scores[-1] >= threshold:
                self._certified.inc()
                return rows, scores
        self._not_certified.inc()
        return self._best(np.flatnonzero(allowed), vector, k)

    def _threshold(self, vector: F32, k: int, allowed: Mask) -> float:
        """A score that, going by the sample, k allowed items reach for all but certain."""
        scores = (self._sample @ vector)[allowed[:: self._stride]]
        expected = k / self._stride  # of the k best, in the sample
        place = min(math.ceil(expected + 2.5 * math.sqrt(expected) + 1), len(scores))
        return float(np.partition(scores, -place)[-place]) if place else -math.inf

    def _best(self, rows: npt.NDArray[np.integer], vector: F32, k: int) -> tuple[Rows, F32]:
        """The k best of some rows, scored in float32."""
        every = len(rows) == len(self._vectors)
        scores: F32 = (self._vectors if every else self._vectors[rows]) @ vector
        if len(rows) > 8 * k:
            best = np.argpartition(scores, -k)[-k:]
            rows, scores = rows[best], scores[best]
        order = np.argsort(-scores)[:k]
        return rows[order].astype(np.int32), scores[order]


def _longest(vectors: F32) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))
