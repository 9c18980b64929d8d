"""`hemline bench retrieval` measures what it says: ours beside faiss, with the keys promised."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from hemline.bench.contenders import missing
from hemline.bench.equal_recall import TARGETS, equal_recall
from hemline.bench.retrieval import RetrievalPlan, as_json, bench_retrieval
from hemline.bench.retrieval_cuda import CudaPlan, bench_cuda, write_json
from hemline.bench.retrieval_rows import Row
from hemline.bench.vector_sets import VectorSet, drawn_set
from hemline.cli.__main__ import main
from hemline.cli.bench_retrieval import _numbers, _sizes
from hemline.errors import InvalidInputError
from hemline.releases import Release
from small_world import item_contents


def test_every_exact_index_is_whole_at_every_filter(small_release: Release) -> None:
    plan = RetrievalPlan(
        drawn=((3_000, 16),), batches=(1, 2), filters=(1.0, 0.1), rounds=2, queries=20
    )
    said: list[str] = []
    report = as_json(bench_retrieval(plan, small_release, said.append))
    rows, details = report["rows"], report["details"]
    assert isinstance(rows, list) and isinstance(details, list)
    wanted = {"items", "dim", "batch", "index", "filter", "threads", "device", "qps", "p50_ms"}
    wanted |= {"recall_at_10", "recall_at_100", "ratio_to_faiss_flat", "rss_mb", "upserting"}
    assert all(wanted == row.keys() for row in rows)
    assert {(row["batch"], row["filter"]) for row in rows} == {
        (batch, share) for batch in (1, 2) for share in (1.0, 0.1)
    }
    ours = ("hemline spectral", "hemline int8", "hemline fp16")
    exact = [row for row in rows if row["index"] in ours]
    assert len(exact) == 3 * 3 * 2 * 2
    assert all(row["recall_at_10"] == row["recall_at_100"] == 1.0 for row in exact)
    assert all(row["qps"] > 0 and row["ratio_to_faiss_flat"] > 0 for row in rows)
    assert len(details) == len(rows) and all(detail["cpu_ms"] > 0 for detail in details)
    indexes = {row["index"] for row in rows}
    assert "faiss IndexFlatIP" in indexes and not indexes & set(missing())
    assert any("building" in line for line in said)


class Halving:
    """Looks at `effort` in a hundred of the items, so that 50 find half of the truth."""

    filters = keeps = True

    def __init__(self, name: str, items: np.ndarray) -> None:
        self.name, self.effort, self._items = name, 7, items

    def search(self, queries: np.ndarray, k: int, allowed: object) -> list[np.ndarray]:
        seen = self._items[: max(k, len(self._items) * min(self.effort, 100) // 100)]
        return [np.argsort(-(seen @ query))[:k] for query in queries]


def test_efforts_at_equal_recall_are_the_least_that_reach_it() -> None:
    rng = np.random.default_rng(1)
    items, queries = (np.float32(rng.normal(size=(n, 8))) for n in (2_000, 60))
    vectors = VectorSet("made", items, queries)
    contenders = [Halving("hnswlib", items), Halving("other", items)]
    rows = equal_recall(vectors, contenders, 1, lambda line: None, ks=(10,))
    assert [(row.target, row.index) for row in rows] == [
        (target, name) for target in TARGETS for name in ("hnswlib", "other")
    ]
    for row in rows:
        assert row.target <= row.recall
        assert abs(row.effort - 100 * row.target) <= 6
        assert row.cpu_ms > 0 and row.ratio_to_hnswlib is not None
    assert [row.ratio_to_hnswlib for row in rows if row.index == "hnswlib"] == [1.0, 1.0]
    assert [contender.effort for contender in contenders] == [7, 7]


def test_drawn_vectors_have_the_real_spectrum() -> None:
    real = item_contents()
    drawn = drawn_set(real, 4_000, real.shape[1], 5, np.random.default_rng(1)).items
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, rtol=1e-5)
    shares = []
    for vectors in (real, drawn):
        energy = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
        shares.append(float(energy[:5].sum() / energy.sum()))
    assert abs(shares[0] - shares[1]) < 0.1


@pytest.mark.parametrize("text", ["x", "10x5", "200000", "200000x1"])
def test_sizes_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--drawn"):
        _sizes(text)
    with pytest.raises(InvalidInputError, match="--filters"):
        _numbers("--filters", "2")


def test_the_script_for_a_gpu_runs_without_one(tmp_path: Path) -> None:
    out = tmp_path / "cuda.json"
    command = [sys.executable, "-m", "hemline.bench.retrieval_cuda", "--device", "cpu"]
    command += ["--sets", "3000x16", "--batches", "1,3", "--filters", "1,.05", "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(out.read_text())
    assert report["device"] == "cpu" and report["copy_gb_per_s"] > 0 and not report["skipped"]
    assert {(r["index"], r["batch"], r["filter"]) for r in report["rows"]} == {
        (index, batch, share)
        for index in ("hemline scan", "torch float32 product + topk")
        for batch in (1, 3)
        for share in (1.0, 0.05)
    }
    assert len(report["details"]) == len(report["rows"])
    for row in report["rows"]:
        assert row.keys() == {field.name for field in fields(Row)}
        assert row["recall_at_10"] == row["recall_at_100"] == 1.0
        assert row["qps"] > 0 and row["p50_ms"] > 0 and row["ratio_to_faiss_flat"] > 0


def test_what_was_out_of_time_is_said(tmp_path: Path) -> None:
    plan = CudaPlan(sets=((2_000, 8),), batches=(1,), filters=(1.0,), device="cpu", limit_s=-1)
    report = bench_cuda(plan, lambda line: None, write_json(tmp_path / "cuda.json"))
    assert report.rows == [] and report.skipped == ["drawn 2,000 x 8: out of time"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_its_bench_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "retrieval", "--device", "cuda"]) != 0
    assert "finds no CUDA device here" in capsys.readouterr().err
