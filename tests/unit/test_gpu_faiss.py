"""FAISS on a GPU, by one that stands for it: what it cannot honour goes to the exact one beside.

`FaissOfGpus` scores everything in NumPy, under the names and limits of FAISS's GPU indexes. That
FAISS's own do the same has not been seen: no test here has a GPU.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hemline import metrics
from hemline.errors import SetupError
from hemline.retrieval.exact import ExactIndex
from hemline.retrieval.faiss_seam import GpuKind, OnGpu, check_gpu
from hemline.retrieval.gpu_faiss import GpuFaissIndex
from hemline.retrieval.interface import Search

N, DIM = 4_000, 16
X = np.float32(np.random.default_rng(4).normal(size=(N, DIM)))
X /= np.linalg.norm(X, axis=1, keepdims=True)
BESIDE = ExactIndex(X)


class GpuIndex:
    """Exact, and as strict as FAISS: k up to `max_k`, no selector, nothing before it is trained."""

    def __init__(self, dim: int, max_k: int, trains: bool, holds: bool) -> None:
        self.d, self.ntotal = dim, 0
        self._max_k, self._holds = max_k, holds
        self._trained = not trains
        self._vectors = np.zeros((0, dim), np.float32)

    def train(self, vectors: np.ndarray) -> None:
        self._trained = True
        if self._holds:  # a graph is built at once
            self._set(vectors)

    def add(self, vectors: np.ndarray) -> None:
        assert self._trained and not self._holds
        self._set(vectors)

    def _set(self, vectors: np.ndarray) -> None:
        self._vectors, self.ntotal = vectors, len(vectors)

    def search(self, queries: np.ndarray, k: int, params: Any) -> tuple[np.ndarray, np.ndarray]:
        assert k <= self._max_k, "k over the limit of the GPU"
        assert getattr(params, "sel", None) is None, "GPU indexes know no selectors"
        scores = queries @ self._vectors.T
        rows = np.argsort(-scores, axis=1)[:, :k]
        if getattr(params, "nprobe", 2) == 1:  # so few lists that nearly nothing is found
            rows[:, 1:] = -1
        return np.take_along_axis(scores, rows, axis=1), rows.astype(np.int64)


class FaissOfGpus:
    __version__ = "0.0 of a test"
    METRIC_INNER_PRODUCT = 0
    GpuIndexFlatConfig = GpuIndexIVFFlatConfig = GpuIndexCagraConfig = SimpleNamespace
    StandardGpuResources = SearchParametersIVF = SearchParametersCagra = SimpleNamespace

    def __init__(self, gpus: int = 1) -> None:
        self._gpus = gpus

    def get_num_gpus(self) -> int:
        return self._gpus

    def GpuIndexFlatIP(self, resources: Any, dim: int, config: Any) -> GpuIndex:
        return GpuIndex(dim, 2048, trains=False, holds=False)

    def GpuIndexIVFFlat(
        self, resources: Any, dim: int, lists: int, metric: int, config: Any
    ) -> GpuIndex:
        return GpuIndex(dim, 2048, trains=True, holds=False)

    def GpuIndexCagra(self, resources: Any, dim: int, metric: int, config: Any) -> GpuIndex:
        assert config.graph_degree <= config.intermediate_graph_degree
        return GpuIndex(dim, 512, trains=True, holds=True)


def counted(scan: str) -> float:
    return float(metrics.SEARCH_SCANS.labels(scan)._value.get())


@pytest.mark.parametrize("kind", ["flat", "ivf", "cagra"])
def test_a_mixed_batch_is_answered_truly_by_gpu_and_cpu(kind: GpuKind) -> None:
    index = GpuFaissIndex(X, kind, BESIDE, FaissOfGpus())
    everything = np.ones(N, bool)
    half = np.random.default_rng(1).random(N) < 0.5
    searches = [
        Search(X[5], 10, everything, N),
        Search(X[6], 10, half, int(half.sum())),  # a filter
        Search(X[7], 1000, everything, N),
        Search(X[8], 3000, everything, N),  # over the limit of every GPU index
    ]
    on_gpu, beside = counted("gpu_faiss"), counted("exact_for_gpu")
    for search, (rows, scores) in zip(searches, index.search_batch(searches), strict=True):
        assert len(set(rows.tolist())) == search.k and search.allowed[rows].all()
        best = np.sort(X[search.allowed] @ search.vector)[::-1][: search.k]
        np.testing.assert_allclose(scores, best, rtol=1e-4, atol=1e-5)
    taken = 1 if kind == "cagra" else 2
    assert counted("gpu_faiss") == on_gpu + taken
    assert counted("exact_for_gpu") == beside + 4 - taken
    assert index.memory_bytes > BESIDE.memory_bytes


def test_what_the_gpu_finds_too_few_of_is_found_beside() -> None:
    index = GpuFaissIndex(X, "ivf", BESIDE, FaissOfGpus())
    index._effort = 1
    before = counted("gpu_then_exact")
    rows, _ = index.search(X[9], 10, np.ones(N, bool), N)
    assert rows.tolist() == np.argsort(-(X @ X[9]))[:10].tolist()
    assert counted("gpu_then_exact") == before + 1


def test_a_build_or_machine_without_is_refused_by_what_is_missing() -> None:
    with pytest.raises(SetupError, match=r"built for CPUs; .* extra 'gpu'"):
        check_gpu("flat", SimpleNamespace(__version__="1.15"))
    with pytest.raises(SetupError, match="FAISS finds none here"):
        OnGpu(X, "ivf", FaissOfGpus(gpus=0))
    without = SimpleNamespace(
        __version__="1.14", StandardGpuResources=object, get_num_gpus=lambda: 1
    )
    with pytest.raises(SetupError, match="lacks GpuIndexCagra; cagra comes with builds"):
        check_gpu("cagra", without)
