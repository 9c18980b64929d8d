"""Which index answers for a set of vectors: by hand, or by their number and the device.

    auto      exact up to ten million items, beyond it ivf; on a GPU scan
    exact     the faster of two exact ones for these vectors: spectral or int8
    spectral  exact, reading only the directions that hold most of the energy
    int8 fp16 exact: a scan of rounded vectors, then float32
    flat      exact: FAISS's scan of all vectors in float32
    hnsw      approximate, a graph; with an exact one beside it for selective filters, as all below
    ivf       approximate, a partition
    ivfpq     approximate, a partition of 4-bit codes: a tenth of ivf's memory

What cannot be honoured is refused here, before anything is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hemline.errors import InvalidInputError
from hemline.retrieval.approximate import ApproximateIndex
from hemline.retrieval.exact import ExactIndex, FlatIndex
from hemline.retrieval.interface import Batches, Index
from hemline.retrieval.spectral import SpectralIndex, head_of
from hemline.retrieval.spectral_batch import SpectralBatch
from hemline.vectors import F32

_CpuKind = Literal["exact", "spectral", "int8", "fp16", "flat", "hnsw", "ivf", "ivfpq"]
IndexKind = Literal["auto", "exact", "spectral", "int8", "fp16", "flat", "hnsw", "ivf", "ivfpq"]
KINDS: tuple[IndexKind, ...] = get_args(IndexKind)

# A scan of so few items takes half a millisecond, and handing it to a thread a tenth: it runs where
# it is asked for, and alone. No approximation is faster there.
BRIEF = 100_000

EXACT_UP_TO = 10_000_000  # items: up to here an exact scan beats an ANN in simplicity and truth


@dataclass(frozen=True)
class BuiltIndex:
    """kind: what it is in the end. batches: what answers many searches at once, if anything."""

    kind: IndexKind
    index: Index
    batches: Batches | None = None

    @property
    def memory_bytes(self) -> int:
        return self.index.memory_bytes + (self.batches.memory_bytes if self.batches else 0)


def check_kind(kind: str) -> IndexKind:
    """Raises InvalidInputError for a kind of index that there is none of."""
    if kind not in KINDS:
        raise InvalidInputError("index", f"{kind!r} is not one of {', '.join(KINDS)}")
    return kind


def build_index(vectors: F32, kind: IndexKind, brief: int = BRIEF) -> BuiltIndex:
    """The index of these vectors, float32 (n, d), unit norm. brief: items up to which there are
    neither approximations nor batches."""
    chosen = _chosen(len(vectors), kind, brief)
    if chosen == "int8" or chosen == "fp16":
        return BuiltIndex(chosen, ExactIndex(vectors, chosen))
    if chosen == "flat":
        return BuiltIndex(chosen, FlatIndex(vectors))
    if chosen == "exact" or chosen == "spectral":
        return _exact(vectors, chosen, brief)
    exact = _exact(vectors, "exact", brief).index
    return BuiltIndex(chosen, ApproximateIndex(vectors, chosen, exact))


def _chosen(items: int, kind: IndexKind, brief: int) -> _CpuKind:
    if kind == "auto":
        return "exact" if items <= EXACT_UP_TO else "ivf"
    if kind in ("hnsw", "ivf", "ivfpq") and items <= brief:
        return "exact"
    return kind


def _exact(vectors: F32, kind: Literal["exact", "spectral"], brief: int) -> BuiltIndex:
    head = head_of(vectors)
    few_directions = 2 * head.shape[1] <= vectors.shape[1]
    if kind == "exact" and not few_directions:
        return BuiltIndex("int8", ExactIndex(vectors))
    index = SpectralIndex(vectors, head)
    return BuiltIndex("spectral", index, SpectralBatch(index) if len(vectors) > brief else None)
