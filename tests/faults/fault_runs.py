"""python tests/faults/fault_runs.py: all of `make faults`, about half an hour on two quiet cores.

    hostile   100,000 hostile requests to a gateway                        6 minutes
    small     200 seeded runs of a small cluster, each 1.5 s               5 minutes
    cluster   20 seeded runs of a whole cluster, each 30 to 90 s          20 minutes

--only small --small 1000 --seed 5001   another thousand of one kind, from another seed on
--resume                                go on where the last call was stopped
--install HOME                          where Triton and Kafka are, or are installed first
--only cluster --cluster 1 --around kafka,redis --faults kill:kafka,pause:redis:2
                                        chosen ones, a pause of 2 s among them
Each run is a line in OUT/small.jsonl or OUT/cluster.jsonl when it ends, what they come to is in
OUT/report.json. Exit code 0 only if nothing was found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster_run import Fault, Outcome, cluster_run, draw_run
from fault_report import (
    cluster_summary,
    read_runs,
    show_cluster,
    show_small,
    small_summary,
    write_run,
)
from rich.console import Console
from small_cluster import nursery
from small_run import small_run
from whole_cluster import Around

from small_world import build_small_release

ANSWERED = 0.999  # of the Recommends, whatever dies
HERE = Path(__file__).parent
KINDS = ("hostile", "small", "cluster")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=KINDS, action="append", help="may be said repeatedly")
    parser.add_argument("--requests", type=int, default=100_000, help="hostile ones")
    parser.add_argument("--small", type=int, default=200, help="small runs")
    parser.add_argument("--cluster", type=int, default=20, help="cluster runs")
    parser.add_argument("--install", type=Path, default=Path(".hemline"))
    parser.add_argument("--around", default="", help="kafka,redis,triton; with --faults")
    parser.add_argument("--faults", default="", help="instead of those the seed draws")
    parser.add_argument("--seed", type=int, default=1, help="the first of each kind")
    parser.add_argument("--out", type=Path, default=Path(".hemline/faults"))
    parser.add_argument("--resume", action="store_true", help="leave out the seeds in OUT already")
    args = parser.parse_args()
    kinds = args.only or KINDS
    console = Console()
    report: dict[str, Any] = {}

    if "small" in kinds:
        asyncio.run(_small(args, console))
        report["small"] = small_summary(read_runs(args.out / "small.jsonl"))
        show_small(report["small"], console)
    if "cluster" in kinds:
        asyncio.run(_cluster(args, console))
        report["cluster"] = cluster_summary(read_runs(args.out / "cluster.jsonl"))
        show_cluster(report["cluster"], console)
        if report["cluster"]["answered_share"] < ANSWERED:
            report["cluster"]["failed"].append(f"fewer than {ANSWERED:.1%} answered")
    if "hostile" in kinds:
        command = [sys.executable, str(HERE / "hostile.py"), "--seed", str(args.seed)]
        done = subprocess.run([*command, "--requests", str(args.requests)])
        report["hostile"] = {
            "requests": args.requests,
            "failed": [args.seed] * bool(done.returncode),
        }
    (args.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"written to {args.out}/")
    failed = [kind for kind, found in report.items() if found["failed"]]
    if failed:
        console.print(f"FAILED: {', '.join(failed)}")
    return bool(failed)


async def _small(args: argparse.Namespace, console: Console) -> None:
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        build_small_release(Path(scratch) / "releases")
        async with nursery(Path(scratch) / "releases") as home:
            kept = args.out / "found"  # what a run with findings leaves, for whoever looks into it
            await _each_seed(
                args, "small", args.small, console, lambda seed: small_run(seed, home, kept)
            )


async def _cluster(args: argparse.Namespace, console: Console) -> None:
    async def one(seed: int) -> Outcome:
        around, faults = draw_run(seed)
        if args.faults:
            around = Around(**dict.fromkeys(filter(None, args.around.split(",")), True))
            faults = [read_fault(text) for text in args.faults.split(",")]
        return await cluster_run(seed, args.out / "found", args.install, around, faults)

    await _each_seed(args, "cluster", args.cluster, console, one)


def read_fault(text: str) -> Fault:
    """KIND:TARGET or KIND:TARGET:SECONDS."""
    kind, target, *seconds = text.split(":")
    return Fault(kind, target, float(seconds[0]) if seconds else 2.0)


async def _each_seed(
    args: argparse.Namespace,
    kind: str,
    runs: int,
    console: Console,
    one: Callable[[int], Awaitable[Any]],
) -> None:
    path = args.out / f"{kind}.jsonl"
    if not args.resume:
        path.unlink(missing_ok=True)
    done = {run["seed"] for run in read_runs(path)}
    began = time.monotonic()
    for seed in range(args.seed, args.seed + runs):
        if seed in done:
            continue
        outcome = await one(seed)
        write_run(path, outcome)
        findings = "; ".join(map(str, outcome.findings)) or "well"
        console.print(
            f"{kind} seed {seed}: {outcome.acknowledged} acknowledged, {outcome.took_s:.1f} s, "
            f"{findings}  [{time.monotonic() - began:.0f} s]",
            highlight=False,
            markup=False,
        )


if __name__ == "__main__":
    sys.exit(main())
