"""The real data sets, by the counts that were measured once; skipped where they are absent."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hemline_training.data.column_map import read_column_map
from hemline_training.data.import_data import import_data
from hemline_training.data.report import DataReport

REAL = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not REAL.exists(), reason="the real data is not on this machine")

IMPRESSIONS = {
    "events": {
        "columns": {
            "user_id": [f"user_feature_{n}" for n in range(4)],
            "item_id": "item_id",
            "occurred_ms": "timestamp",
            "position": "position",
            "propensity": "propensity_score",
            "kind": {"column": "click", "values": {"0": "view", "1": "click"}, "other": "bad"},
        }
    }
}


def rows(report: DataReport) -> tuple[int, int, int]:
    """Items, users, events."""
    counts = [report.tables[name].rows_out for name in ("items", "users", "events")]
    return counts[0], counts[1], counts[2]


@pytest.mark.parametrize(
    ("format", "path", "expected"),
    [
        ("movielens", "movielens_100k", (1_682, 943, 100_000)),
        ("baskets", "groceries/groceries.csv", (169, 9_835, 43_367)),
        ("pairs", "amazon_baby", (7_050, 19_445, 160_792)),
        ("hm", "hm_sample", (400, 0, 0)),
    ],
)
def test_a_real_data_set_comes_through_whole(
    format: str, path: str, expected: tuple[int, int, int], tmp_path: Path
) -> None:
    report = import_data(format, REAL / path, tmp_path / "out", progress=False)
    assert rows(report) == expected
    assert all(table.bad_rows == 0 for table in report.tables.values())


def test_rentals_lose_repeated_reviews_and_nothing_else(tmp_path: Path) -> None:
    source = REAL / "rent_the_runway"
    report = import_data("rent-the-runway", source, tmp_path / "out", progress=False)
    assert rows(report) == (5_850, 105_571, 192_354)
    events = report.tables["events"]
    assert events.rows_in == 192_544
    assert events.reasons["the same event again"].count == 190
    assert events.reasons["rating: missing, the rental is kept without"].count == 82


def test_impressions_keep_their_positions_and_propensities(tmp_path: Path) -> None:
    written = tmp_path / "map.json"
    written.write_text(json.dumps(IMPRESSIONS))
    source = REAL / "zozotown_clicks" / "men.csv"
    out = tmp_path / "out"
    report = import_data("table", source, out, columns=read_column_map(written), progress=False)
    assert rows(report) == (34, 230, 10_000)
    events = pq.read_table(out / "events.parquet")
    assert events["kind"].to_pylist().count("click") == 46
    assert set(events["position"].to_pylist()) == {1, 2, 3}
    assert events["propensity"].to_pylist()[0] == pytest.approx(1 / 34)
