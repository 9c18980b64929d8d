"""`hemline bench upserts` against a real gateway over the small shop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_bench_serve import hemline

from hemline.cli.__main__ import main
from hemline.v1 import catalog_pb2
from shop import Shop

pytestmark = pytest.mark.integration


async def test_every_item_is_found_and_gone_again_at_the_end(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "releases").symlink_to(shop.release.folder.parent)
    code, out, err = await hemline(
        *("bench", "upserts", "--gateway", shop.address, "--home", tmp_path, "--json"),
        *("--items", 15, "--load", 50, "--seconds", 1, "--searches", 10),
    )
    assert code == 0, err
    report = json.loads(out)
    for kind in ("given", "encoded"):
        assert report[kind]["never"] == 0
        assert report[kind]["acknowledged"]["count"] == report[kind]["visible"]["count"] == 15
        assert 0 < report[kind]["visible"]["p50_ms"] <= report[kind]["visible"]["p99_ms"]
    assert report["rejected"] == report["streams_failed"] == 0 and report["acknowledged_per_s"] > 0
    assert report["alone"]["failed"] == report["while_upserting"]["failed"] == {}
    made = [key for key in await _keys_of_the_catalogue(shop) if key.startswith("bench-")]
    assert len(set(made)) == 2 * (20 + 15) + 50 + 1
    asked = catalog_pb2.GetItemsRequest(item_ids=sorted(set(made)))
    answer = await shop.catalog.GetItems(asked)
    assert not answer.items and len(answer.unknown_item_ids) == len(asked.item_ids)


async def _keys_of_the_catalogue(shop: Shop) -> list[str]:
    reader = shop.log.reader("catalogue", {})
    return [record.key for record in await reader.poll(10_000, 90.0)]


def test_what_cannot_be_measured_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "upserts", "--load", "0"]) == 1
    assert "--load: 0.0 is not positive" in capsys.readouterr().err
