"""Which index answers for a set of vectors: by hand, or by their number and the device.

    auto      exact up to ten million items, beyond it ivfpq; on a GPU scan
    exact     the faster of two exact ones for these vectors: spectral or int8
    spectral  exact, reading only the directions that hold most of the energy
    int8 fp16 exact: a scan of rounded vectors, then float32
    flat      exact: FAISS's scan of all vectors in float32; on a GPU too
    hnsw      approximate, a graph; with an exact one beside it for selective filters, as all below
    ivf       approximate, a partition; on a GPU too
    ivfpq     approximate, a partition of 4-bit codes: the fastest, and the smallest
    scan      on a GPU: exact, in fp16, then float32; by torch
    cagra     on a GPU: approximate, a graph; by builds of FAISS that have cuVS

What cannot be honoured is refused here, before anything is served. FAISS's indexes on a GPU can
leave nothing out, and filters and deletions do: they need the exact one beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hemline.errors import InvalidInputError
from hemline.retrieval.approximate import ApproximateIndex
from hemline.retrieval.exact import ExactIndex, FlatIndex
from hemline.retrieval.faiss_seam import GpuKind, check_gpu
from hemline.retrieval.gpu_faiss import GpuFaissIndex
from hemline.retrieval.gpu_scan import TorchScan, require_torch
from hemline.retrieval.interface import Batches, Index
from hemline.retrieval.queue import MAX_BATCH
from hemline.retrieval.spectral import SpectralIndex, head_of
from hemline.retrieval.spectral_scan import TOGETHER
from hemline.vectors import F32

CpuKind = Literal["exact", "spectral", "int8", "fp16", "flat", "hnsw", "ivf", "ivfpq"]
CudaKind = Literal["scan", "flat", "ivf", "cagra"]
CPU_KINDS: tuple[CpuKind, ...] = get_args(CpuKind)
CUDA_KINDS: tuple[CudaKind, ...] = get_args(CudaKind)

# A search of so few items takes .1 to .3 ms, and handing it to a thread .1: it runs where it is
# asked for. No approximation is faster there.
BRIEF = 100_000

EXACT_UP_TO = 10_000_000  # items: up to here an exact scan beats an ANN in simplicity and truth


@dataclass(frozen=True)
class IndexSettings:
    """kind: one of CPU_KINDS or CUDA_KINDS, or auto. device: cpu or cuda. filtered_by: what answers
    searches that leave items out: the index itself, or an exact one on the CPU beside it. brief:
    items, up to which an index on the CPU is exact, and searched where a search is asked for.

    `checked_settings` says whether it can be had here.
    """

    kind: str = "auto"
    device: str = "cpu"
    filtered_by: str = "index"
    brief: int = BRIEF

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @property
    def at_once(self) -> int:
        """Queries, up to which a batch gets cheaper by the query; with more, those that are
        answered would only wait for the others."""
        return MAX_BATCH if self.on_gpu or self.kind == "flat" else TOGETHER


@dataclass(frozen=True)
class BuiltIndex:
    """kind: what it is in the end. batches: the index, where it is better asked many at once."""

    kind: str
    index: Index
    batches: Batches | None = None


def checked_settings(settings: IndexSettings, threads: int = 1) -> IndexSettings:
    """The settings, with `auto` decided for a GPU. threads: that are to search.

    Raises InvalidInputError for what there is not, or what the index could not honour, SetupError
    for a GPU or a library that is not here.
    """
    if settings.device not in ("cpu", "cuda"):
        raise InvalidInputError("device", f"{settings.device!r} is not one of cpu, cuda")
    if settings.filtered_by not in ("index", "exact"):
        raise InvalidInputError("filtered_by", f"{settings.filtered_by!r} is not index or exact")
    known: tuple[str, ...] = ("auto", *(CUDA_KINDS if settings.on_gpu else CPU_KINDS))
    if settings.kind not in known:
        raise InvalidInputError(
            "index",
            f"{settings.kind!r} is not one of {', '.join(known)}, those of --device "
            f"{settings.device}",
        )
    if not settings.on_gpu:
        return settings
    if threads != 1:
        raise InvalidInputError(
            "search_threads", f"is {threads}; an index on a GPU is for one thread: set it to 1"
        )
    if settings.kind in ("auto", "scan"):
        require_torch(settings.device)
        return IndexSettings("scan", settings.device, settings.filtered_by, brief=0)
    if settings.filtered_by == "index":
        raise InvalidInputError(
            "index",
            f"{settings.kind!r} on a GPU cannot leave items out, as filters and deletions do; set "
            "--filtered-by exact to have an exact one on the CPU answer then, or --index scan",
        )
    check_gpu(_cuda_kind(settings.kind))
    return IndexSettings(settings.kind, settings.device, settings.filtered_by, brief=0)


def build_index(vectors: F32, settings: IndexSettings) -> BuiltIndex:
    """The index of these vectors, float32 (n, d), unit norm; settings: from `checked_settings`."""
    if settings.kind == "scan":
        scan = TorchScan(vectors, settings.device)
        return BuiltIndex("scan", scan, scan)
    if settings.on_gpu:
        kind = _cuda_kind(settings.kind)
        on_gpu = GpuFaissIndex(vectors, kind, _exact(vectors, "exact").index)
        return BuiltIndex(kind, on_gpu, on_gpu)
    chosen = _chosen(len(vectors), settings.kind, settings.brief)
    if chosen == "int8" or chosen == "fp16":
        return BuiltIndex(chosen, ExactIndex(vectors, chosen))
    if chosen == "flat":
        return BuiltIndex(chosen, FlatIndex(vectors))
    if chosen == "exact" or chosen == "spectral":
        return _exact(vectors, chosen)
    exact = _exact(vectors, "exact").index
    return BuiltIndex(chosen, ApproximateIndex(vectors, chosen, exact))


def _chosen(items: int, kind: str, brief: int) -> CpuKind:
    if kind == "auto":
        return "exact" if items <= EXACT_UP_TO else "ivfpq"
    if kind in ("hnsw", "ivf", "ivfpq") and items <= brief:
        return "exact"
    return next(known for known in CPU_KINDS if known == kind)


def _cuda_kind(kind: str) -> GpuKind:
    return next(known for known in get_args(GpuKind) if known == kind)


def _exact(vectors: F32, kind: Literal["exact", "spectral"]) -> BuiltIndex:
    head = head_of(vectors, align=4, beside=1)  # codes come in fours, the tail's among them
    few_directions = 2 * head.shape[1] <= vectors.shape[1]
    if kind == "exact" and not few_directions:
        return BuiltIndex("int8", ExactIndex(vectors))
    index = SpectralIndex(vectors, head)
    return BuiltIndex("spectral", index, index)
