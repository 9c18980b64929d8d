"""Writes the table of metrics in docs/monitoring.md: python deploy/prometheus/metrics_table.py

Needs the package installed, or services/ on PYTHONPATH.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from hemline import metrics
from hemline.local.process_metrics import ProcessCollector

DOCUMENT = Path(__file__).parents[2] / "docs" / "monitoring.md"
BEGIN, END = "<!-- metrics: made by deploy/prometheus/metrics_table.py -->", "<!-- end -->"


def table() -> str:
    """A line a metric: name, type, labels, meaning; those of processes, then the supervisor's."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, kind, labels, meaning in (*of_processes(), *of_the_supervisor()):
        rows.append(f"| `{name}` | {kind} | {', '.join(labels)} | {meaning} |")
    return "\n".join(rows)


def of_processes() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            family = next(iter(metric.describe()))
            name = family.name + ("_total" if family.type == "counter" else "")
            yield name, family.type, metric._labelnames, family.documentation


def of_the_supervisor() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    with tempfile.TemporaryDirectory() as nothing_runs_here:
        for family in ProcessCollector(Path(nothing_runs_here)).collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            yield name, family.type, family._labelnames, family.documentation


def with_table(document: str) -> str:
    """The document with the table between its marks made anew."""
    before, rest = document.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
