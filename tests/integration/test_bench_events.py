"""`hemline bench events` against a real gateway over the small shop, and `bench replay`'s parts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import psutil
import pytest
from test_bench_serve import hemline

from hemline.bench.drawn_events import DrawnEvents
from hemline.bench.replay import ReplayPlan, bench_replay
from hemline.bench.updater_metrics import UpdaterWatch
from hemline.cli.__main__ import main
from shop import Shop

pytestmark = pytest.mark.integration


@pytest.fixture
def home(shop: Shop, tmp_path: Path) -> Path:
    """A home with the shop's release; the shop itself is reached by its address."""
    (tmp_path / "releases").symlink_to(shop.release.folder.parent)
    return tmp_path


async def test_every_event_is_acknowledged_and_every_probe_becomes_visible(
    shop: Shop, home: Path
) -> None:
    flags = ("--rate", 100, "--seconds", 2, "--probes", 10, "--users", 50)
    code, out, err = await hemline(
        *("bench", "events", "--gateway", shop.address, "--home", home, "--json"), *flags
    )
    assert code == 0, err
    report = json.loads(out)
    assert report["streamed"] == 100 and report["streams_failed"] == 0
    assert report["load"]["failed"] == {}
    assert report["probes"] == report["visible"]["count"] > 5
    assert report["probes_refused"] == {}
    assert report["late"] == report["lost"] == report["not_known"] == 0
    assert 0 < report["visible"]["p50_ms"] <= report["visible"]["p99_ms"]
    assert report["cpu"] is None  # the shop's processes are not in this home
    assert next(target["name"] for target in report["targets"]).endswith("p99 ms")


async def test_a_replay_counts_every_record_and_the_updaters_processor_time(shop: Shop) -> None:
    plan = ReplayPlan(events=500, users=20)
    items = list(shop.release.catalogue.item_ids)
    here = psutil.Process()
    report = await bench_replay(
        plan, shop.log, shop.users, items, lambda: {"updater": [here]}, print
    )
    assert report.records == 500
    assert report.per_s > 0 and report.per_core_s > 0
    drawn = DrawnEvents(items, 20, "x", np.random.default_rng(1)).draw(500)
    assert len({event.user_id for event in drawn}) == 20


async def test_an_updater_whose_metrics_cannot_be_read_has_figures_of_nothing() -> None:
    stopping = asyncio.Event()
    stopping.set()
    figures = await UpdaterWatch("http://127.0.0.1:9/metrics").run(stopping)
    assert (figures.lag_max, figures.stored, figures.within_250ms) == (0, 0, 0)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("events", "--rate", "0"), "--rate: 0.0 is not positive"),
        (("events", "--streamed", "1"), "--streamed: 1 is no share from 0 to below 1"),
        (("replay", "--events", "0"), "--events: 0 is not positive"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(
    flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *flags]) == 1
    assert said in capsys.readouterr().err
