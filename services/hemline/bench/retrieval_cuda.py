"""`hemline bench retrieval --device cuda`: ours beside a plain search and the copy bandwidth.

    python -m hemline.bench.retrieval_cuda --out docs/benchmarks/retrieval-cuda.json

is the same where only torch, NumPy, pyarrow and prometheus_client are installed, from a checkout
with PYTHONPATH=services. By default 1M x 512 and 10M x 128 drawn vectors, batches of 1 to 256, and
filters; begun cells end, and none is begun after --limit-s (nine minutes), so that a call of ten
minutes holds it. The file is written after every cell: what is cut off has measured what it says.
Needs about 20 GB on the GPU and 12 GB beside. `--device cpu --sets 20000x64` tries it without one.

Contenders: ours (`hemline.retrieval.gpu_scan`, with all copies between host and device), FAISS's
GpuIndexFlatIP where it can be brought, and torch's product in float32 with topk, which stands for
it where it cannot. A batch's filter is on the device after its first search, as in the service.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hemline.bench.cuda_contenders import (
    FAISS,
    TORCH,
    Contender,
    FaissFlat,
    Ours,
    TorchFlat,
    copy_gb_per_s,
    draw,
)
from hemline.errors import HemlineError
from hemline.filters import Mask
from hemline.retrieval.gpu_scan import require_torch
from hemline.vectors import F32

K = 100
_TIE = 1e-5  # scores this near are the same


@dataclass(frozen=True)
class CudaPlan:
    """sets: (items, dim) of each. limit_s: after which no cell is begun; cell_s: of measuring, for
    one contender of a cell."""

    sets: Sequence[tuple[int, int]] = ((1_000_000, 512), (10_000_000, 128))
    batches: Sequence[int] = (1, 16, 64, 256)
    filters: Sequence[float] = (1.0, 0.5, 0.1, 0.01, 0.001)
    device: str = "cuda"
    limit_s: float = 540.0
    cell_s: float = 0.5
    seed: int = 1


@dataclass
class CudaReport:
    """rows: with the keys of `bench retrieval`; rss_mb is memory of the device. details: of each
    row; of_bandwidth: the bytes of all items in fp16 read at p50, as a share of copy_gb_per_s."""

    device: str
    torch: str
    copy_gb_per_s: float
    flat: str = TORCH
    no_faiss: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    product_ms_by_width: dict[str, dict[int, float]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def bench_cuda(
    plan: CudaPlan, say: Callable[[str], None], save: Callable[[CudaReport], None]
) -> CudaReport:
    """Measure everything of the plan; `save` gets the report after every cell."""
    began = time.monotonic()
    torch = require_torch(plan.device)
    on_gpu = plan.device != "cpu"
    name = torch.cuda.get_device_name(plan.device) if on_gpu else "cpu"
    report = CudaReport(name, str(torch.__version__), copy_gb_per_s(plan.device))
    say(f"{name}: copies {report.copy_gb_per_s:,.0f} GB/s, read and written")
    for items, dim in plan.sets:
        label = f"drawn {items:,} x {dim}"
        if time.monotonic() - began > plan.limit_s:
            report.skipped.append(f"{label}: out of time")
            continue
        say(f"{label}: drawing")
        vectors, queries = draw(items, dim, max(plan.batches), plan.device, plan.seed)
        say(f"{label}: building")
        ours, truth = Ours(vectors, plan.device), TorchFlat(vectors, plan.device)
        report.product_ms_by_width[label] = ours.scan.product_ms_by_width
        contenders: list[Contender] = [ours, truth]
        if on_gpu:
            try:
                contenders.insert(0, FaissFlat(vectors))
                report.flat = FAISS
            except (HemlineError, ImportError, RuntimeError) as error:
                report.no_faiss = str(error)
                say(f"without faiss: {error}")
        place = np.random.default_rng(plan.seed).permutation(items)
        for share in plan.filters:
            allowed = place < max(K, round(share * items))
            allowed.setflags(write=False)
            for batch in plan.batches:
                if time.monotonic() - began > plan.limit_s:
                    report.skipped.append(f"{label}, {share:.1%}, batches of {batch}: out of time")
                    continue
                say(f"{label}: {share:.1%} of the items, batches of {batch}")
                _cell(report, plan, label, contenders, truth, queries, allowed, share, batch)
                save(report)
        del ours, truth, contenders
        if on_gpu:
            torch.cuda.empty_cache()
    save(report)
    return report


def _cell(
    report: CudaReport,
    plan: CudaPlan,
    label: str,
    contenders: Sequence[Contender],
    truth: TorchFlat,
    queries: F32,
    allowed: Mask,
    share: float,
    batch: int,
) -> None:
    matching = int(np.count_nonzero(allowed))
    asked = np.ascontiguousarray(queries[:batch])
    taking = [each for each in contenders if each.filters or matching == len(allowed)]
    found = [each.search(asked, K, allowed, matching) for each in taking]  # which warms up, too
    took: list[list[float]] = [[] for _ in taking]
    until = time.monotonic() + plan.cell_s * len(taking)
    while len(took[0]) < 3 or (time.monotonic() < until and len(took[0]) < 200):
        for number, contender in enumerate(taking):
            start = time.perf_counter()
            contender.search(asked, K, allowed, matching)
            took[number].append(1000 * (time.perf_counter() - start))
    p50 = {each.name: float(np.median(times)) for each, times in zip(taking, took, strict=True)}
    flat_ms = p50.get(report.flat, p50[TORCH])
    for contender, times, rows in zip(taking, took, found, strict=True):
        recalls = _recalls(truth, asked[:16], rows[:16], allowed, matching)
        ms = p50[contender.name]
        halves = 2.0 * queries.shape[1] * len(allowed)
        report.rows.append(
            {
                "items": len(allowed),
                "dim": queries.shape[1],
                "batch": batch,
                "index": contender.name,
                "filter": share,
                "threads": 1,
                "device": plan.device,
                "qps": round(1000 * batch / float(np.mean(times)), 1),
                "p50_ms": round(ms, 4),
                "recall_at_10": recalls[0],
                "recall_at_100": recalls[1],
                "ratio_to_faiss_flat": round(flat_ms / ms, 3),
                "rss_mb": round(contender.memory_bytes / 1e6, 1),
                "upserting": 0.0,
            }
        )
        report.details.append(
            {
                "vectors": label,
                "calls": len(times),
                "flat": report.flat if report.flat in p50 else TORCH,
                "of_bandwidth": round(halves / (ms / 1000) / (report.copy_gb_per_s * 1e9), 3),
            }
        )


def _recalls(
    truth: TorchFlat, queries: F32, found: Sequence[Any], allowed: Mask, matching: int
) -> list[float]:
    """@10 and @100."""
    best, _ = truth.best(queries, K, allowed, matching)
    shares: list[list[float]] = [[], []]
    for query, true, rows in zip(queries, best, found, strict=True):
        scores = truth.of_rows(query, np.asarray(rows))
        for place, k in enumerate((10, K)):
            shares[place].append(float(np.mean(scores[:k] >= true[k - 1] - _TIE)))
    return [round(float(np.mean(of_k)), 4) for of_k in shares]


def write_json(path: Path) -> Callable[[CudaReport], None]:
    """Writes the report there each time, whole."""

    def save(report: CudaReport) -> None:
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(asdict(report), indent=1) + "\n")
        beside.rename(path)

    return save


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--sets", default="1000000x512,10000000x128", metavar="NxD,…")
    parser.add_argument("--batches", default="1,16,64,256", metavar="B,…")
    parser.add_argument("--filters", default="1,.5,.1,.01,.001", metavar="SHARE,…")
    parser.add_argument("--limit-s", type=float, default=540.0)
    args = parser.parse_args()
    sets = []
    for one in args.sets.split(","):
        items, _, dim = one.partition("x")
        sets.append((int(items), int(dim)))
    plan = CudaPlan(
        sets=sets,
        batches=[int(one) for one in args.batches.split(",")],
        filters=[float(one) for one in args.filters.split(",")],
        device=args.device,
        limit_s=args.limit_s,
    )
    try:
        bench_cuda(plan, say, write_json(args.out))
    except HemlineError as error:
        print(error, file=sys.stderr)
        return 1
    say(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
