"""Many queries over one `SpectralIndex` in one pass: the bounds of all of them, block by block.

The bounds of b queries are one matrix product, which BLAS does at several times the speed of b
products of one vector each, and a block of them is looked through while it lies in the cache. That
needs each query's threshold beforehand:

    1. score a sample of the items in full; guess from it a score that more than k items reach
    2. block by block: bounds of all items for all queries, and who reaches the query's threshold
    3. score those in full; if k of them reach the threshold, they are the true k best

Where the guess was too high, the query is searched alone: exact either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hemline import metrics
from hemline.contracts import Rows
from hemline.retrieval.interface import Search
from hemline.retrieval.spectral import SpectralIndex
from hemline.vectors import F32

SAMPLE = 16_384
# A pass costs as much as two searches alone, and then less for each: over 1M x 128, k = 100, one
# took 8.4 ms in twos, 4.9 in fours, 3.4 in eights, and 5.4 alone (processor time).
_LEAST = 4
_BLOCK = 65_536  # items: with 16 queries 4 MB of bounds

_CERTIFIED = metrics.SEARCH_SCANS.labels("batch")
_NOT_CERTIFIED = metrics.SEARCH_SCANS.labels("batch_then_alone")


class SpectralBatch:
    """Answers batches over an index. Safe for any number of threads."""

    def __init__(self, index: SpectralIndex) -> None:
        self._index = index
        self._stride = max(1, index.items // SAMPLE)
        self._sample = np.ascontiguousarray(index.vectors[:: self._stride])

    @property
    def memory_bytes(self) -> int:
        """Bytes of the sample, beside the index."""
        return int(self._sample.nbytes)

    def suits(self, k: int, matching: int) -> bool:
        """Whether so much matches that a pass over all items is worth it."""
        return matching > self._index.few(k)

    def search_batch(self, searches: Sequence[Search]) -> list[tuple[Rows, F32]]:
        """For each the k best allowed rows, best first, with their inner products."""
        if len(searches) < _LEAST:
            index = self._index
            return [index.search(s.vector, s.k, s.allowed, s.matching) for s in searches]
        vectors = np.stack([search.vector for search in searches])
        guesses = self._guesses(searches, vectors)
        found = self._reaching(vectors, guesses)
        return [
            self._answer(search, guess, rows)
            for search, guess, rows in zip(searches, guesses, found, strict=True)
        ]

    def _guesses(self, searches: Sequence[Search], vectors: F32) -> list[float]:
        """A score that k allowed items reach by the sample; infinite where it says nothing."""
        scores = vectors @ self._sample.T  # (b, sample)
        guesses = []
        for search, of_query in zip(searches, scores, strict=True):
            if search.matching < len(search.allowed):
                of_query = of_query[search.allowed[:: self._stride]]
            expected = search.k / self._stride  # of the k best, in the sample
            place = math.ceil(expected + 2.5 * math.sqrt(expected) + 1)
            guesses.append(
                float(np.partition(of_query, -place)[-place])
                if place <= len(of_query)
                else math.inf
            )
        return guesses

    def _reaching(self, vectors: F32, guesses: Sequence[float]) -> list[npt.NDArray[np.intp]]:
        """For each query the rows whose bound reaches the guess."""
        weights, slack = self._index.weights(vectors)
        thresholds = np.asarray(guesses, dtype=np.float64) - slack
        parts: list[list[npt.NDArray[np.intp]]] = [[] for _ in guesses]
        bounds = self._index.bounds
        for start in range(0, bounds.shape[1], _BLOCK):
            block = weights @ bounds[:, start : start + _BLOCK]
            for query, threshold in enumerate(thresholds):
                parts[query].append(np.flatnonzero(block[query] >= threshold) + start)
        return [np.concatenate(rows) for rows in parts]

    def _answer(self, search: Search, guess: float, rows: npt.NDArray[np.intp]) -> tuple[Rows, F32]:
        if search.matching < len(search.allowed):
            rows = rows[search.allowed[rows]]
        if len(rows) >= search.k:
            found, scores = self._index.best(rows, search.vector, search.k)
            if scores[-1] >= guess:
                _CERTIFIED.inc()
                return found, scores
        _NOT_CERTIFIED.inc()
        return self._index.search(search.vector, search.k, search.allowed, search.matching)
