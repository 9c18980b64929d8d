"""Rules and dashboards read only what exists, and every alert is tested."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hemline.v1 import event_pb2, recommender_pb2, user_pb2
from promql import (
    DASHBOARDS,
    FOREIGN,
    ROOT,
    RULE_TESTS,
    alerts,
    dashboard_expressions,
    exported_names,
    metric_names,
    rules,
)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("hemline_event_lag", {"hemline_event_lag"}),
        ('sum by (job) (rate(a_total{code=~"b|c"}[5m])) / on () b_count', {"a_total", "b_count"}),
        ("absent(up{job='x'}) or (a:b:rate5m offset 5m > 1e6)", {"up", "a:b:rate5m"}),
        ('label_replace(c_total, "process", "$1", "job", "d-(.+)") > bool 0.5', {"c_total"}),
        (
            "histogram_quantile(0.9, sum(rate(x_bucket[5m])) by (le)) and on (a) y",
            {"x_bucket", "y"},
        ),
    ],
)
def test_the_metrics_of_an_expression_are_found(expression: str, names: set[str]) -> None:
    assert metric_names(expression) == names


def test_every_metric_in_rules_and_dashboards_exists(tmp_path: Path) -> None:
    exist = exported_names(tmp_path) | FOREIGN
    for rule in rules():
        missing = metric_names(rule["expr"]) - exist
        assert not missing, f"{rule.get('alert') or rule['record']} reads {missing}"
    for expression in dashboard_expressions():
        assert metric_names(expression) <= exist, expression


def test_every_method_in_rules_and_dashboards_is_one_of_ours() -> None:
    ours = {
        f"{service.full_name}/{method.name}"
        for file in (recommender_pb2, event_pb2, user_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    expressions = [*(rule["expr"] for rule in rules()), *dashboard_expressions()]
    named = {name for each in expressions for name in re.findall(r"hemline\.v1\.\w+/\w+", each)}
    assert named and named <= ours


def test_no_recording_rule_is_made_for_nobody() -> None:
    read: set[str] = set()
    for expression in [*(rule["expr"] for rule in rules()), *dashboard_expressions()]:
        read |= metric_names(expression)
    assert {rule["record"] for rule in rules() if "record" in rule} <= read


def test_the_dashboard_is_what_its_script_writes(tmp_path: Path) -> None:
    committed = DASHBOARDS / "hemline.json"
    script = (ROOT / "deploy" / "grafana" / "dashboard.py").read_text()
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboard.py").write_text(script)
    subprocess.run([sys.executable, tmp_path / "dashboard.py"], check=True)
    fresh = (tmp_path / "dashboards" / "hemline.json").read_text()
    assert fresh == committed.read_text(), "run python deploy/grafana/dashboard.py"


def test_each_alert_of_each_severity_is_tested_firing_and_silent() -> None:
    firing: set[tuple[str, str]] = set()
    silent: set[str] = set()
    for path in RULE_TESTS.glob("*.yml"):
        for case in yaml.safe_load(path.read_text())["tests"]:
            for expected in case.get("alert_rule_test", ()):
                labels = [alert["exp_labels"] for alert in expected["exp_alerts"]]
                firing |= {(expected["alertname"], each["severity"]) for each in labels}
                if not labels:
                    silent.add(expected["alertname"])
    assert firing == {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}
    assert silent == {rule["alert"] for rule in alerts()}
