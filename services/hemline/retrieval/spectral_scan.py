"""The compiled search of `SpectralIndex`: bounds of all items, and the best by them, in full.

Everything for up to four queries happens in one call that does not hold the interpreter's lock:

    1. estimate the scores of a sample; guess from them a score that k allowed items reach
    2. block by block, while it lies in the cache: bounds of its items for all queries; an allowed
       item whose bound reaches the query's threshold is put on the query's list
    3. settle the list when it is full, and in the end: score in full the k of greatest bounds, then
       those whose bound reaches the k-th best score; the k best stay, and their last is the new
       threshold
    4. if the last is below what was guessed, do 2 and 3 again for this query, from its last

Sums of codes, thresholds and lists are all less what makes a bound of such a sum, `to_bound`.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, read, scalar, several, written
from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.retrieval.bound_codes import BLOCK, F64, I8, sums_of, sums_of_all, weigh
from hemline.retrieval.ranked_keys import Keys, key_of, row_of, score_of, select, write_in_order
from hemline.vector_rows import dot
from hemline.vectors import F32

I64 = npt.NDArray[np.int64]

TOGETHER = 4  # queries at most: then every code is read and converted once for four products
_WORD = 64  # items: a bit each says whose bound reaches the threshold
_ROOM = 4096  # of a query's list, beside four times its k


@compiled(read("i1", 3), read("f4"), scalar("i8"), scalar("i8"), read("b1"), scalar("i8"))
def _guess(sample: I8, weights: F32, stride: int, items: int, allowed: Mask, k: int) -> float:
    """An estimate, less what must be added to all of them, that k allowed items reach for all but
    certain; minus infinity where the sample does not say."""
    keys = np.empty(len(sample) * BLOCK, np.int64)
    sums = np.empty(BLOCK, np.float32)
    count = 0
    for block in range(len(sample)):
        sums_of(sample[block], weights, sums)
        for i in range(BLOCK):
            row = (block * BLOCK + i) * stride
            if row < items and allowed[row]:
                keys[count] = key_of(sums[i], row)
                count += 1
    expected = k / stride
    place = math.ceil(expected + 2.5 * math.sqrt(expected) + 1)
    if place > count:
        return -np.inf
    select(keys, count, place)
    return np.float64(score_of(keys[place - 1]))


@compiled(
    read("f4", 2),
    read("f4"),
    scalar("i8"),
    scalar("f8"),
    written("i8"),
    scalar("i8"),
    scalar("i8"),
    scalar("f8"),
)
def _settle(
    vectors: F32,
    query: F32,
    k: int,
    to_bound: float,
    keys: Keys,
    scored: int,
    count: int,
    threshold: float,
) -> tuple[int, float]:
    """Leave the k best of a list, the last of them last. keys: `scored` with scores, then others
    with bounds, all less `to_bound`. Returns how many are left, and the threshold they make."""
    first = min(count - scored, k)
    select(keys[scored:], count - scored, first)
    for i in range(scored, scored + first):
        row = row_of(keys[i])
        keys[i] = key_of(dot(vectors[row], query), row)
    kept = scored + first
    if kept >= k:
        select(keys, kept, k)
        kept = k
        threshold = max(threshold, float(score_of(keys[k - 1])) - to_bound)
    end = kept
    for i in range(scored + first, count):
        key = keys[i]
        keys[end] = key
        end += int(score_of(key) >= threshold)
    for i in range(kept, end):
        row = row_of(keys[i])
        keys[i] = key_of(dot(vectors[row], query), row)
    kept = end
    if kept > k:
        select(keys, kept, k)
        kept = k
        threshold = max(threshold, float(score_of(keys[k - 1])) - to_bound)
    return kept, threshold


@compiled(
    read("f4", 2),
    read("i1", 3),
    read("f4", 2),
    read("f4", 2),
    read("i8"),
    read("f8"),
    several(read("b1"), TOGETHER),
    written("f8"),
    written("i8", 2),
    written("i8"),
)
def _scan(
    vectors: F32,
    codes: I8,
    weights: F32,
    queries: F32,
    ks: I64,
    to_bounds: F64,
    masks: tuple[Mask, Mask, Mask, Mask],
    thresholds: F64,
    keys: Keys,
    kept: I64,
) -> None:
    """Fill the lists of all queries; thresholds: where to begin, raised on the way."""
    many, room = keys.shape
    items = len(vectors)
    sums = np.empty((many, BLOCK), np.float32)
    scored = np.zeros(many, np.int64)
    kept[:] = 0
    for block in range(len(codes)):
        sums_of_all(codes[block], weights, sums)
        start = block * BLOCK
        for q in range(many):
            threshold = np.float32(thresholds[q])
            allowed = masks[q]
            of_query = sums[q]
            count = kept[q]
            for word in range(0, BLOCK, _WORD):
                reaching = np.uint64(0)
                for i in range(_WORD):
                    reaching |= np.uint64(of_query[word + i] >= threshold) << np.uint64(i)
                while reaching:
                    lowest = reaching & (~reaching + np.uint64(1))
                    reaching ^= lowest
                    i = word + int(np.float64(lowest).view(np.int64) >> 52) - 1023  # its exponent
                    row = start + i
                    if row < items and allowed[row]:
                        keys[q, count] = key_of(of_query[i], row)
                        count += 1
            if count > room - BLOCK:
                count, thresholds[q] = _settle(
                    vectors, queries[q], ks[q], to_bounds[q], keys[q], scored[q], count,
                    thresholds[q],
                )  # fmt: skip
                scored[q] = count
            kept[q] = count
    for q in range(many):
        kept[q], thresholds[q] = _settle(
            vectors, queries[q], ks[q], to_bounds[q], keys[q], scored[q], kept[q], thresholds[q]
        )


@compiled(
    read("f4", 2),
    read("f4", 2),
    read("f4"),
    read("f4"),
    read("f8"),
    read("i1", 3),
    read("i1", 3),
    scalar("i8"),
    read("f4", 2),
    read("i8"),
    read("b1"),
    read("b1"),
    read("b1"),
    read("b1"),
    written("i4", 2),
    written("f4", 2),
    written("b1"),
)
def nearest(
    vectors: F32,
    directions: F32,
    steps: F32,
    middles: F32,
    slacks: F64,
    codes: I8,
    sample: I8,
    stride: int,
    queries: F32,
    ks: I64,
    allowed: Mask,
    of_second: Mask,
    of_third: Mask,
    of_fourth: Mask,
    rows: Rows,
    scores: F32,
    again: Mask,
) -> None:
    """Of each query the k best allowed rows, best first, and their inner products.

    vectors to stride: of the index, see `SpectralIndex`. queries: float32 (b, d), b up to TOGETHER.
    ks: int64 (b,). allowed to of_fourth: bool (n,), of each query, any beyond the last; at least k
    are allowed. Written: rows and scores, (b, the greatest k); again: (b,), whether the guess was
    too high.
    """
    masks = (allowed, of_second, of_third, of_fourth)
    many = len(queries)
    weights = np.empty((many, codes.shape[1]), np.float32)
    to_bounds, thresholds = np.empty(many), np.empty(many)
    for q in range(many):
        to_estimate, to_bounds[q] = weigh(
            directions, steps, middles, slacks, queries[q], weights[q]
        )
        without_tail = weights[q].copy()
        without_tail[len(directions)] = 0
        guess = _guess(sample, without_tail, stride, len(vectors), masks[q], ks[q])
        thresholds[q] = guess + to_estimate - to_bounds[q]
    guessed = thresholds.copy()
    keys = np.empty((many, 4 * ks.max() + _ROOM), np.int64)
    kept = np.empty(many, np.int64)
    _scan(vectors, codes, weights, queries, ks, to_bounds, masks, thresholds, keys, kept)
    for q in range(many):
        k = ks[q]
        last = score_of(keys[q, k - 1]) - to_bounds[q] if kept[q] == k else -np.inf
        again[q] = last < guessed[q]
        if again[q]:
            thresholds[q] = last
            one = slice(q, q + 1)
            mask = masks[q]
            _scan(
                vectors, codes, weights[one], queries[one], ks[one], to_bounds[one],
                (mask, mask, mask, mask), thresholds[one], keys[one], kept[one],
            )  # fmt: skip
        write_in_order(keys[q], k, rows[q], scores[q])


@compiled(read("f4", 2), read("f4"), scalar("i8"), read("i8"), written("i4"), written("f4"))
def best_of(vectors: F32, query: F32, k: int, candidates: I64, rows: Rows, scores: F32) -> None:
    """The k best of some rows, best first, by scoring all of them. candidates: int64."""
    keys = np.empty(len(candidates), np.int64)
    for i in range(len(candidates)):
        row = candidates[i]
        keys[i] = key_of(dot(vectors[row], query), row)
    select(keys, len(keys), k)
    write_in_order(keys, k, rows, scores)
