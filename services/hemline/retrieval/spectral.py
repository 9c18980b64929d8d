"""Exact nearest items by inner product, reading only the leading dimensions of most of them.

Embeddings fill few directions evenly: of a CLIP space's 128 dimensions, the 27 of greatest energy
may hold 99% of it, and the mean of several items, which is what a taste is, even more. Rotated onto
these directions, a score is its head, plus a tail no larger than the product of the two tails'
lengths (Cauchy-Schwarz):

    <q, x>  <=  <q_head, x_head> + |q_tail| |x_tail|

Heads and lengths of tails are kept in one byte each. Rounded to codes c of steps s, a head is off
by less than a step everywhere, by e steps, and the bound grows by what that can matter at most:

    <q_head, x_head>  <=  <q_head s, c> + |q_head s| |e|

So the bound of an item is a sum over some 28 bytes, and of the vectors only those are read whose
bound reaches the k-th best score: the answer is the true k best. `spectral_scan` does it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hemline import metrics
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.retrieval.bound_codes import BLOCK, all_bounds
from hemline.retrieval.interface import Search
from hemline.retrieval.spectral_scan import TOGETHER, best_of, nearest
from hemline.vectors import F32

_HEAD_ENERGY = 0.98
_FEW = 4_000  # so few matching items are scored in full straight away …
_FEW_OF = 64  # … and this part of all: fetching a row costs as much as the bounds of so many
_SAMPLE = 2_048  # items, or more: one of _STRIDE
_STRIDE = 64
_ROUNDING = 2.0**-16  # of float32 sums over some hundred dimensions, as a share of the lengths
_CODE = 127
_CHUNK = 65_536  # items that are coded at a time

_FEW_MATCH = metrics.SEARCH_SCANS.labels("few_match")
_ALONE = metrics.SEARCH_SCANS.labels("head"), metrics.SEARCH_SCANS.labels("head_again")
_TOGETHER = metrics.SEARCH_SCANS.labels("batch"), metrics.SEARCH_SCANS.labels("batch_again")


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
        self._directions = np.ascontiguousarray(head.T)
        n, bounded = len(self._vectors), len(self._directions) + 1
        columns = -(-bounded // 4) * 4
        self._steps = np.ones(columns, dtype=np.float32)
        self._middles = np.zeros(columns, dtype=np.float32)
        self._codes = np.zeros((-(-n // BLOCK), columns, BLOCK), dtype=np.int8)
        # A vector's length, and of rounding its head to codes the error in steps: the greatest.
        longest, furthest = self._encode() if n else (0.0, 0.0)
        reach = longest + float(np.linalg.norm(self._middles) + np.linalg.norm(_CODE * self._steps))
        self._slacks = np.array([furthest, _ROUNDING * reach])
        self._stride = min(max(1, n // _SAMPLE), _STRIDE)
        sampled = np.arange(0, n, self._stride)
        self._sample = _blocks(self._codes[sampled // BLOCK, :, sampled % BLOCK])

    def _encode(self) -> tuple[float, float]:
        bounded = len(self._directions) + 1
        starts = range(0, len(self._vectors), _CHUNK)
        lows, highs = np.full(bounded, np.inf), np.full(bounded, -np.inf)
        for start in starts:
            heads = self._heads_and_tails(start)
            lows, highs = np.minimum(lows, heads.min(axis=0)), np.maximum(highs, heads.max(axis=0))
        self._steps[:bounded] = np.maximum((highs - lows) / (2 * _CODE), 1e-30)
        self._middles[:bounded] = (lows + highs) / 2
        steps, middles = self._steps[:bounded], self._middles[:bounded]
        longest = furthest = 0.0
        for start in starts:
            exact = (self._heads_and_tails(start) - middles) / steps
            codes = np.rint(exact)
            codes[:, -1] = np.ceil(exact[:, -1])  # a tail is never said to be shorter than it is
            codes = np.clip(codes, -_CODE, _CODE)
            blocks = _blocks(codes.astype(np.int8))
            block = start // BLOCK
            self._codes[block : block + len(blocks), :bounded] = blocks
            furthest = max(furthest, _longest((exact - codes)[:, :-1]))
            longest = max(longest, _longest(self._vectors[start : start + _CHUNK]))
        return longest, furthest

    def _heads_and_tails(self, start: int) -> npt.NDArray[np.float64]:
        """Of the items from `start` the head and the length of the tail: (<= _CHUNK, m + 1)."""
        vectors = self._vectors[start : start + _CHUNK]
        heads = vectors @ self._directions.T
        tails = np.linalg.norm(vectors - heads @ self._directions, axis=1)
        return np.concatenate((heads, tails[:, None]), axis=1, dtype=np.float64)

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def items(self) -> int:
        return len(self._vectors)

    @property
    def memory_bytes(self) -> int:
        """Bytes of vectors, codes and sample."""
        return int(self._vectors.nbytes + self._codes.nbytes + self._sample.nbytes)

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """The k best allowed rows, best first, and their inner products with `vector`.

        vector: float32 (d,), finite. allowed: bool (n,); matching: how many are True, at least k.
        Returns int32 (k,) and float32 (k,).
        """
        vector = np.ascontiguousarray(vector, dtype=np.float32)
        if not self.suits(k, matching):
            _FEW_MATCH.inc()
            rows, scores = np.empty(k, np.int32), np.empty(k, np.float32)
            best_of(self._vectors, vector, k, np.flatnonzero(allowed), rows, scores)
            return rows, scores
        ((rows, scores),) = self._nearest(vector[None], [k], [allowed])
        return rows, scores

    def suits(self, k: int, matching: int) -> bool:
        """Whether so many match that their bounds are worth it, and better found for several
        queries at once. Up to so many are scored in full."""
        return matching > max(_FEW, 4 * k, self.items // _FEW_OF)

    def search_batch(self, searches: Sequence[Search]) -> list[tuple[Rows, F32]]:
        """As `search` of each, which it `suits`, four in a pass over the items."""
        found = []
        for start in range(0, len(searches), TOGETHER):
            several = searches[start : start + TOGETHER]
            found += self._nearest(
                np.stack([search.vector for search in several]),
                [search.k for search in several],
                [search.allowed for search in several],
            )
        return found

    def bounds(self, vector: F32) -> F32:
        """What the inner product of each item with this vector does not exceed: float32 (n,)."""
        bounds = np.empty(self.items, np.float32)
        all_bounds(
            self._directions, self._steps, self._middles, self._slacks, self._codes, vector, bounds
        )
        return bounds

    def _nearest(
        self, vectors: F32, ks: Sequence[int], masks: list[Mask]
    ) -> list[tuple[Rows, F32]]:
        rows = np.empty((len(ks), max(ks)), np.int32)
        scores = np.empty(rows.shape, np.float32)
        again = np.empty(len(ks), np.bool_)
        first, second, third, fourth = masks + masks[:1] * (TOGETHER - len(masks))
        nearest(
            self._vectors,
            self._directions,
            self._steps,
            self._middles,
            self._slacks,
            self._codes,
            self._sample,
            self._stride,
            vectors,
            np.array(ks, np.int64),
            first,
            second,
            third,
            fourth,
            rows,
            scores,
            again,
        )
        at_once, repeated = _ALONE if len(ks) == 1 else _TOGETHER
        guessed_too_high = int(np.count_nonzero(again))
        at_once.inc(len(ks) - guessed_too_high)
        repeated.inc(guessed_too_high)
        return [(rows[place, :k], scores[place, :k]) for place, k in enumerate(ks)]


def _blocks(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """(n, columns) as (blocks, columns, BLOCK); the last block is filled up with zeros."""
    n, columns = codes.shape
    blocks = -(-n // BLOCK)
    filled = np.zeros((blocks * BLOCK, columns), dtype=np.int8)
    filled[:n] = codes
    return np.ascontiguousarray(filled.reshape(blocks, BLOCK, columns).transpose(0, 2, 1))


def _longest(vectors: npt.NDArray[np.floating]) -> float:
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    return math.sqrt(squares.max(initial=0.0))
