"""Which metrics a PromQL expression reads, and which metrics there are.

`promtool` says whether an expression can be parsed; this says whether it can ever find anything.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import prometheus_client
import yaml

from hemline import metrics
from hemline.local.process_metrics import ProcessCollector

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus" / "rules"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "tests"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
TRITON_METRICS = ROOT / "tests" / "data" / "triton_metrics.txt"

# Made by Prometheus itself, by cAdvisor in a cluster of machines, and by HAProxy.
FOREIGN = {"up", "ALERTS", "container_cpu_usage_seconds_total", "haproxy_server_status"}

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w.:])([A-Za-z_:][\w:]*)(?!\s*\()(?![\w:])")
_WORDS = {"and", "or", "unless", "offset", "bool", "by", "on", "sum", "min", "max", "inf", "nan"}


def metric_names(expression: str) -> set[str]:
    """The metrics and recording rules that an expression reads."""
    bare = _BRACKETS.sub(" ", _STRINGS.sub('""', expression))
    bare = _GROUPING.sub(" ", bare)
    return {name for name in _NAME.findall(bare) if name.lower() not in _WORDS}


def rules() -> list[dict[str, Any]]:
    """All recording and alert rules, as in their files."""
    groups = (
        group
        for path in RULES.glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
    )
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def dashboard_expressions() -> list[str]:
    """The PromQL of every panel and annotation."""
    expressions: list[str] = []
    for path in DASHBOARDS.glob("*.json"):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            expressions += [target["expr"] for target in panel.get("targets", ())]
        expressions += [note["expr"] for note in dashboard["annotations"]["list"]]
    return expressions


def exported_names(run: Path) -> set[str]:
    """Every series name that Hemline's processes, the supervisor and Triton can show, and the
    recording rules make."""
    names: set[str] = set()
    # A registry of our own shows what every process does, also where no child exists yet.
    for metric in vars(metrics).values():
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase):
            names |= _series(next(iter(metric.describe())))
    for family in prometheus_client.PROCESS_COLLECTOR.collect():
        names |= _series(family)
    for family in ProcessCollector(run).collect():
        names |= _series(family)
    names |= set(TRITON_METRICS.read_text().split())
    return names | {rule["record"] for rule in rules() if "record" in rule}


def _series(family: prometheus_client.Metric) -> set[str]:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
