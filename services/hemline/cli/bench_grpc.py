"""bench grpc: the retrieval server over loopback, beside the same index in this process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hemline.cli.bench_cluster import machine, say
from hemline.cli.verb import Args, Verbs, add_home, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.bench.grpc_cost import GrpcReport


def add_verb_grpc(inner: Verbs) -> None:
    parser = add_verb(
        inner,
        "grpc",
        run,
        "measure what gRPC costs a search: the real retrieval server beside the index in process",
        "hemline bench grpc --json\nhemline bench grpc --drawn 1000000x128 --rounds 9",
    )
    parser.add_argument(
        "--drawn",
        default="",
        metavar="NxD",
        help="search so many drawn items of the spectrum of the release's, not its own",
    )
    for flag, default, what in (
        ("--in-flight", 16, "searches under way at a time"),
        ("--rounds", 5, "turns of each side"),
        ("--seconds", 2.0, "of each turn"),
        ("-k", 100, "results of a search"),
        ("--seed", 1, "of what is drawn"),
    ):
        parser.add_argument(
            flag, type=type(default), default=default, help=f"{what} (default: {default:g})"
        )
    add_home(parser)


def run(args: Args) -> int:
    import os

    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before NumPy comes

    import asyncio
    from dataclasses import asdict

    from hemline.bench.drawn_release import draw_release
    from hemline.bench.grpc_cost import GrpcPlan, bench_grpc
    from hemline.errors import InvalidInputError
    from hemline.releases import open_release

    for flag, number in (
        ("--in-flight", args.in_flight),
        ("--rounds", args.rounds),
        ("--seconds", args.seconds),
    ):
        if not number > 0:
            raise InvalidInputError(flag, f"{number} is not positive")
    if not 1 <= args.k <= 1000:
        raise InvalidInputError("-k", f"{args.k} is outside 1..1000")
    drawn = _size(args.drawn)
    releases: Path = args.home / "releases"
    args.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.home, prefix="bench-") as scratch:
        if drawn:
            items, dim = drawn
            say(f"drawing {items:,} items of {dim} dimensions")
            real = open_release(releases)
            releases = Path(scratch) / "releases"
            draw_release(releases, real.item_content, items, dim, args.seed)
        plan = GrpcPlan(
            releases,
            logs=args.home / "logs",
            k=args.k,
            in_flight=args.in_flight,
            rounds=args.rounds,
            seconds=args.seconds,
            seed=args.seed,
        )
        report = asyncio.run(bench_grpc(plan, say))
    if args.json:
        print_json({"machine": machine(), **asdict(report)})
    else:
        _print(report)
    return 0


def _size(text: str) -> tuple[int, int] | None:
    from hemline.errors import InvalidInputError

    items, _, dim = text.partition("x")
    if not text:
        return None
    if not (items.isdigit() and dim.isdigit() and int(items) >= 1000 and 2 <= int(dim) <= 4096):
        raise InvalidInputError("--drawn", f"{text!r} is not like 200000x128")
    return int(items), int(dim)


def _print(report: GrpcReport) -> None:
    from rich.table import Table

    table = Table(
        *("", "QPS", "CPU ms of the server", "CPU ms of the client"),
        title=f"{report.items:,} x {report.dim}, k = {report.k}, {report.in_flight} in flight; "
        "medians of the rounds, per search",
        title_justify="left",
    )
    for name, side in (("in process", report.in_process), ("gRPC", report.grpc)):
        client = f"{side.client_cpu_ms:.3f}" if side is report.grpc else ""
        table.add_row(name, f"{side.qps:,.0f}", f"{side.server_cpu_ms:.3f}", client)
    out = console()
    out.print(table)
    rounds = ", ".join(f"{ratio:.2f}" for ratio in report.ratios)
    out.print(f"gRPC / in process: {report.ratio:.2f} (rounds: {rounds})")
