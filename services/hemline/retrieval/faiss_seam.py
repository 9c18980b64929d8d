"""All that is said to FAISS, so that it is imported here and nowhere else.

Each class holds one of its indexes and answers one query with rows, best first; which rows may be
found is a bitmap. What FAISS cannot do is not papered over here: `hemline.retrieval.approximate`
and `hemline.retrieval.gpu_faiss` know what to ask instead.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import faiss
import numpy as np
import numpy.typing as npt

from hemline.errors import SetupError
from hemline.filters import Mask
from hemline.vectors import F32

FoundRows = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint8]

_TRAINED_ON = 50  # items a list, for the partition's centres


def bits_of(allowed: Mask, matching: int) -> Bits | None:
    """The bitmap of what may be found; None where that is everything."""
    return None if matching == len(allowed) else np.packbits(allowed, bitorder="little")


class Flat:
    """All vectors in float32."""

    def __init__(self, vectors: F32) -> None:
        faiss.omp_set_num_threads(1)
        self._index = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(vectors)

    def search(self, vectors: F32, k: int, bits: Bits | None) -> tuple[F32, FoundRows]:
        """Scores and rows (b, k) of vectors (b, d), best first; row -1 where fewer than k match."""
        parameters = None
        if bits is not None:
            parameters = faiss.SearchParameters(sel=_selector(bits))  # type: ignore[call-arg]
        return self._index.search(vectors, k, params=parameters)


class OneList:
    """Codes of all items in one inverted list: only IndexIVF scans for a threshold at full speed.

    coding: "int8" takes integers in [-127, 127], of items and queries alike, as FAISS computes
    integer products of them; "fp16" takes any vectors up to 65,504.
    """

    def __init__(self, vectors: F32, coding: str) -> None:
        faiss.omp_set_num_threads(1)
        dim = vectors.shape[1]
        kinds = faiss.ScalarQuantizer
        kind = kinds.QT_8bit_direct_signed if coding == "int8" else kinds.QT_fp16
        self._coarse = faiss.IndexFlatIP(dim)  # kept here: FAISS does not own it
        self._coarse.add(np.zeros((1, dim), dtype=np.float32))
        self._index = faiss.IndexIVFScalarQuantizer(
            self._coarse, dim, 1, kind, faiss.METRIC_INNER_PRODUCT, False
        )
        self._index.train(vectors)
        self._index.add(vectors)

    @property
    def memory_bytes(self) -> int:
        return int(self._index.ntotal) * int(self._index.sa_code_size())

    def reaching(self, vector: F32, threshold: float, bits: Bits | None) -> FoundRows:
        """The rows, in no order, whose product with a vector (d,) is above a threshold."""
        parameters = None
        if bits is not None:
            selector = _selector(bits)
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=1)  # type: ignore[call-arg]
        _, _, found = self._index.range_search(vector[None], threshold, params=parameters)
        return found


class Graph:
    """HNSW by distance. links: of each item, twice as many at its ground."""

    def __init__(self, vectors: F32, links: int, ef_construction: int) -> None:
        faiss.omp_set_num_threads(1)
        self._links = links
        self._index = faiss.IndexHNSWFlat(vectors.shape[1], links, faiss.METRIC_L2)
        self._index.hnsw.efConstruction = ef_construction
        self._index.add(vectors)
        self._unfiltered: dict[int, Any] = {}

    @property
    def memory_bytes(self) -> int:
        a_vector = 4 * int(self._index.d)
        return int(self._index.ntotal) * (a_vector + 2 * 4 * self._links + 8 + 4)

    def search(self, vector: F32, k: int, effort: int, bits: Bits | None) -> FoundRows:
        """Up to k rows; effort: efSearch."""
        parameters = self._unfiltered.get(effort) if bits is None else None
        if parameters is None:
            selector = _selector(bits)
            parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=effort)  # type: ignore[attr-defined]
            # A heap of candidates beats FAISS's array of them, but there it forgets the filter.
            parameters.bounded_queue = bits is not None
            if bits is None:
                self._unfiltered[effort] = parameters
        return _rows_of(self._index, vector, k, parameters)


class Lists:
    """IVF. coding: "flat" keeps the vectors in float32, "pq" four bits of each dimension."""

    def __init__(self, vectors: F32, coding: str) -> None:
        faiss.omp_set_num_threads(1)
        n, dim = vectors.shape
        self.lists = max(1, min(int(4 * math.sqrt(n)), n // _TRAINED_ON))
        metric = faiss.METRIC_INNER_PRODUCT
        self._coarse = faiss.IndexFlatIP(dim)  # kept here: FAISS does not own it
        self._index: Any
        if coding == "flat":
            self._index = faiss.IndexIVFFlat(self._coarse, dim, self.lists, metric)
        else:
            self._index = faiss.IndexIVFPQFastScan(self._coarse, dim, self.lists, dim, 4, metric)
            # What codes are of; off by default, and then they mix up a third of the best hundred.
            self._index.by_residual = True
        stride = max(1, n // (self.lists * _TRAINED_ON))
        self._index.train(np.ascontiguousarray(vectors[::stride]))
        self._index.add(vectors)

    @property
    def memory_bytes(self) -> int:
        return int(self._index.ntotal) * (int(self._index.sa_code_size()) + 8)

    def search(self, vector: F32, k: int, effort: int, bits: Bits | None) -> FoundRows:
        """Up to k rows; effort: how many lists are looked at."""
        selector = _selector(bits)
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=effort)  # type: ignore[call-arg]
        return _rows_of(self._index, vector, k, parameters)


GpuKind = Literal["flat", "ivf", "cagra"]


class OnGpu:
    """FAISS's own indexes on a GPU: for one thread at a time, without filters, and k up to max_k.

    library: FAISS, or what stands for it in a test. Raises SetupError where this build of FAISS has
    no such index or finds no GPU.
    """

    def __init__(self, vectors: F32, kind: GpuKind, library: Any = faiss) -> None:
        check_gpu(kind, library)
        n, dim = vectors.shape
        self.max_k = 512 if kind == "cagra" else 2048  # limits of cuVS and FAISS
        self.lists = max(1, min(int(4 * math.sqrt(n)), n // _TRAINED_ON))
        self._kind, self._faiss = kind, library
        self._resources = library.StandardGpuResources()  # kept here: FAISS does not own it
        metric = library.METRIC_INNER_PRODUCT
        if kind == "flat":
            self._index = library.GpuIndexFlatIP(self._resources, dim, library.GpuIndexFlatConfig())
        elif kind == "ivf":
            config = library.GpuIndexIVFFlatConfig()
            self._index = library.GpuIndexIVFFlat(self._resources, dim, self.lists, metric, config)
        else:
            config = library.GpuIndexCagraConfig()
            config.graph_degree, config.intermediate_graph_degree = 32, 64
            self._index = library.GpuIndexCagra(self._resources, dim, metric, config)
        self._index.train(vectors)  # which builds the whole graph of cagra
        if kind != "cagra":
            self._index.add(vectors)

    @property
    def memory_bytes(self) -> int:
        """On the GPU."""
        of_graph = 4 * 32 if self._kind == "cagra" else 0
        return int(self._index.ntotal) * (4 * int(self._index.d) + of_graph)

    def search(self, vectors: F32, k: int, effort: int) -> tuple[F32, FoundRows]:
        """Scores and rows (b, k) of vectors (b, d), best first; row -1 where fewer are found.

        effort: lists that are looked at, or candidates of cagra; nothing to flat.
        """
        parameters = None
        if self._kind == "ivf":
            parameters = self._faiss.SearchParametersIVF(nprobe=effort)
        elif self._kind == "cagra":
            parameters = self._faiss.SearchParametersCagra()
            parameters.itopk_size = max(effort, k)
        scores, rows = self._index.search(vectors, k, params=parameters)
        return scores, rows


def check_gpu(kind: GpuKind, library: Any = faiss) -> None:
    """Raises SetupError where FAISS cannot have such an index on a GPU."""
    names = {"flat": "GpuIndexFlatIP", "ivf": "GpuIndexIVFFlat", "cagra": "GpuIndexCagra"}
    if not hasattr(library, "StandardGpuResources"):
        raise SetupError(
            f"index kind {kind!r} on a GPU: this FAISS ({library.__version__}) is built for CPUs; "
            "replace faiss-cpu by the extra 'gpu', or use --index scan, which needs torch alone"
        )
    if not library.get_num_gpus():
        raise SetupError(f"index kind {kind!r} on a GPU: FAISS finds none here; use --device cpu")
    if not hasattr(library, names[kind]):
        raise SetupError(
            f"index kind {kind!r} on a GPU: this build of FAISS ({library.__version__}) lacks "
            f"{names[kind]}; cagra comes with builds that have cuVS; or use --index scan"
        )


def _rows_of(index: Any, vector: F32, k: int, parameters: Any) -> FoundRows:
    """As `index.search` of one vector, whose checks take a tenth of a search."""
    query = np.ascontiguousarray(vector, dtype=np.float32)
    if query.shape != (index.d,):
        raise ValueError(f"a vector of shape {query.shape}, the index has {index.d} dimensions")
    scores, rows = np.empty(k, np.float32), np.empty(k, np.int64)
    pointer = faiss.swig_ptr
    index.search_c(1, pointer(query), k, pointer(scores), pointer(rows), parameters)
    return rows[rows >= 0] if rows[-1] < 0 else rows


def _selector(bits: Bits | None) -> Any:
    if bits is None:
        return None
    # FAISS keeps no more than the pointer; `bits` outlives the search, whose caller has it.
    return faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
