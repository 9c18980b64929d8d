"""What many seeded runs came to: one line of JSON a run while they go on, a table at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Run = Mapping[str, Any]  # an Outcome of small_run or cluster_run, as JSON has it


def write_run(path: Path, outcome: Any) -> None:
    """One line more; what was written stays whatever happens to the next run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(outcome, default=vars) + "\n")


def read_runs(path: Path) -> list[Run]:
    """The runs of earlier, the last of each seed; a line that was cut off is left out."""
    runs: dict[int, Run] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            run = json.loads(line)
        except json.JSONDecodeError:
            continue
        runs[run["seed"]] = run
    return list(runs.values())


def small_summary(runs: Iterable[Run]) -> dict[str, Any]:
    """Sums over small runs; `failed` names the seeds with findings."""
    runs = list(runs)
    faults: Counter[str] = Counter()
    for run in runs:
        faults.update(run["faults"])
    totals = ("sent", "tries", "acknowledged", "unknown", "repeated", "restarts")
    return {
        "runs": len(runs),
        "failed": sorted(run["seed"] for run in runs if run["findings"]),
        **{name: sum(run[name] for run in runs) for name in totals},
        "faults": dict(sorted(faults.items())),
        "settled_s": _spread([run["settled_s"] for run in runs]),
        "took_s": _spread([run["took_s"] for run in runs]),
        "load_average": _spread([run["load_average"] for run in runs]),
    }


def cluster_summary(runs: Iterable[Run]) -> dict[str, Any]:
    """Sums over cluster runs, and by kind of fault what it cost."""
    runs = list(runs)
    by_fault: dict[str, list[Run]] = {}
    for run in runs:
        for each in run["faults"]:
            by_fault.setdefault(f"{each['kind']} {each['target']}", []).append(each)
    totals = ("sent", "tries", "acknowledged", "unknown", "repeated", "asked", "answered")
    totals += ("disturbed",)
    sums = {name: sum(run[name] for run in runs) for name in totals}
    return {
        "runs": len(runs),
        "failed": sorted(run["seed"] for run in runs if run["findings"]),
        **sums,
        "answered_share": sums["answered"] / max(1, sums["asked"]),
        "by_fault": {name: _cost(faults) for name, faults in sorted(by_fault.items())},
        "took_s": _spread([run["took_s"] for run in runs]),
        "load_average": _spread([run["load_average"] for run in runs]),
    }


def _cost(faults: list[Run]) -> dict[str, Any]:
    degraded: Counter[str] = Counter()
    for each in faults:
        degraded.update(each["degraded"])
    asked = sum(each["asked"] for each in faults)
    answered = sum(each["answered"] for each in faults)
    return {
        "times": len(faults),
        "asked": asked,
        "answered": answered,
        "answered_share": answered / max(1, asked),
        "degraded": dict(degraded.most_common()),
        **{
            name: _spread([each[name] for each in faults if each.get(name) is not None])
            for name in ("start_s", "processor_s", "recovery_s")
        },
        "not_recovered": sum(each["recovery_s"] is None for each in faults),
    }


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    values = sorted(values)
    return {"median": values[len(values) // 2], "most": values[-1]}


def show_small(summary: Mapping[str, Any], console: Console) -> None:
    table = Table(title=f"{summary['runs']} small runs", title_justify="left")
    table.add_column("what")
    table.add_column("in all", justify="right")
    for name, label in (
        ("sent", "events sent"),
        ("tries", "tries, repeats included"),
        ("acknowledged", "acknowledged"),
        ("unknown", "never acknowledged"),
        ("repeated", "records of the log that repeat one"),
        ("restarts", "processes started again"),
    ):
        table.add_row(label, f"{summary[name]:,}")
    for name, count in summary["faults"].items():
        table.add_row(f"fault: {name}", f"{count:,}")
    for name, label in (("settled_s", "until all is applied"), ("took_s", "a run")):
        if spread := summary[name]:
            table.add_row(f"{label}, s", f"{spread['median']:.2f}, at most {spread['most']:.2f}")
    table.add_row("runs with a finding", f"{len(summary['failed'])} {summary['failed'] or ''}")
    console.print(table)


def show_cluster(summary: Mapping[str, Any], console: Console) -> None:
    table = Table(title=f"{summary['runs']} cluster runs", title_justify="left")
    table.add_column("fault")
    table.add_column("times", justify="right")
    table.add_column("answered", justify="right")
    table.add_column("degraded")
    for name in ("its start, s", "of a processor, s", "recovered after, s"):
        table.add_column(name, justify="right")
    for name, cost in summary["by_fault"].items():
        start, processor, recovered = (
            f"{spread['median']:.1f}, at most {spread['most']:.1f}" if spread else "-"
            for spread in (cost["start_s"], cost["processor_s"], cost["recovery_s"])
        )
        if cost["not_recovered"]:
            recovered += f"; {cost['not_recovered']} x not"
        degraded = ", ".join(f"{stage} {count}" for stage, count in cost["degraded"].items())
        answered = f"{cost['answered']} of {cost['asked']}"
        times = str(cost["times"])
        table.add_row(name, times, answered, degraded or "-", start, processor, recovered)
    console.print(table)
    console.print(
        f"{summary['acknowledged']:,} events acknowledged, {summary['unknown']:,} never; "
        f"{summary['answered']:,} of {summary['asked']:,} Recommends answered "
        f"({summary['answered_share']:.3%}); runs with a finding: {len(summary['failed'])} "
        f"{summary['failed'] or ''}"
    )
