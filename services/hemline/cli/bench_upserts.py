"""bench upserts: how soon a new item is found, and how searches fare meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hemline.cli.bench_cluster import cluster_to_measure, machine, say
from hemline.cli.cluster import add_backing, add_shape
from hemline.cli.verb import Args, Verbs, add_gateway, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.bench.latency import Latency
    from hemline.bench.upserts import UpsertsReport


def add_verb_upserts(inner: Verbs) -> None:
    parser = add_verb(
        inner,
        "upserts",
        run,
        "measure how soon new items are found, and searches while many come",
        "hemline bench upserts --json\nhemline bench upserts --load 500 --seconds 60",
    )
    for flag, default, what in (
        ("--items", 1000, "watched of each kind: vectors given, and encoded"),
        ("--rate", 20.0, "of them a second"),
        ("--searches", 20.0, "a second, alone and under load"),
        ("--load", 1000.0, "items upserted a second meanwhile"),
        ("--seconds", 20.0, "of searches, alone and under load"),
        ("--seed", 1, "of what is drawn"),
    ):
        parser.add_argument(
            flag, type=type(default), default=default, help=f"{what} (default: {default:g})"
        )
    add_shape(parser)
    add_backing(parser)
    add_gateway(parser)


def run(args: Args) -> int:
    import asyncio
    from dataclasses import asdict

    from hemline.bench.load import precise_loop
    from hemline.bench.upserts import UpsertsPlan, bench_upserts
    from hemline.errors import InvalidInputError
    from hemline.releases import open_release

    for name in ("items", "rate", "searches", "load", "seconds"):
        if not getattr(args, name) > 0:
            raise InvalidInputError(f"--{name}", f"{getattr(args, name)} is not positive")
    release = open_release(args.home / "releases")
    with cluster_to_measure(args) as (gateway, credentials):
        plan = UpsertsPlan(
            gateway=gateway,
            items=args.items,
            rate_per_s=args.rate,
            search_rate_per_s=args.searches,
            load_per_s=args.load,
            seconds=args.seconds,
            seed=args.seed,
        )
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            report = runner.run(bench_upserts(plan, release, say, credentials))
    if args.json:
        print_json({"release": release.id, "machine": machine(), **asdict(report)})
    else:
        _print(report)
    return 0


def _print(report: UpsertsReport) -> None:
    from rich.table import Table

    table = Table(
        *("", "count", "p50 ms", "p90", "p99", "p99.9", "max"),
        title="New items and searches",
        title_justify="left",
    )

    def add(name: str, latency: Latency) -> None:
        figures = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms)
        table.add_row(name, f"{latency.count:,}", *(f"{each:,.1f}" for each in figures))

    for name, kind in (("vectors given", report.given), ("encoded", report.encoded)):
        add(f"{name}: sent → acknowledged", kind.acknowledged)
        add(f"{name}: acknowledged → found", kind.visible)
    add("SimilarItems, alone", report.alone.latency)
    add(f"SimilarItems, {report.offered_per_s:,.0f} upserts/s", report.while_upserting.latency)
    out = console()
    out.print(table)
    out.print(
        f"upserts acknowledged {report.acknowledged_per_s:,.0f}/s, rejected {report.rejected}, "
        f"streams failed {report.streams_failed}; "
        f"the last one was found after {report.last_visible_s:.2f} s"
    )
    never = report.given.never + report.encoded.never
    failed = {**report.alone.failed, **report.while_upserting.failed}
    if never or failed:
        out.print(f"items never found: {never}; searches that failed: {failed}")
