"""Exact nearest items by inner product, at the cost of an approximate scan.

    1. score a sample in float32, and guess from it a threshold that more than k items reach
    2. let FAISS scan all items, rounded to int8, for those within `slack` of the threshold
    3. score these in float32; if k of them reach the threshold, they are the true k best

Rounding moves a score by at most `slack` (Cauchy-Schwarz), so that step 2 misses no item that
reaches the threshold. If the guess was too high, every item is scored in float32: the answer is
exact either way. A float32 scan is bound by memory and reads four times the bytes; asking for
everything above a threshold spares the heap that costs FAISS as much as the scan itself when k is
in the hundreds.
"""

from __future__ import annotations

import math

import faiss
import numpy as np
import numpy.typing as npt

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.vectors import F32

_FEW = 2_000  # so few matching items are scored in float32 straight away
_SAMPLE = 2_048

_CERTIFIED = metrics.SEARCH_SCANS.labels("int8")
_NOT_CERTIFIED = metrics.SEARCH_SCANS.labels("int8_then_float32")
_FEW_MATCH = metrics.SEARCH_SCANS.labels("few_match")


class ExactIndex:
    """The vectors of one space. Safe for any number of threads.

    vectors: float32 (n, d), finite; kept, not copied.
    """

    def __init__(self, vectors: F32) -> None:
        faiss.omp_set_num_threads(1)
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._stride = max(1, len(vectors) // _SAMPLE)
        self._sample = np.ascontiguousarray(self._vectors[:: self._stride])
        step = np.abs(self._vectors).max(axis=0, initial=0.0) / 127  # of each dimension
        self._step: F32 = np.where(step > 0, step, 1.0).astype(np.float32)
        codes = np.rint(self._vectors / self._step)
        rounded = codes * self._step
        self._rounding = _longest(self._vectors - rounded)
        self._longest = _longest(rounded)
        self._coarse = faiss.IndexFlatIP(self.dim)  # kept here: FAISS does not own it
        self._coarse.add(np.zeros((1, self.dim), dtype=np.float32))
        # One inverted list with all items, as only IndexIVF scans for a threshold at full speed. Of
        # this type of code FAISS computes integer products, so the query must be integers too.
        self._codes = faiss.IndexIVFScalarQuantizer(
            self._coarse,
            self.dim,
            1,
            faiss.ScalarQuantizer.QT_8bit_direct_signed,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        self._codes.train(codes)
        self._codes.add(codes)

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def memory_bytes(self) -> int:
        """Bytes of vectors, sample and codes."""
        return int(self._vectors.nbytes + self._sample.nbytes + self._vectors.size)

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
        query = np.rint(scaled / unit)
        off = (scaled - unit * query) / self._step
        slack = self._rounding * math.sqrt(vector @ vector) + self._longest * math.sqrt(off @ off)
        _, _, found = self._codes.range_search(
            query[None], (threshold - slack) / unit, params=_only(allowed, matching)
        )
        if len(found) >= k:
            rows, scores = self._best(found, vector, k)
            if scores[-1] >= threshold:
                _CERTIFIED.inc()
                return rows, scores
        _NOT_CERTIFIED.inc()
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


def _only(allowed: Mask, matching: int) -> faiss.SearchParametersIVF | None:
    if matching == len(allowed):
        return None
    bits = np.packbits(allowed, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
    parameters = faiss.SearchParametersIVF(sel=selector, nprobe=1)  # type: ignore[call-arg]
    parameters.bits = bits  # type: ignore[attr-defined]  # FAISS keeps no more than the pointer
    return parameters


def _longest(vectors: F32) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))
