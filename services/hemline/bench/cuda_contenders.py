"""What `bench retrieval --device cuda` compares, and what it draws and takes for the limit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from hemline.filters import Mask
from hemline.retrieval.gpu_scan import TorchScan, require_torch
from hemline.retrieval.interface import Search
from hemline.vectors import F32

if TYPE_CHECKING:
    import torch

TORCH = "torch float32 product + topk"
FAISS = "faiss GpuIndexFlatIP"
_COPIED_BYTES = 1 << 32


class Contender(Protocol):
    name: str
    filters: bool
    memory_bytes: int

    def search(self, queries: F32, k: int, allowed: Mask, matching: int) -> Sequence[Any]:
        """Rows of each query."""


class Ours:
    name = "hemline scan"
    filters = True

    def __init__(self, vectors: F32, device: str) -> None:
        self.scan = TorchScan(vectors, device)
        self.memory_bytes = self.scan.memory_bytes

    def search(self, queries: F32, k: int, allowed: Mask, matching: int) -> Sequence[Any]:
        searches = [Search(query, k, allowed, matching) for query in queries]
        return [rows for rows, _ in self.scan.search_batch(searches)]


class TorchFlat:
    """Also the truth: products of float32, which torch does not shorten unless told to."""

    name = TORCH
    filters = True

    def __init__(self, vectors: F32, device: str) -> None:
        self._torch = require_torch(device)
        self._device = device
        self._vectors = self._torch.from_numpy(vectors).to(device)
        self.memory_bytes = int(self._vectors.nbytes)
        self._masks: dict[int, torch.Tensor] = {}

    def search(self, queries: F32, k: int, allowed: Mask, matching: int) -> Sequence[Any]:
        rows = []
        for start in range(0, len(queries), 32):  # 1.3 GB of scores of ten million items
            _, best = self.best(queries[start : start + 32], k, allowed, matching)
            rows += list(best)
        return rows

    def best(
        self, queries: F32, k: int, allowed: Mask, matching: int
    ) -> tuple[F32, npt.NDArray[np.int64]]:
        """Scores and rows, (b, k) both."""
        scores = self._torch.from_numpy(queries).to(self._device) @ self._vectors.T
        if matching < len(allowed):
            if id(allowed) not in self._masks:
                self._masks = {id(allowed): self._torch.from_numpy(~allowed).to(self._device)}
            scores.masked_fill_(self._masks[id(allowed)], -self._torch.inf)
        best = scores.topk(k)
        return best.values.cpu().numpy(), best.indices.cpu().numpy()

    def of_rows(self, query: F32, rows: npt.NDArray[np.integer]) -> F32:
        """Scores of some rows."""
        there = self._torch.from_numpy(rows.astype(np.int64)).to(self._device)
        scores: F32 = (
            (self._vectors[there] @ self._torch.from_numpy(query).to(self._device)).cpu().numpy()
        )
        return scores


class FaissFlat:
    name = FAISS
    filters = False

    def __init__(self, vectors: F32) -> None:
        from hemline.retrieval.faiss_seam import OnGpu

        self._index = OnGpu(vectors, "flat")
        self.memory_bytes = self._index.memory_bytes

    def search(self, queries: F32, k: int, allowed: Mask, matching: int) -> Sequence[Any]:
        return list(self._index.search(queries, k, 0)[1])


def draw(items: int, dim: int, queries: int, device: str, seed: int) -> tuple[F32, F32]:
    """Gaussian vectors of unit norm, and queries alike, drawn on the device.

    Energy falls with the square of a direction's number, which puts 98% of it into 24 of 128, as in
    the CLIP space of the real catalogue.
    """
    torch = require_torch(device)
    generator = torch.Generator(device).manual_seed(seed)
    spread = torch.arange(1, dim + 1, dtype=torch.float32, device=device) ** -1.0
    normal = torch.randn((dim, dim), generator=generator, device=device)
    rotation, _ = torch.linalg.qr(normal)
    drawn = np.empty((items + queries, dim), dtype=np.float32)
    for start in range(0, len(drawn), 1 << 20):
        count = min(1 << 20, len(drawn) - start)
        part = torch.randn((count, dim), generator=generator, device=device) * spread
        part = part @ rotation
        drawn[start : start + count] = (part / part.norm(dim=1, keepdim=True)).cpu().numpy()
    return drawn[:items], drawn[items:]


def copy_gb_per_s(device: str) -> float:
    """Bytes read and written by the fastest of some copies within the device's memory."""
    torch = require_torch(device)
    on_gpu = device != "cpu"
    size = _COPIED_BYTES if on_gpu else 1 << 26
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    fastest = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        target.copy_(source)
        if on_gpu:
            torch.cuda.synchronize(device)
        fastest = min(fastest, time.perf_counter() - began)
    return round(2 * size / fastest / 1e9, 1)
