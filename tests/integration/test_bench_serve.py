"""`hemline bench serve` against a real gateway over the small shop: every figure is there, and
those that are known beforehand are right."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hemline.bench.shoppers import ShopperPlan, create_shoppers
from hemline.errors import HemlineError
from shop import Shop

pytestmark = pytest.mark.integration

SECONDS = 2


async def hemline(*argv: object) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "hemline.cli", *map(str, argv)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def drawn(rate_per_s: float, seconds: float) -> Any:
    """What Poisson arrivals of this rate may come to, at six standard deviations."""
    return pytest.approx(rate_per_s, abs=6 * math.sqrt(rate_per_s * seconds) / seconds)


@pytest.fixture
def home(shop: Shop, tmp_path: Path) -> Path:
    """A home with the shop's release; the shop itself is reached by its address."""
    (tmp_path / "releases").symlink_to(shop.release.folder.parent)
    return tmp_path


async def test_every_figure_of_a_report_is_measured(shop: Shop, home: Path) -> None:
    flags = ("--seconds", SECONDS, "--users", 30, "--events-per-user", "3-6", "--rates", "50%")
    flags += (
        "--rounds",
        3,
        "--timeout",
        60,
    )  # a machine that is busy elsewhere may be late, and nothing is wrong
    code, out, err = await hemline(
        *("bench", "serve", "--gateway", shop.address, "--home", home, "--json", "--overload", 3),
        *flags,
    )
    assert code == 0, err
    report = json.loads(out)
    assert report["shoppers"] == 30 and 90 <= report["events"] <= 180
    assert report["repeated_requests"] == report["requests"] - 30
    assert [phase["name"] for phase in report["rates"]] == ["50% of peak"]
    assert report["closed"][0]["name"] == "alone"
    rates = [
        phase["load"]["answered_per_s"]
        for phase in report["closed"]
        if sum(failed["count"] for failed in phase["load"]["failed"].values())
        <= 0.01 * phase["load"]["answered"]["count"]
    ]
    assert report["peak_per_s"] == max(rates)
    quarter = report["quarter"]
    assert quarter["load"]["offered_per_s"] == drawn(report["peak_per_s"] / 4, SECONDS)
    for phase in (report["alone"], quarter, *report["rates"]):
        # A machine that is busy elsewhere may have to refuse, and the report then says so.
        assert set(phase["load"]["failed"]) <= {"RESOURCE_EXHAUSTED"}
        sample = phase["sample"]
        # Nobody is asked for before the store holds what they did.
        assert sample["personal"] == sample["whole"] == sample["answers"] > 0
        assert sample["releases"] == [shop.release.id]
    for empty in report["empty"].values():
        assert empty["load"]["answered"]["p50_ms"] > 0 and empty["load"]["failed"] == {}
        assert empty["cpu"]["ms_per_request"] > 0
    overload = report["overload"]
    assert overload["times_peak"] == 3 and overload["cpu_ms_per_request"] is None
    assert len(overload["rounds"]) == 3
    for one in overload["rounds"]:
        beside = [one[peak]["load"]["answered_per_s"] for peak in ("before", "after")]
        share = one["over"]["load"]["answered_per_s"] / (sum(beside) / 2)
        assert one["goodput_share"] == pytest.approx(share, abs=0.001)
        assert one["over"]["load"]["offered_per_s"] == drawn(3 * beside[0], SECONDS / 2)
    shares = sorted(one["goodput_share"] for one in overload["rounds"])
    assert overload["goodput_share"] == shares[1]
    assert report["cpu_ms_per_request"] is None  # the shop's processes are not in this home
    assert {"p50 / p50 of the empty server", "goodput under overload / peak"} <= {
        target["name"] for target in report["targets"]
    }


async def test_a_cluster_with_another_catalogue_is_named(shop: Shop) -> None:
    plan, rng = ShopperPlan(users=2, least_events=3, most_events=3), np.random.default_rng(0)
    with pytest.raises(HemlineError, match=r"refused 6 events.*does the cluster serve the release"):
        await create_shoppers(shop.address, ["of-another-shop"], plan, "x", rng, print)


async def test_nobody_at_the_address_is_one_line(home: Path) -> None:
    flags = ("--gateway", "127.0.0.1:9", "--home", home, "--users", 2)
    code, _, err = await hemline("bench", "serve", *flags)
    assert code == 1
    assert err.splitlines()[-1].startswith("hemline: ") and "127.0.0.1:9" in err
