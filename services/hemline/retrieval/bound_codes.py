"""Bounds of inner products from codes of one byte a column; compiled.

Codes lie in blocks of BLOCK items, of each first one column of all its items, then the next: int8
(blocks, columns, BLOCK). Columns are a multiple of four. A code c of column j stands for
`middles[j] + steps[j] c`: the columns of the head first, then the length of the tail, rounded up,
then zeros.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hemline.compiled import compiled, read, written
from hemline.vector_rows import dot
from hemline.vectors import F32

BLOCK = 256  # items: a block's codes and bounds stay in the nearest cache

I8 = npt.NDArray[np.int8]
F64 = npt.NDArray[np.float64]


@compiled(read("f4", 2), read("f4"), read("f4"), read("f8"), read("f4"), written("f4"))
def weigh(
    directions: F32, steps: F32, middles: F32, slacks: F64, query: F32, weights: F32
) -> tuple[float, float]:
    """Write what codes are multiplied with. Returns what, added to that sum, makes an estimate of
    the score, where the tail's weight is left out, and what makes a bound of it.

    directions: float32 (m, d), orthonormal. slacks: of the longest error of a head the length in
    steps; and what float32 may get wrong, as a share of the query's length. query: float32 (d,).
    """
    heads = len(directions)
    tail = query.copy()
    estimate, uncertain = 0.0, 0.0
    for j in range(heads):
        share = dot(directions[j], query)
        for i in range(len(tail)):
            tail[i] -= share * directions[j, i]
        weights[j] = share * steps[j]
        estimate += share * middles[j]
        uncertain += np.float64(weights[j]) ** 2
    length = math.sqrt(dot(tail, tail))
    weights[heads] = length * steps[heads]
    weights[heads + 1 :] = 0
    bound = estimate + length * middles[heads] + slacks[0] * math.sqrt(uncertain)
    return estimate, bound + slacks[1] * math.sqrt(dot(query, query))


@compiled(read("i1", 2), read("f4"), written("f4"))
def sums_of(codes: I8, weights: F32, sums: F32) -> None:
    """Of each item of a block the weighted sum of its codes, for one query."""
    columns, items = codes.shape
    sums[:] = 0
    for j in range(0, columns, 4):
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for i in range(items):
            c0, c1 = np.float32(codes[j, i]), np.float32(codes[j + 1, i])
            c2, c3 = np.float32(codes[j + 2, i]), np.float32(codes[j + 3, i])
            sums[i] += (w0 * c0 + w1 * c1) + (w2 * c2 + w3 * c3)


@compiled(read("i1", 2), read("f4", 2), written("f4", 2))
def _sums_of_four(codes: I8, weights: F32, sums: F32) -> None:
    """The same for four queries: what was read and converted is used four times."""
    columns, items = codes.shape
    sums[:] = 0
    s0, s1, s2, s3 = sums[0], sums[1], sums[2], sums[3]
    for j in range(0, columns, 4):
        a0, a1, a2, a3 = weights[0, j], weights[0, j + 1], weights[0, j + 2], weights[0, j + 3]
        b0, b1, b2, b3 = weights[1, j], weights[1, j + 1], weights[1, j + 2], weights[1, j + 3]
        c0, c1, c2, c3 = weights[2, j], weights[2, j + 1], weights[2, j + 2], weights[2, j + 3]
        d0, d1, d2, d3 = weights[3, j], weights[3, j + 1], weights[3, j + 2], weights[3, j + 3]
        for i in range(items):
            x0, x1 = np.float32(codes[j, i]), np.float32(codes[j + 1, i])
            x2, x3 = np.float32(codes[j + 2, i]), np.float32(codes[j + 3, i])
            s0[i] += (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3)
            s1[i] += (b0 * x0 + b1 * x1) + (b2 * x2 + b3 * x3)
            s2[i] += (c0 * x0 + c1 * x1) + (c2 * x2 + c3 * x3)
            s3[i] += (d0 * x0 + d1 * x1) + (d2 * x2 + d3 * x3)


@compiled(read("i1", 2), read("f4", 2), written("f4", 2))
def sums_of_all(codes: I8, weights: F32, sums: F32) -> None:
    """The same for one to four queries. weights: (queries, columns). sums: (queries, BLOCK)."""
    if len(weights) == 4:
        _sums_of_four(codes, weights, sums)
        return
    for q in range(len(weights)):
        sums_of(codes, weights[q], sums[q])


@compiled(
    read("f4", 2),
    read("f4"),
    read("f4"),
    read("f8"),
    read("i1", 3),
    read("f4"),
    written("f4"),
)
def all_bounds(
    directions: F32, steps: F32, middles: F32, slacks: F64, codes: I8, query: F32, bounds: F32
) -> None:
    """What the inner product of each item with the query does not exceed: float32 (n,)."""
    weights = np.empty(codes.shape[1], np.float32)
    sums = np.empty(BLOCK, np.float32)
    _, to_bound = weigh(directions, steps, middles, slacks, query, weights)
    for block in range(len(codes)):
        sums_of(codes[block], weights, sums)
        start = block * BLOCK
        for i in range(min(BLOCK, len(bounds) - start)):
            bounds[start + i] = sums[i] + to_bound
