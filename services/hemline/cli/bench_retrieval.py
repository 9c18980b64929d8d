"""bench retrieval: our indexes beside others', one thread each."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hemline.cli.verb import Args, Verbs, add_home, add_verb, console, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from hemline.bench.equal_recall import EqualRow
    from hemline.bench.retrieval import RetrievalReport
    from hemline.bench.retrieval_cuda import CudaReport


def add_verb_retrieval(inner: Verbs) -> None:
    parser = add_verb(
        inner,
        "retrieval",
        run,
        "measure vector search: speed, recall and memory, beside other libraries",
        "hemline bench retrieval --drawn 200000x128,1000000x128\n"
        "hemline bench retrieval --drawn '' --batches 1 --json\n"
        "hemline bench retrieval --spaces '' --drawn 200000x128 --indexes spectral "
        "--upserting 1000",
    )
    parser.add_argument(
        "--drawn",
        metavar="NxD,…",
        help="sets to draw beside the release's vectors (default: 200000x128,1000000x128; with "
        "cuda 1000000x512,10000000x128 and no release)",
    )
    parser.add_argument(
        "--spaces",
        default="content,tower",
        metavar="SPACE,…",
        help="of the release, to be searched as well (default: %(default)s)",
    )
    parser.add_argument(
        "--indexes",
        default="spectral,int8,fp16,hnsw,ivf,ivfpq,hnswlib,usearch,qdrant,milvus",
        metavar="NAME,…",
        help="beside faiss IndexFlatIP (default: %(default)s)",
    )
    parser.add_argument("--batches", metavar="B,…", help="default: 1,16; with cuda 1,16,64,256")
    parser.add_argument(
        "--filters",
        default="1,.5,.1,.01,.001",
        metavar="SHARE,…",
        help="of items that may be found (default: %(default)s)",
    )
    parser.add_argument(
        "--graphs-up-to",
        type=int,
        default=200_000,
        metavar="N",
        help="items, for indexes that take minutes to build (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds", type=int, default=20, help="batches each (default: %(default)s)"
    )
    parser.add_argument(
        "--equal-recall",
        action="store_true",
        help="compare the approximate ones at equal recall@10 and @100 as well",
    )
    parser.add_argument(
        "--upserting",
        type=float,
        default=0.0,
        metavar="N",
        help="search live items as well, alone and while N a second come, change, sell out and go",
    )
    parser.add_argument("--seed", type=int, default=1, help="of vectors and filters")
    parser.add_argument(
        "--device",
        default="cpu",
        choices=["cpu", "cuda"],
        help="cuda: beside FAISS's or torch's search on the GPU and the copy bandwidth",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="with cuda: JSON as it comes")
    add_home(parser)


def run(args: Args) -> int:
    if args.device == "cuda":
        return _run_cuda(args)

    import os

    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before NumPy comes

    from hemline.bench.retrieval import INDEXES, RetrievalPlan, as_json, bench_retrieval
    from hemline.errors import InvalidInputError
    from hemline.releases import open_release

    if not 0 <= args.upserting <= 100_000:
        raise InvalidInputError("--upserting", f"{args.upserting:g} is outside 0..100000")
    plan = RetrievalPlan(
        drawn=_sizes("200000x128,1000000x128" if args.drawn is None else args.drawn),
        spaces=_names("--spaces", args.spaces, ("content", "tower")),
        indexes=_names("--indexes", args.indexes, INDEXES),
        batches=[int(number) for number in _numbers("--batches", args.batches or "1,16")],
        filters=_numbers("--filters", args.filters),
        graphs_up_to=args.graphs_up_to,
        rounds=args.rounds,
        equal_recall=args.equal_recall,
        upserting=args.upserting,
        seed=args.seed,
    )
    report = bench_retrieval(plan, open_release(args.home / "releases"), _say)
    if args.json:
        print_json(as_json(report))
    else:
        _print(report)
    return 0


def _run_cuda(args: Args) -> int:
    from hemline.bench.retrieval_cuda import CudaPlan, bench_cuda, write_json

    def shown(report: CudaReport) -> None:
        if args.out is not None:
            write_json(args.out)(report)

    plan = CudaPlan(
        sets=_sizes(args.drawn or "1000000x512,10000000x128"),
        batches=[int(n) for n in _numbers("--batches", args.batches or "1,16,64,256")],
        filters=_numbers("--filters", args.filters),
        seed=args.seed,
    )
    report = bench_cuda(plan, _say, shown)
    if args.json:
        print_json(asdict(report))
    else:
        _print_cuda(report)
    return 0


def _print_cuda(report: CudaReport) -> None:
    from rich.table import Table

    table = Table(
        *("vectors", "index", "filter", "batch", "QPS", "p50 ms", "recall@10", "recall@100"),
        *("x flat", "of bandwidth", "MB"),
        title=f"Vector search on {report.device}; x flat: against {report.flat}; of bandwidth: "
        f"share of a copy's {report.copy_gb_per_s:,.0f} GB/s",
        title_justify="left",
    )
    for row, detail in zip(report.rows, report.details, strict=True):
        table.add_row(
            *(str(detail["vectors"]), str(row["index"]), f"{row['filter']:.1%}", str(row["batch"])),
            *(f"{row['qps']:,.0f}", f"{row['p50_ms']:.3f}"),
            *(f"{row['recall_at_10']:.4f}", f"{row['recall_at_100']:.4f}"),
            *(f"{row['ratio_to_faiss_flat']:.2f}", f"{detail['of_bandwidth']:.2f}"),
            f"{row['rss_mb']:,.0f}",
        )
    out = console()
    out.print(table)
    if report.no_faiss:
        out.print(f"without FAISS on the GPU: {report.no_faiss}")
    for skipped in report.skipped:
        out.print(f"skipped: {skipped}")


def _print(report: RetrievalReport) -> None:
    from rich.table import Table

    table = Table(
        *("vectors", "index", "filter", "batch", "QPS", "p50 ms", "CPU ms", "recall@10"),
        *("recall@100", "x flat", "MB", "upserts/s"),
        title="Vector search, one thread; x flat: processor time against faiss IndexFlatIP",
        title_justify="left",
    )
    for row, detail in zip(report.rows, report.details, strict=True):
        table.add_row(
            detail.vectors,
            row.index,
            f"{row.filter:.1%}",
            str(row.batch),
            f"{row.qps:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{detail.cpu_ms:.2f}",
            f"{row.recall_at_10:.4f}",
            f"{row.recall_at_100:.4f}",
            f"{row.ratio_to_faiss_flat:.1f}",
            f"{row.rss_mb:,.0f}",
            f"{row.upserting:,.0f}" if row.upserting else "",
        )
    out = console()
    out.print(table)
    looked_at = [detail for detail in report.details if detail.wrong is not None]
    if looked_at:
        wrong = sum((Counter(detail.wrong) for detail in looked_at), Counter[str]())
        out.print(
            f"of live items {sum(detail.answers for detail in looked_at):,} answers were worked "
            f"out again; results that were wrong: {dict(wrong) or 'none'}"
        )
    if report.equal_recall:
        out.print(_at_equal_recall(report.equal_recall))
    if report.not_installed:
        out.print(f"not installed, so not compared: {', '.join(report.not_installed)}")


def _at_equal_recall(rows: Sequence[EqualRow]) -> Table:
    from rich.table import Table

    table = Table(
        *("vectors", "index", "recall", "effort", "reached", "CPU ms", "x hnswlib"),
        title="At equal recall, one query at a time; x hnswlib: queries a second against hnswlib's",
        title_justify="left",
    )
    for row in rows:
        table.add_row(
            row.vectors,
            row.index,
            f"@{row.k} {row.target}",
            str(row.effort),
            f"{row.recall:.4f}",
            f"{row.cpu_ms:.3f}",
            "" if row.ratio_to_hnswlib is None else f"{row.ratio_to_hnswlib:.2f}",
        )
    return table


def _sizes(text: str) -> list[tuple[int, int]]:
    from hemline.errors import InvalidInputError

    found = []
    for part in filter(None, text.split(",")):
        items, _, dim = part.partition("x")
        if not (items.isdigit() and dim.isdigit() and int(items) >= 1000 and 2 <= int(dim) <= 4096):
            raise InvalidInputError("--drawn", f"{part!r} is not like 200000x128")
        found.append((int(items), int(dim)))
    return found


def _names(flag: str, text: str, known: Sequence[str]) -> list[str]:
    from hemline.errors import InvalidInputError

    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise InvalidInputError(flag, f"{name!r} is not one of {', '.join(known)}")
    return names


def _numbers(flag: str, text: str) -> list[float]:
    from hemline.errors import InvalidInputError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    top = 1.0 if flag == "--filters" else 256.0
    if not numbers or not all(0 < number <= top for number in numbers):
        raise InvalidInputError(flag, f"{text!r} is no list of numbers above 0 and up to {top:g}")
    return numbers


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
