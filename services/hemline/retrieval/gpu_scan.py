"""Exact nearest items on a GPU: all are scanned in fp16, and the first of them scored in float32.

    1. one matrix product gives the scores of all items for all queries of a batch, in fp16
    2. the k' best by these, k' a few times k, are scored in float32
    3. rounding moves a score by at most `slack` (Cauchy-Schwarz), so that what is not among the k'
       scores no more than the k'-th of them plus `slack`; when the k-th in float32 is above that,
       the k are the true ones. If not, k' is made larger, and in the end all are scored in float32.

Filters are masks on the device; when few items match, only these are scored, in float32. Written in
torch's own operations, so that it runs wherever torch does; on the CPU it is tested, not fast.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from hemline import metrics
from hemline.contracts import Rows
from hemline.errors import ReleaseError, SetupError
from hemline.filters import Mask
from hemline.retrieval.interface import Search
from hemline.vectors import F32

if TYPE_CHECKING:
    import torch

_FEW_OF = 8  # when less than this part of all matches, only what matches is scored
_DEEPEST = 16_384  # that are scored in float32 for one query, before all are
_GROUP = 64  # items, of which the best stands for all at first
_HALF_SUMS = 2.0**-10  # of rounded sums, as a share of |q| |x|
_SCORES_BYTES = 1 << 31  # of all scores of a batch at a time
_PART = 1 << 20  # items that are converted at a time
_MASKS = 32  # filters that are remembered on the device
_WIDTHS = (1, 8, 16)  # queries, to one of which batches are filled up

_CERTIFIED = metrics.SEARCH_SCANS.labels("gpu")
_ALL = metrics.SEARCH_SCANS.labels("gpu_then_float32")
_AGAIN = metrics.SEARCH_SCANS.labels("gpu_deeper")
_FEW_MATCH = metrics.SEARCH_SCANS.labels("few_match")


def require_torch(device: str) -> ModuleType:
    """Raises SetupError where there is no torch, or no such device for it."""
    try:
        import torch
    except ImportError as error:
        raise SetupError(
            "the index kind 'scan' needs torch, which comes with the extra 'encoders': "
            "pip install 'hemline[encoders]'"
        ) from error
    if device != "cpu" and not torch.cuda.is_available():
        raise SetupError(f"torch {torch.__version__} finds no CUDA device here; use --device cpu")
    return torch


class TorchScan:
    """The vectors of one space on a device; its own batches. For one thread at a time.

    vectors: float32 (n, d), finite; copied to the device in 32 and 16 bits. Raises SetupError
    without torch or such a device, ReleaseError when they do not fit into its memory.
    """

    def __init__(self, vectors: F32, device: str = "cuda") -> None:
        self._torch = library = require_torch(device)
        # Sums of halves would be off by more than _HALF_SUMS.
        library.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        self._device = library.device(device)
        items, self.dim = (int(size) for size in vectors.shape)
        self._check_room(items)
        self._full = library.empty((items, self.dim), device=self._device)
        for part in range(0, items, _PART):  # copied, as a release's vectors are mapped, read-only
            self._full[part : part + _PART] = library.tensor(vectors[part : part + _PART])
        self._unit = max(float(vectors.max(initial=0.0)), -float(vectors.min(initial=0.0)), 1e-30)
        self._half = library.empty((items, self.dim), dtype=library.float16, device=self._device)
        self._rounding = self._longest = 0.0
        for part in range(0, items, _PART):
            exact = self._full[part : part + _PART] / self._unit
            half = exact.half()
            self._half[part : part + _PART] = half
            off = (exact - half.float()).norm(dim=1)
            self._rounding = max(self._rounding, float(off.max()))
            self._longest = max(self._longest, float(half.float().norm(dim=1).max()))
        self._masks: OrderedDict[int, tuple[Mask, torch.Tensor]] = OrderedDict()
        self.product_ms_by_width = self._products_timed()
        self._width = min(
            self.product_ms_by_width, key=self.product_ms_by_width.__getitem__, default=1
        )

    @property
    def memory_bytes(self) -> int:
        """On the device."""
        return int(self._full.nbytes + self._half.nbytes)

    def suits(self, k: int, matching: int) -> bool:
        return matching > 0

    def search(self, vector: F32, k: int, allowed: Mask, matching: int) -> tuple[Rows, F32]:
        """See `hemline.retrieval.interface.Index`."""
        return self.search_batch([Search(vector, k, allowed, matching)])[0]

    def search_batch(self, searches: Sequence[Search]) -> list[tuple[Rows, F32]]:
        """As of `search`, for each; those with the same mask in one pass."""
        found: list[tuple[Rows, F32] | None] = [None] * len(searches)
        places: dict[tuple[int, bool], list[int]] = {}
        for place, search in enumerate(searches):
            everything = search.matching == len(search.allowed)
            places.setdefault((0 if everything else id(search.allowed), everything), []).append(
                place
            )
        for (_, everything), of_mask in places.items():
            first = searches[of_mask[0]]
            queries = self._torch.from_numpy(
                np.stack([searches[place].vector for place in of_mask])
            ).to(self._device)
            deepest = max(searches[place].k for place in of_mask)
            if not everything and first.matching * _FEW_OF <= len(first.allowed):
                rows, scores = self._of_few(queries, deepest, self._on_device(first.allowed))
            else:
                mask = None if everything else self._on_device(first.allowed)
                rows, scores = self._scan(queries, deepest, mask, first.matching)
            for place, r, s in zip(of_mask, rows, scores, strict=True):
                k = searches[place].k
                found[place] = r[:k].astype(np.int32), s[:k]
        return [answer for answer in found if answer is not None]

    def _of_few(
        self, queries: torch.Tensor, k: int, rows: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        _FEW_MATCH.inc(len(queries))
        scores = queries @ self._full[rows].T
        best = scores.topk(k)
        return rows[best.indices].cpu().numpy(), best.values.cpu().numpy()

    def _scan(
        self, queries: torch.Tensor, k: int, mask: torch.Tensor | None, matching: int
    ) -> tuple[np.ndarray, np.ndarray]:
        together = max(1, _SCORES_BYTES // (2 * max(1, len(self._full))))
        parts = [
            self._scan_part(queries[start : start + together], k, mask, matching)
            for start in range(0, len(queries), together)
        ]
        rows, scores = zip(*parts, strict=True)
        return np.concatenate(rows), np.concatenate(scores)

    def _scan_part(
        self, queries: torch.Tensor, k: int, mask: torch.Tensor | None, matching: int
    ) -> tuple[np.ndarray, np.ndarray]:
        torch = self._torch
        units = queries.abs().amax(dim=1, keepdim=True).clamp_min(1e-30)
        scaled = queries / units
        half = scaled.half()
        lengths = scaled.norm(dim=1)
        off = (scaled - half.float()).norm(dim=1)
        slack = (self._rounding + _HALF_SUMS * self._longest) * lengths + self._longest * off
        coarse = self._product(half)  # (b, n)
        if mask is not None:
            coarse.masked_fill_(mask, -torch.inf)
        rows = torch.empty((len(queries), k), dtype=torch.int64, device=self._device)
        scores = torch.empty((len(queries), k), device=self._device)
        left = torch.arange(len(queries), device=self._device)
        depth = min(4 * k + 64, matching)
        while depth <= _DEEPEST:
            values, candidates = self._best(coarse[left], depth)
            vectors = self._full[candidates]  # (b, depth, d)
            exact = torch.bmm(vectors, queries[left].unsqueeze(2)).squeeze(2)
            best = exact.topk(k)
            rows[left] = candidates.gather(1, best.indices)
            scores[left] = best.values
            reached = best.values[:, -1] / (self._unit * units[left, 0])
            sure = reached >= values[:, -1].float() + slack[left]
            if depth == matching or bool(sure.all()):
                _CERTIFIED.inc(len(left))
                return rows.cpu().numpy(), scores.cpu().numpy()
            _CERTIFIED.inc(int(sure.sum()))
            left = left[~sure]
            _AGAIN.inc(len(left))
            depth = min(4 * depth, matching)
        for one in left.tolist():
            plain = self._full @ queries[one]
            if mask is not None:
                plain.masked_fill_(mask, -torch.inf)
            scores[one], rows[one] = plain.topk(k)
        _ALL.inc(len(left))
        return rows.cpu().numpy(), scores.cpu().numpy()

    def _product(self, half: torch.Tensor) -> torch.Tensor:
        if self._device.type == "cpu":  # whose products of halves are slow, and round every sum
            in_full: torch.Tensor = half.float() @ self._half.float().T
            return in_full
        missing = -len(half) % self._width
        if missing:
            half = self._torch.cat((half, half.new_zeros((missing, self.dim))))
        products: torch.Tensor = (half @ self._half.T)[: len(half) - missing]
        return products

    def _best(self, scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and rows (b, k) of the k best: they lie in the k groups whose best are best."""
        torch = self._torch
        groups = scores.shape[1] // _GROUP
        if k * 4 >= groups:
            best = scores.topk(k)
            return best.values, best.indices
        whole = groups * _GROUP
        maxima = scores[:, :whole].view(len(scores), groups, _GROUP).amax(dim=2)
        chosen = maxima.topk(k, sorted=False).indices
        within = torch.arange(_GROUP, device=self._device)
        rows = (chosen.unsqueeze(2) * _GROUP + within).flatten(1)
        rest = torch.arange(whole, scores.shape[1], device=self._device)
        rows = torch.cat((rows, rest.expand(len(scores), -1)), dim=1)
        best = scores.gather(1, rows).topk(k)
        return best.values, rows.gather(1, best.indices)

    def _on_device(self, allowed: Mask) -> torch.Tensor:
        """Of many items what is to be left out, bool (n,); of few which they are, int64 (m,)."""
        known = self._masks.get(id(allowed))
        if known is not None and known[0] is allowed:
            self._masks.move_to_end(id(allowed))
            return known[1]
        few = int(np.count_nonzero(allowed)) * _FEW_OF <= len(allowed)
        on_host = np.flatnonzero(allowed) if few else ~allowed
        there: torch.Tensor = self._torch.from_numpy(on_host).to(self._device)
        if not allowed.flags.writeable:  # a filter's, which views keep, and not one query's own
            self._masks[id(allowed)] = allowed, there
            if len(self._masks) > _MASKS:
                self._masks.popitem(last=False)
        return there

    def _products_timed(self) -> dict[int, float]:
        """Milliseconds of one product with all items by the number of queries, as products of few
        are not all tuned alike; nothing on the CPU."""
        took: dict[int, float] = {}
        if self._device.type == "cpu" or not len(self._full):
            return took
        for width in _WIDTHS:
            queries = self._half[:1].expand(width, -1).contiguous()
            for _ in range(5):
                self._torch.cuda.synchronize(self._device)
                began = time.perf_counter()
                queries @ self._half.T
                self._torch.cuda.synchronize(self._device)
                ms = 1000 * (time.perf_counter() - began)
                took[width] = min(ms, took.get(width, ms))
        return took

    def _check_room(self, items: int) -> None:
        if self._device.type != "cuda":
            return
        needed = items * self.dim * 6 + 2 * _SCORES_BYTES
        free, _ = self._torch.cuda.mem_get_info(self._device)
        if needed > free:
            raise ReleaseError(
                f"{items:,} items of {self.dim} dimensions need {needed / 1e9:.1f} GB on "
                f"{self._device}, and {free / 1e9:.1f} GB are free; use --device cpu"
            )
