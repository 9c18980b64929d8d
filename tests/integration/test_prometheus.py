"""A real Prometheus over a real cluster: every target answers, every recorded series has values."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hemline.local.prometheus_server import PrometheusInstall
from promql import rules
from running_home import Home

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

LOADTEST = Path(__file__).parents[2] / "loadtest" / "run.py"
PATIENCE_S = 240.0
ONLY_WHEN_DEGRADED = {"hemline:degraded:ratio_rate5m"}  # no series until an answer lacks a stage


def ask(address: str, path: str, **query: str) -> Any:
    """The data of an answer of Prometheus' HTTP API."""
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)["data"]


def recorded(address: str) -> set[str]:
    """Names of recorded series that have a number by now."""
    found = ask(address, "query", query='{__name__=~"hemline:.+"}')["result"]
    return {each["metric"]["__name__"] for each in found if each["value"][1] != "NaN"}


def test_every_target_is_up_and_every_recorded_series_has_values_after_some_load(
    home: Home, prometheus_install: PrometheusInstall
) -> None:
    home.hemline("up", "--detach", "--base-port", 0, "--prometheus")
    try:
        (prometheus,) = (p.address for p in home.cluster.processes if p.name == "prometheus")
        load = [sys.executable, str(LOADTEST), "--home", str(home.folder), "--deadline-ms", "9000"]
        # Longer than two scrapes are apart: a rate needs a series that was there before.
        subprocess.run([*load, "--rate", "30", "--seconds", "12"], capture_output=True)
        wanted = {rule["record"] for rule in rules() if "record" in rule} - ONLY_WHEN_DEGRADED
        deadline = time.monotonic() + PATIENCE_S
        while (missing := wanted - recorded(prometheus)) and time.monotonic() < deadline:
            time.sleep(1)
        assert not missing
        # One that was slow to answer is looked at again a few seconds later.
        targets = ask(prometheus, "targets", state="active")["activeTargets"]
        while {target["health"] for target in targets} != {"up"}:
            assert time.monotonic() < deadline, targets
            time.sleep(1)
            targets = ask(prometheus, "targets", state="active")["activeTargets"]
        processes = {f"hemline-{process.name}" for process in home.cluster.processes}
        assert {target["labels"]["job"] for target in targets} >= processes
        loaded = ask(prometheus, "rules")["groups"]
        judged = [rule for group in loaded for rule in group["rules"]]
        assert len(judged) == len(rules())
        assert {rule["health"] for rule in judged} == {"ok"}
    finally:
        home.hemline("down")
