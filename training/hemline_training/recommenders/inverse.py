"""The inverse of a large symmetric positive definite matrix, in place, by matrix products alone.

OpenBLAS' `spotrf` crashes at 41 thousand rows with two threads, and LAPACK's inverse wants a second
copy. Sweeping one block of columns after the other (Goodnight, "A Tutorial on the SWEEP Operator",
The American Statistician 1979) needs neither: n³ operations, nearly all of them in `sgemm`, and one
block column besides the matrix itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg

from hemline.vectors import F32

BLOCK = 1024
PANEL = 2048


def invert_in_place(a: F32, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
    """Replace `a`, float32 (n, n), symmetric positive definite, by its inverse.

    Only the lower triangle is read; both are written. progress: told blocks done and in all.
    Raises numpy.linalg.LinAlgError when a is not positive definite.
    """
    n = len(a)
    starts = range(0, n, BLOCK)
    for number, start in enumerate(starts):
        end = min(start + BLOCK, n)
        column = np.concatenate([a[start:end, :start].T, a[start:, start:end]])  # (n, block)
        pivot = np.tril(column[start:end].astype(np.float64))
        pivot += np.tril(pivot, -1).T
        factor = scipy.linalg.cho_factor(pivot, lower=True)
        small = scipy.linalg.cho_solve(factor, np.eye(end - start)).astype(np.float32)
        scaled = column @ small
        for top in range(0, n, PANEL):
            bottom = min(top + PANEL, n)
            a[top:bottom, :bottom] -= scaled[top:bottom] @ column[:bottom].T
        a[start:end, :start] = scaled[:start].T
        a[start:, start:end] = scaled[start:]
        a[start:end, start:end] = -(small + small.T) / 2
        progress(number + 1, len(starts))
    # Swept over all blocks, the lower triangle holds minus the inverse.
    for top in range(0, n, PANEL):
        bottom = min(top + PANEL, n)
        corner = -np.tril(a[top:bottom, top:bottom])
        a[top:bottom, top:bottom] = corner + np.tril(corner, -1).T
        a[top:bottom, :top] *= -1.0
        a[:top, top:bottom] = a[top:bottom, :top].T
