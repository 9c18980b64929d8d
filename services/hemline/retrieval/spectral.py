"""Exact nearest items by inner product, reading only the leading dimensions of most of them.

Embeddings fill few directions evenly: of a CLIP space's 128 dimensions, the 24 of greatest energy
may hold 98% of it, and the mean of several items, which is what a taste is, even more. Rotated onto
these directions, a score is its head, plus a tail no larger than the product of the two tails'
lengths (Cauchy-Schwarz):

    <q, x>  <=  <q_head, x_head> + |q_tail| |x_tail|

With |x_tail| as one more column this bound is a single matrix-vector product over all items.

    1. compute the bound of every item, and guess from a sample of them a threshold
    2. score in full the items whose bound reaches it
    3. the k-th best score so far is what the true k best reach at least: score the items whose
       bound reaches that and which were not scored yet

Whatever was guessed, the answer is the true k best; the guess decides only how many are scored.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.vectors import F32

_HEAD_ENERGY = 0.98
_FEW = 2_000  # so few matching items are scored in full straight away …
_FEW_OF = 64  # … and this part of all: fetching a row costs as much as the bounds of so many
_SAMPLE = 2_048
_ROUNDING = 2.0**-16  # of float32 sums over some hundred dimensions, as a share of |q| |x|

_BOUNDED = metrics.SEARCH_SCANS.labels("head")
_FEW_MATCH = metrics.SEARCH_SCANS.labels("few_match")


def head_of(vectors: F32, align: int = 1, beside: int = 0) -> F32:
    """The directions of greatest energy that together hold 98% of it: float32 (d, m), orthonormal.

    vectors: float32 (n, d). align: m + beside is a multiple of it, by further directions, where
    there are as many.
    """
    energy, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    share = np.cumsum(energy[::-1]) / max(energy.sum(), 1e-30)
    m = int(np.searchsorted(share, _HEAD_ENERGY)) + 1
    m = min(-(-(m + beside) // align) * align - beside, len(energy))
    return np.ascontiguousarray(directions[:, ::-1][:, :m], dtype=np.float32)


class SpectralIndex:
    """The vectors of one space. Safe for any number of threads.

    vectors: float32 (n, d), finite; kept, not copied. head: from `head_of`.
    """

    def __init__(self, vectors: F32, head: F32) -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._head = head
        self._stride = max(1, len(vectors) // _SAMPLE)
        heads = self._vectors @ head
        squares = np.einsum("nd,nd->n", self._vectors, self._vectors, dtype=np.float64)
        tails = squares - np.einsum("nm,nm->n", heads, heads, dtype=np.float64)
        self._longest = math.sqrt(squares.max(initial=0.0))
        # Item by item in the last axis: BLAS multiplies this way two to three times faster.
        self._bounds = np.empty((head.shape[1] + 1, len(vectors)), dtype=np.float32)
        self._bounds[:-1] = heads.T
        self._bounds[-1] = np.sqrt(np.maximum(tails, 0.0))

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def items(self) -> int:
        return len(self._vectors)

    @property
    def vectors(self) -> F32:
        """float32 (n, d)."""
        return self._vectors

    @property
    def bounds(self) -> F32:
        """float32 (m + 1, n): of each item the head, then the length of its tail."""
        return self._bounds

    @property
    def memory_bytes(self) -> int:
        """Bytes of vectors and of what their bounds are made from."""
        return int(self._vectors.nbytes + self._bounds.nbytes)

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """The k best allowed rows, best first, and their inner products with `vector`.

        vector: float32 (d,), finite. allowed: bool (n,); matching: how many are True, at least k.
        Returns int32 (k,) and float32 (k,).
        """
        if matching <= self.few(k):
            _FEW_MATCH.inc()
            rows = np.flatnonzero(allowed)
            return _best(rows, self._vectors[rows] @ vector, k)
        _BOUNDED.inc()
        weights, slacks = self.weights(vector[None])
        bounds = weights[0] @ self._bounds
        slack = float(slacks[0])

        threshold, first = self._likely(bounds, k, allowed)
        scores = self._vectors[first] @ vector
        reached = float(np.partition(scores, -k)[-k]) - slack
        if reached >= threshold:
            return _best(first, scores, k)
        rest = np.flatnonzero((bounds >= reached) & (bounds < threshold) & allowed)
        rows = np.concatenate((first, rest))
        return _best(rows, np.concatenate((scores, self._vectors[rest] @ vector)), k)

    def few(self, k: int) -> int:
        """Up to so many matching items are scored in full, for k of them, without any bounds."""
        return max(_FEW, 4 * k, self.items // _FEW_OF)

    def weights(self, vectors: F32) -> tuple[F32, npt.NDArray[np.float64]]:
        """What gives the items' bounds by a product with `bounds`: float32 (b, m + 1); and by how
        much rounding may move a score or bound: float64 (b,). vectors: float32 (b, d)."""
        heads = vectors @ self._head
        squares = np.einsum("bd,bd->b", vectors, vectors, dtype=np.float64)
        tails = squares - np.einsum("bm,bm->b", heads, heads, dtype=np.float64)
        tails = np.sqrt(np.maximum(tails, 0.0)).astype(np.float32)
        slack = _ROUNDING * np.sqrt(squares) * self._longest
        return np.concatenate((heads, tails[:, None]), axis=1), slack

    def best(self, rows: npt.NDArray[np.integer], vector: F32, k: int) -> tuple[Rows, F32]:
        """The k best of some rows, best first, scored in full."""
        return _best(rows, self._vectors[rows] @ vector, k)

    def _likely(self, bounds: F32, k: int, allowed: Mask) -> tuple[float, npt.NDArray[np.intp]]:
        """A threshold, and the allowed rows whose bounds reach it: at least k, by a sample."""
        sample = bounds[:: self._stride][allowed[:: self._stride]]
        expected = k / self._stride  # of the k best, in the sample
        place = math.ceil(expected + math.sqrt(expected) + 1)
        while place <= len(sample):
            threshold = float(np.partition(sample, -place)[-place])
            rows = np.flatnonzero((bounds >= threshold) & allowed)
            if len(rows) >= k:
                return threshold, rows
            place *= 2
        return -math.inf, np.flatnonzero(allowed)


def _best(rows: npt.NDArray[np.integer], scores: F32, k: int) -> tuple[Rows, F32]:
    if len(rows) > 8 * k:
        kept = np.argpartition(scores, -k)[-k:]
        rows, scores = rows[kept], scores[kept]
    order = np.argsort(-scores)[:k]
    return rows[order].astype(np.int32), scores[order]
