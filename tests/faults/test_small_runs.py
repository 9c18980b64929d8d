"""A gateway and updaters are killed, hung and starved; no acknowledged click is lost or doubled.

A few seeds, and the proof that the same run finds what is wrong with a cluster that has a bug.
`make faults` runs hundreds.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import checker
import pytest
from small_cluster import nursery
from small_disk import small_disk, why_no_small_disk
from small_run import Deaths, Fault, Outcome, Plan, draw_plan, small_run

from hemline.errors import UnavailableError
from hemline.releases import Release
from hemline.sqlite_event_log import SqliteEventLog

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SEEDS = (1, 7, 14, 18)  # among them: a standby updater, a full disk, an overfull history
PLANTED = {
    "commits first": checker.LOST_BY_UPDATER,
    "applies twice": checker.APPLIED_TWICE,
    "acknowledges first": checker.LOST_BY_LOG,
}


async def run_all(release: Release, folder: Path, plans: dict[int, Plan]) -> list[Outcome]:
    async with nursery(release.folder.parent) as home:
        return [await small_run(seed, home, folder, plan) for seed, plan in plans.items()]


async def test_seeded_faults_neither_lose_nor_repeat_an_acknowledged_click(
    small_release: Release, tmp_path: Path
) -> None:
    outcomes = await run_all(small_release, tmp_path, {seed: draw_plan(seed) for seed in SEEDS})
    for outcome in outcomes:
        assert not outcome.findings, f"seed {outcome.seed}: {outcome.findings}, see {tmp_path}"
        assert outcome.acknowledged > 90
    # The faults were no mere words: processes died, clients were refused, events came repeatedly.
    assert sum(outcome.restarts for outcome in outcomes) >= 5
    assert sum(outcome.refusals.total() for outcome in outcomes) >= 50
    assert sum(outcome.repeated for outcome in outcomes) >= 30


async def test_the_same_run_finds_each_planted_bug(small_release: Release, tmp_path: Path) -> None:
    # A gateway that dies with a record not yet written, and updaters that die just before and just
    # after they stored some states.
    deaths: dict[str, Deaths] = {
        "gateway": [("publish", 20, False)],
        "updater": [("compare_and_set", 1, False), ("compare_and_set", 1, True)],
    }
    plan = replace(draw_plan(2), faults=[], deaths=deaths, standby=False, on_small_disk=False)
    async with nursery(small_release.folder.parent) as home:
        calm = await small_run(2, home, tmp_path, plan)
        assert not calm.findings, "without a bug, these deaths do no harm"
        assert calm.restarts == 3
        for bug, what in PLANTED.items():
            outcome = await small_run(2, home, tmp_path / bug, plan, bug)
            assert what in [finding.what for finding in outcome.findings], (bug, outcome)


async def test_a_full_disk_refuses_events_keeps_the_acknowledged_and_goes_on_when_freed(
    small_release: Release, tmp_path: Path
) -> None:
    if reason := why_no_small_disk():
        pytest.skip(f"no file system can be mounted here: {reason}")
    full = Fault("fill", "disk", at_s=0.2, lasts_s=0.4)
    plan = replace(draw_plan(2), faults=[full], deaths={"gateway": [], "updater": []})
    (outcome,) = await run_all(
        small_release, tmp_path, {2: replace(plan, standby=False, on_small_disk=True)}
    )
    assert not outcome.findings
    assert outcome.refusals["UNAVAILABLE"] >= 3, outcome
    assert outcome.restarts == 0, "a full disk is no reason to die"

    with small_disk(tmp_path / "disk", 1) as disk:
        log = SqliteEventLog(tmp_path / "disk" / "events.sqlite")
        before = await log.publish("events", "ada", b"before")
        disk.fill()
        with pytest.raises(UnavailableError, match=r"events\.sqlite.*full"):
            for _ in range(20):
                await log.publish("events", "ada", bytes(20_000))
        disk.free()
        after = await log.publish("events", "ada", b"after")
        assert after > before
        await log.close()
    assert subprocess.run(["findmnt", str(tmp_path / "disk")], capture_output=True).returncode
