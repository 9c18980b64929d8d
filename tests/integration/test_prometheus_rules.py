"""All rules and queries, judged by the promtool of the Prometheus that `hemline up` starts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from hemline.local.prometheus_server import PrometheusInstall
from promql import RULE_TESTS, RULES, dashboard_expressions

pytestmark = pytest.mark.integration


def promtool(install: PrometheusInstall, *argv: object) -> str:
    done = subprocess.run(
        [install.promtool, *map(str, argv)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_rules_are_well_formed(prometheus_install: PrometheusInstall) -> None:
    said = promtool(prometheus_install, "check", "rules", *sorted(RULES.glob("*.yml")))
    assert said.count("SUCCESS") == len(list(RULES.glob("*.yml")))


@pytest.mark.parametrize("file", sorted(RULE_TESTS.glob("*.yml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(
    prometheus_install: PrometheusInstall, file: Path
) -> None:
    assert "SUCCESS" in promtool(prometheus_install, "test", "rules", file)


def test_a_rule_that_breaks_fails_its_test(
    prometheus_install: PrometheusInstall, tmp_path: Path
) -> None:
    """The tests above can fail: here the availability alert looks at the wrong status codes."""
    for folder, files in (("rules", RULES), ("tests", RULE_TESTS)):
        (tmp_path / folder).mkdir()
        for path in files.glob("*.yml"):
            (tmp_path / folder / path.name).write_text(path.read_text())
    promises = tmp_path / "rules" / "promises.yml"
    promises.write_text(promises.read_text().replace("UNAVAILABLE|", ""))
    done = subprocess.run(
        [prometheus_install.promtool, "test", "rules", tmp_path / "tests" / "promises.yml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "HemlineRecommendFailing" in done.stderr + done.stdout


def test_every_panel_of_the_dashboards_asks_valid_promql(
    prometheus_install: PrometheusInstall, tmp_path: Path
) -> None:
    expressions = dashboard_expressions()
    rules = [{"record": f"panel:{i}", "expr": expr} for i, expr in enumerate(expressions)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(expressions)} rules found" in promtool(prometheus_install, "check", "rules", file)
