"""Seconds of the load test against a real gateway over the small shop: reports and verdict."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from shop import Shop

pytestmark = pytest.mark.integration

LOADTEST = Path(__file__).parents[2] / "loadtest"
# What a busy machine makes of these is no business of this test.
PATIENT = ("--slo-p99-ms", 60_000, "--slo-send-lag-p99-ms", 60_000, "--deadline-ms", 30_000)
PATIENT += ("--slo-sent-share", 0.5, "--slo-degraded-share", 0.5, "--slo-failed-share", 0.9)


async def run(program: str, *argv: object) -> tuple[int | None, str]:
    """Exit code and output of a program of loadtest/."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(LOADTEST / program), *map(str, argv)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


def report_in(home: Path) -> Any:
    (plain,) = (home / "loadtest").glob("*.json")
    return json.loads(plain.read_text())


def calls_of(report: Any) -> int:
    """How many, of which none failed but what a gateway with too much to do refuses; checks that
    each other one but of events had an answer."""
    assert {error["error"] for error in report["errors"]} <= {"RESOURCE_EXHAUSTED"}
    answered = {name: call["calls"] - call["failed"] for name, call in report["calls"].items()}
    assert report["answers"] == sum(answered.values()) - answered["RecordEvent"] > 0
    return sum(call["calls"] for call in report["calls"].values())


async def test_a_run_passes_and_leaves_both_reports(shop: Shop, tmp_path: Path) -> None:
    flags = ("--shape", "spike", "--rate", 32, "--seconds", 4, *PATIENT)
    code, out = await run("run.py", "--home", tmp_path, "--gateway", shop.address, *flags)
    assert code == 0 and "PASSED: all objectives were met" in out, out
    report = report_in(tmp_path)
    assert report["passed"] and report["broken"] == []
    assert report["calls"].keys() == {"Recommend", "RecordEvent", "SimilarItems", "Search"}
    assert report["expected"] == pytest.approx(205, abs=1)
    assert 0.2 * 205 < calls_of(report) < 1.5 * 205
    (html,) = (tmp_path / "loadtest").glob("*.html")
    page = html.read_text()
    assert "RecordEvent" in page and str(html) in out
    assert page.count("PASSED") == 1 and "<li>all objectives were met</li>" in page
    # The events are real: what was clicked is in the log, with the answer that showed it.
    visitors = [f"load-{number:06}" for number in range(10)]  # by Zipf's law nearly half of all
    async with asyncio.timeout(90):
        while not any([await shop.users.get(visitor) for visitor in visitors]):
            await asyncio.sleep(0.05)


async def test_a_run_without_a_server_fails_and_says_why(tmp_path: Path) -> None:
    flags = ("--rate", 20, "--seconds", 2, "--deadline-ms", 5000, "--slo-send-lag-p99-ms", 5000)
    code, out = await run("run.py", "--home", tmp_path, "--gateway", "127.0.0.1:9", *flags)
    assert code == 1 and "FAILED: " in out and "100.00% of all calls failed" in out
    report = report_in(tmp_path)
    (html,) = (tmp_path / "loadtest").glob("*.html")
    assert "100.00% of all calls failed" in html.read_text()
    assert not report["passed"] and report["errors"][0]["error"] == "UNAVAILABLE"


async def test_workers_share_the_rate_and_the_master_judges(shop: Shop, tmp_path: Path) -> None:
    flags = ("--rate", 40, "--seconds", 3, "--processes", 2, "--senders", 2, *PATIENT)
    code, out = await run("run.py", "--home", tmp_path, "--gateway", shop.address, *flags)
    assert code == 0, out
    assert 0.2 * 120 < calls_of(report_in(tmp_path)) < 1.5 * 120


@pytest.mark.parametrize("flags", [("--rate", 0), ("--newcomers", 2), ("--shape", "square")])
async def test_flags_that_make_no_sense_are_refused(tmp_path: Path, flags: Any) -> None:
    code, out = await run("run.py", "--home", tmp_path, "--gateway", "127.0.0.1:9", *flags)
    assert code not in (0, None) and flags[0] in out and "Traceback" not in out


async def test_without_a_release_one_line_says_what_to_do(tmp_path: Path) -> None:
    code, out = await run("run.py", "--home", tmp_path)
    assert code == 1 and out.startswith("loadtest: no release has been promoted")
