"""What a running Triton shows is what rules and dashboards may read."""

from __future__ import annotations

import urllib.request

import pytest

from promql import TRITON_METRICS
from running_triton import RunningTriton

pytestmark = pytest.mark.integration


def test_the_list_of_triton_s_metrics_is_that_of_a_running_one(triton: RunningTriton) -> None:
    with urllib.request.urlopen(triton.metrics, timeout=10) as page:
        lines = page.read().decode().splitlines()
    shown = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    assert sorted(shown) == TRITON_METRICS.read_text().split()
