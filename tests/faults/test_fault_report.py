"""What many runs come to: nothing forgotten, nothing counted twice, no failure overlooked."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import cluster_run
import small_run
from checker import LOST_BY_LOG, Finding
from cluster_run import Cost, Fault
from fault_report import (
    cluster_summary,
    read_runs,
    show_cluster,
    show_small,
    small_summary,
    write_run,
)
from fault_runs import read_fault
from rich.console import Console


def test_runs_are_read_back_without_the_line_a_kill_cut_off_and_once_a_seed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out" / "small.jsonl"
    assert read_runs(path) == []
    lost = [Finding(LOST_BY_LOG, 2, "the log: e1, e2")]
    write_run(path, small_run.Outcome(1, findings=lost, sent=10))
    write_run(path, small_run.Outcome(2, faults=Counter({"kill updater": 3}), sent=20))
    write_run(path, small_run.Outcome(1, sent=30))
    with path.open("a") as file:
        file.write('{"seed": 3, "find')
    runs = read_runs(path)
    assert {run["seed"]: run["sent"] for run in runs} == {1: 30, 2: 20}
    summary = small_summary(runs)
    assert summary["sent"] == 50
    assert summary["failed"] == []
    assert summary["faults"] == {"kill updater": 3}


def test_a_run_with_a_finding_is_named_by_its_seed(tmp_path: Path) -> None:
    path = tmp_path / "small.jsonl"
    write_run(path, small_run.Outcome(7, findings=[Finding(LOST_BY_LOG, 1, "the log: e1")]))
    summary = small_summary(read_runs(path))
    assert summary["failed"] == [7]
    assert "[7]" in shown(show_small, summary)


def test_costs_are_summed_by_fault_over_the_runs(tmp_path: Path) -> None:
    path = tmp_path / "cluster.jsonl"
    for seed, (asked, answered, recovery_s) in enumerate([(100, 100, 1.0), (100, 99, None)]):
        cost = Cost("kill", "redis", asked, answered, recovery_s=recovery_s, start_s=0.5)
        cost.processor_s = 0.25 + seed
        cost.degraded["user_state: unavailable"] = 10
        write_run(
            path, cluster_run.Outcome(seed, "redis", [], [cost], asked=asked, answered=answered)
        )
    summary = cluster_summary(read_runs(path))
    assert summary["answered_share"] == 0.995
    killed = summary["by_fault"]["kill redis"]
    assert killed["times"] == 2
    assert killed["answered"] == 199
    assert killed["degraded"] == {"user_state: unavailable": 20}
    assert killed["recovery_s"] == {"median": 1.0, "most": 1.0}
    assert killed["not_recovered"] == 1
    assert killed["start_s"] == {"median": 0.5, "most": 0.5}
    assert killed["processor_s"] == {"median": 1.25, "most": 1.25}
    assert "199 of 200" in shown(show_cluster, summary)


def test_faults_are_read_from_the_command_line() -> None:
    assert read_fault("kill:kafka") == Fault("kill", "kafka", 2.0)
    assert read_fault("pause:gateway-2:0.5") == Fault("pause", "gateway-2", 0.5)


def shown(show, summary) -> str:
    console = Console(file=io.StringIO(), width=160)
    show(summary, console)
    return console.file.getvalue()  # type: ignore[attr-defined]
