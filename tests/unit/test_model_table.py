"""The table over all models: each measured apart, what does not fit named, a page written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemline.errors import DataError
from hemline_training.data.trained_log import write_trained_log
from hemline_training.datasets import read_events
from hemline_training.model_table import run, write
from small_world import build_small_release


def test_models_are_measured_once_and_what_does_not_fit_is_named(tmp_path: Path):
    (tmp_path / "train.txt").write_text("0 0 1\n1 1 2\n2 0\n")
    (tmp_path / "test.txt").write_text("0 2\n1 0\n2\n")
    out = tmp_path / "evaluate-made-up.json"
    run(tmp_path, out, ["popular", "mf-als"], ["--k", "2"], limit_s=300)
    report = json.loads(out.read_text())
    assert set(report["models"]) == {"popular"}
    assert "needs explicit ratings" in report["left_out"]["mf-als"]
    assert report["models"]["popular"]["peak_rss_mb"] > 10
    before = out.read_bytes()
    run(tmp_path, out, ["popular", "mf-als"], ["--k", "2"], limit_s=0)  # nothing is started again
    assert out.read_bytes() == before

    page = tmp_path / "page.md"
    page.write_text("# Models\n\n<!-- tables -->\nold\n<!-- end of tables -->\n\nThe end.\n")
    write(page, [out])
    text = page.read_text()
    assert text.startswith("# Models\n\n<!-- tables -->") and text.endswith("The end.\n")
    assert "old" not in text and "**made-up**: given split, 7 events, 3 users, 3 items" in text
    assert "\n| popular | " in text and "- mf-als: " in text
    write(page, [out])
    assert page.read_text() == text


def test_a_page_without_a_place_for_tables_is_refused(tmp_path: Path):
    (tmp_path / "page.md").write_text("# Models\n")
    with pytest.raises(ValueError, match="has no line <!-- tables -->"):
        write(tmp_path / "page.md", [])


def log_of(path: Path, kinds: list[str], items: list[str]) -> Path:
    columns = {
        "user_id": ["ann", "bob", "ann"],
        "item_id": items,
        "kind": kinds,
        "occurred_ms": [1, 2, 3],
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_what_a_release_was_trained_on_is_a_data_folder_with_vectors(tmp_path: Path):
    release = build_small_release(tmp_path / "releases")
    known = release.catalogue.item_ids
    items = [known[4], "gone", known[2]]
    log = log_of(tmp_path / "log.parquet", ["click", "click", "purchase"], items)
    assert write_trained_log(release, log, tmp_path / "data") == 2
    events = read_events(tmp_path / "data")
    assert events.items.tolist() == [4, 2] and events.n_items == len(known)
    assert events.feedback().content == pytest.approx(release.item_content, abs=1e-6)


def test_a_log_of_unknown_kinds_and_vectors_of_another_catalogue_are_named(tmp_path: Path):
    release = build_small_release(tmp_path / "releases")
    known = list(release.catalogue.item_ids[:3])
    strange = log_of(tmp_path / "log.parquet", ["click", "stare", "click"], known)
    with pytest.raises(DataError, match="kind 'stare' is none of"):
        write_trained_log(release, strange, tmp_path / "data")
    log = log_of(tmp_path / "log.parquet", ["click"] * 3, known)
    write_trained_log(release, log, tmp_path / "data")
    np.save(tmp_path / "data" / "content.npy", np.zeros((2, 3), np.float32))
    with pytest.raises(DataError, match=r"content\.npy is float32 \(2, 3\), wanted one row"):
        read_events(tmp_path / "data")
