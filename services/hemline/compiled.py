"""Loops compiled to machine code, for what a request would else do in dozens of NumPy calls.

On the few hundred candidates of an answer a NumPy call is mostly overhead: allocating its result,
checking types, and taking the interpreter's lock again. A loop here costs what its arithmetic
costs, and leaves the lock alone while it runs. It stays Python, in the part of it that Numba
compiles (https://numba.readthedocs.io/en/stable/reference/pysupported.html).

Argument types are said with each function, so that everything is compiled when its module is
imported, never during a request; another type of argument raises TypeError. What was compiled is
kept beside the source, or in NUMBA_CACHE_DIR, for the processes and starts to come. Numba notices
when a function's own module has changed, not when another one has whose function it calls: after
changing `vector_rows.dot`, say, delete the `*.nbi` files, as `make clean` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np

logger = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., Any])

# Sums may be added up in another order, which is what lets several lanes add at once. NaN and
# infinity keep their meaning.
_REORDERED = {"reassoc", "contract", "nsz"}


def scalar(dtype: str) -> Any:
    """The type of a number: "f4", "i8", "b1" and so on, as NumPy calls them."""
    return numba.from_dtype(np.dtype(dtype))


def read(dtype: str, dimensions: int = 1) -> Any:
    """The type of a contiguous array that is only read; a read-only one will do."""
    return numba.types.Array(scalar(dtype), dimensions, "C", readonly=True)


def written(dtype: str, dimensions: int = 1) -> Any:
    """The type of a contiguous array that is written to."""
    return numba.types.Array(scalar(dtype), dimensions, "C")


def several(type_: Any, count: int) -> Any:
    """The type of a tuple of so many of one type, between compiled functions."""
    return numba.types.UniTuple(type_, count)  # type: ignore[no-untyped-call]


def compiled(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for arguments of these types, in their order; its result's type follows.

    It runs without the interpreter's lock and without checking indices: what it is called with
    must have been checked.
    """

    def compile_it(function: Function) -> Function:
        compile_for: Any = partial(
            numba.njit, [arguments], nogil=True, error_model="numpy", fastmath=_REORDERED
        )
        try:
            made: Function = compile_for(cache=True)(function)
        except RuntimeError as error:  # a read-only installation and no home
            if "cache" not in str(error):
                raise
            logger.warning("compiled at every start, for want of a NUMBA_CACHE_DIR: %s", error)
            made = compile_for()(function)
        return made

    return compile_it
