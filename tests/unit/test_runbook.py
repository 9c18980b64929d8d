"""The runbook knows every alert and asks only for what exists; every metric is described."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from k8s_objects import name_of, render
from promql import FOREIGN, ROOT, alerts, exported_names, metric_names

RUNBOOK = ROOT / "docs" / "runbook.md"


def test_each_alert_has_its_place_in_the_runbook_and_the_runbook_no_other() -> None:
    headings = re.findall(r"^### (Hemline\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted({rule["alert"] for rule in alerts()})
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"] and rule["labels"]["severity"] in ("page", "ticket")


def test_each_place_in_the_runbook_says_what_it_means_what_to_look_at_and_when_it_is_over() -> None:
    for section in re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
        for part in ("**For shoppers.**", "**Look at**", "**Do.**", "**Over**"):
            assert part in section, f"{section.splitlines()[0]} lacks {part}"


def test_the_runbook_asks_prometheus_only_for_what_exists(tmp_path: Path) -> None:
    exist = exported_names(tmp_path) | FOREIGN
    queries = re.findall(r"```promql\n(.*?)```", RUNBOOK.read_text(), re.DOTALL)
    assert len(queries) > 10
    for query in (line for block in queries for line in block.splitlines() if line.strip()):
        assert metric_names(query) <= exist, query


def test_the_runbook_asks_the_cluster_only_for_what_it_has() -> None:
    short = {"deploy": "Deployment", "statefulset": "StatefulSet", "svc": "Service"}
    exist = {name_of(found) for found in render("overlays/cpu")}
    asked = re.findall(
        rf"kubectl -n hemline [^`]*?\b({'|'.join(short)})/([\w-]+)", RUNBOOK.read_text()
    )
    assert len(asked) > 8
    named = {f"{short[kind]} {name}" for kind, name in asked}
    assert named <= exist, named - exist


def test_the_table_of_metrics_is_current(tmp_path: Path) -> None:
    (tmp_path / "deploy" / "prometheus").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    for part in ("deploy/prometheus/metrics_table.py", "docs/monitoring.md"):
        shutil.copy(ROOT / part, tmp_path / part)
    subprocess.run([sys.executable, tmp_path / "deploy/prometheus/metrics_table.py"], check=True)
    fresh = (tmp_path / "docs" / "monitoring.md").read_text()
    assert fresh == (ROOT / "docs" / "monitoring.md").read_text(), (
        "run python deploy/prometheus/metrics_table.py"
    )
