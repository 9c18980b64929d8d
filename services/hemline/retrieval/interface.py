"""What an index is to the rest of the retrieval, whatever its kind and wherever it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hemline.contracts import Rows
from hemline.filters import Mask
from hemline.vectors import F32


@dataclass(frozen=True, eq=False)
class Search:
    """vector: float32 (d,). allowed: bool (n,); matching: how many are True, at least k."""

    vector: F32
    k: int
    allowed: Mask
    matching: int


class Index(Protocol):
    """The vectors of one space. Safe for any number of threads, but for those on a GPU."""

    @property
    def dim(self) -> int: ...

    @property
    def memory_bytes(self) -> int:
        """Of vectors and of what is kept beside them."""

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """The k best allowed rows, best first, and their inner products with `vector`.

        vector: float32 (d,), finite. allowed: bool (n,); matching: how many are True, at least k.
        Returns int32 (k,) and float32 (k,).
        """


class Batches(Protocol):
    """An index that answers several searches in one pass over the items."""

    def suits(self, k: int, matching: int) -> bool:
        """Whether such a search is better made with others than alone."""

    def search_batch(self, searches: Sequence[Search]) -> list[tuple[Rows, F32]]:
        """As of `Index.search`, for each of them."""
