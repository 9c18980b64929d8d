"""The indexes of one set of items, one for each space, and queries that ask several at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hemline.contracts import Rows, Space
from hemline.filters import Mask
from hemline.retrieval.blended import Part, search_blended
from hemline.retrieval.interface import Batches
from hemline.retrieval.kinds import BuiltIndex, IndexSettings, build_index
from hemline.retrieval.spectral import SpectralIndex
from hemline.vectors import F32


class SpaceIndexes:
    """vectors: by space, float32 (n, dim), all of the same n items. settings: from
    `checked_settings`."""

    def __init__(self, vectors: Mapping[Space, F32], settings: IndexSettings) -> None:
        self._vectors = dict(vectors)
        self._built: dict[Space, BuiltIndex] = {
            space: build_index(of_space, settings) for space, of_space in vectors.items()
        }
        self.batches: dict[Space, Batches] = {
            space: built.batches
            for space, built in self._built.items()
            if built.batches is not None
        }

    def dim(self, space: Space) -> int:
        """Length of the vectors of a space."""
        return self._built[space].index.dim

    @property
    def memory_bytes(self) -> int:
        """Bytes of vectors and codes held."""
        return sum(built.index.memory_bytes for built in self._built.values())

    @property
    def bytes_beside_vectors(self) -> int:
        """Bytes of what is held beside the vectors that were given."""
        return self.memory_bytes - sum(vectors.nbytes for vectors in self._vectors.values())

    def search(
        self, parts: Sequence[tuple[Space, F32]], k: int, allowed: Mask, matching: int
    ) -> tuple[Rows, F32]:
        """The k best allowed items by the sum of their inner products with each part's vector, best
        first: places int32 (k,), scores float32 (k,). matching: of how many, at least k."""
        if len(parts) == 1:
            ((space, vector),) = parts
            return self._built[space].index.search(vector, k, allowed, matching)
        blended = [
            Part(
                self._vectors[space],
                index if isinstance(index := self._built[space].index, SpectralIndex) else None,
                vector,
            )
            for space, vector in parts
        ]
        return search_blended(blended, k, allowed, matching)
