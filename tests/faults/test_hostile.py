"""A gateway among callers who mean harm; `make faults` sends it fifty times as much."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import FORBIDDEN, Report, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


async def test_two_thousand_hostile_requests_neither_stop_nor_confuse_nor_bloat_the_gateway(
    tmp_path: Path,
) -> None:
    report = await run(2_000, seed=1, folder=tmp_path, warm_up=4_000)
    assert not report.failures, report.bad
    assert report.statuses.total() == 2_000
    assert report.counted.total() > 2_000  # the gateway's own count was read, too
    for expected in ("OK", "INVALID_ARGUMENT", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "CANCELLED"):
        assert report.statuses[expected], f"the attacks never came to {expected}: {report.statuses}"


def weighed(*rss: int, alive: bool = True) -> Report:
    return Report(rss_before=100.0, rss=list(rss), alive=alive)


def test_a_report_fails_for_each_thing_that_must_not_happen() -> None:
    assert not weighed(104).failures
    assert weighed(105).failures
    assert weighed(100, alive=False).failures
    for status in FORBIDDEN:
        report = weighed(100)
        report.statuses[status] = 1
        assert report.failures == [f"1 x {status}"]
        by_gateway = weighed(100)
        by_gateway.counted[status] = 1
        assert by_gateway.failures == [f"1 x {status} by the gateway's own count"]
    lost = weighed(100)
    lost.away, lost.counted["UNAVAILABLE"] = 3, 1
    assert lost.failures == ["2 calls lost their connection"]


def test_memory_is_judged_by_its_last_samples_not_by_one_of_them() -> None:
    assert not weighed(*[100] * 19, 130).failures
    assert weighed(*[100] * 100, *[130] * 20).failures
    assert weighed(*range(100)).rss_tenths[0] == 4.5
