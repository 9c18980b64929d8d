"""A gateway among callers who mean harm; `make faults` sends it fifty times as much."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import FORBIDDEN, Report, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def test_two_thousand_hostile_requests_neither_stop_nor_confuse_nor_bloat_the_gateway(
    tmp_path: Path,
) -> None:
    report = await run(2_000, seed=1, folder=tmp_path, warm_up=1_000)
    assert not report.failures, report.bad
    assert report.statuses.total() == 2_000
    assert report.counted.total() > 2_000  # the gateway's own count was read, too
    for expected in ("OK", "INVALID_ARGUMENT", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "CANCELLED"):
        assert report.statuses[expected], f"the attacks never came to {expected}: {report.statuses}"


def test_a_report_fails_for_each_thing_that_must_not_happen() -> None:
    well = Report(rss_before=100, rss_after=104, alive=True)
    assert not well.failures
    assert Report(rss_before=100, rss_after=105, alive=True).failures
    assert Report(rss_before=100, rss_after=100, alive=False).failures
    for status in FORBIDDEN:
        report = Report(rss_before=100, rss_after=100, alive=True)
        report.statuses[status] = 1
        assert report.failures == [f"1 x {status}"]
        by_gateway = Report(rss_before=100, rss_after=100, alive=True)
        by_gateway.counted[status] = 1
        assert by_gateway.failures == [f"1 x {status} by the gateway's own count"]
