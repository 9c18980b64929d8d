"""`hemline bench retrieval --upserting`: searches beside changes, each answer worked out again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hemline.bench.contenders import FaissFlat
from hemline.bench.drawn_release import release_of
from hemline.bench.retrieval_rows import Row
from hemline.bench.upserting import WRONG, LiveBench, Upserts, bench_live, condition_of
from hemline.bench.vector_sets import drawn_set
from hemline.cli.__main__ import main
from hemline.contracts import VectorQuery
from hemline.live_items import LiveItems
from hemline.live_view import LiveView
from hemline.retrieval.kinds import IndexSettings
from hemline.retrieval.loaded_release import LoadedRelease
from small_world import item_contents

CELLS = [(1.0, 1, 3), (0.1, 4, 3)]


def plan(kind: str = "spectral") -> LiveBench:
    drawn = drawn_set(item_contents(), 3_000, 16, 20, np.random.default_rng(1))
    place = np.random.default_rng(2).permutation(3_000)
    return LiveBench(drawn, kind, place, 2_000.0, 0.3, 1)


@pytest.mark.parametrize("kind", ["spectral", "int8", "ivf"])
def test_every_answer_is_true_while_items_change(kind: str) -> None:
    made = plan(kind)
    said: list[str] = []
    measured = list(bench_live(made, FaissFlat(made.vectors.items), CELLS, said.append))
    assert [(row.filter, row.batch) for row, _ in measured] == [(1.0, 1), (0.1, 4)] * 2
    assert [row.upserting > 0 for row, _ in measured] == [False, False, True, True]
    for row, detail in measured:
        assert row.index == f"hemline {kind}, live" and row.qps > 0 and row.p50_ms > 0
        assert row.ratio_to_faiss_flat > 0 and row.items == 3_000 and row.dim == 16
        assert detail.answers >= 4 and detail.wrong == {"ghost": 0, "mismatched": 0, "stale": 0}
        if kind != "ivf":
            assert row.recall_at_10 == row.recall_at_100 == 1.0
        else:
            assert row.recall_at_100 > 0.9
    assert any("and upserting" in line for line in said)


class Forgetful(LoadedRelease):
    """Answers for ever from the items as they were at first; once changes come, when it is wrong
    enough by then to be found out, however late the thread that makes them."""

    def __init__(self, items: LiveItems, indexes: IndexSettings) -> None:
        super().__init__(items, indexes)
        self._first = items.view

    def search_all(self, queries: Sequence[VectorQuery], view: LiveView | None = None):
        while view is not self._first and len(self.items.view.changed) < 1_000:
            time.sleep(0.001)
        return super().search_all(queries, self._first)


def test_an_index_that_misses_changes_is_found_out() -> None:
    made = plan()
    flat = FaissFlat(made.vectors.items)
    measured = list(bench_live(made, flat, CELLS, lambda line: None, Forgetful))
    (before, _), (_, before_detail), (after, detail), _ = measured
    assert before.recall_at_100 == 1.0 and before_detail.wrong == dict.fromkeys(WRONG, 0)
    assert after.recall_at_100 < 0.99 and detail.wrong is not None
    assert detail.wrong["ghost"] > 0 and detail.wrong["mismatched"] > 0


def test_changes_are_of_all_kinds_and_leave_filters_their_share(tmp_path: Path) -> None:
    made = plan()
    items = LiveItems(release_of(tmp_path, made.vectors.items, made.place, 1))
    with Upserts(items, 20_000.0, 1) as upserts:
        ends = time.monotonic() + 60
        while upserts.applied < 3_000:
            assert time.monotonic() < ends, "no changes came"
            time.sleep(0.01)
    view = items.view
    assert len(view) > 3_300 and view.count < len(view) - 50  # some came, some went
    changed = view.changed
    assert 50 < np.count_nonzero(~changed.in_stock) < len(changed)
    old = made.vectors.items[changed.rows[changed.rows < 3_000]]
    new = changed.vectors["content"][changed.rows < 3_000]
    moved = np.abs((old * new).sum(axis=1) - 1) > 1e-3
    assert 50 < np.count_nonzero(moved) < len(moved)
    matching = view.matching(condition_of(0.1, 3_000)).count
    assert 0.05 * view.count < matching < 0.15 * view.count


def test_rows_hold_what_the_issue_names() -> None:
    names = {field.name for field in dataclasses.fields(Row)}
    assert names >= {"items", "dim", "batch", "index", "filter", "threads", "device", "qps"}
    assert names >= {"p50_ms", "recall_at_10", "recall_at_100", "ratio_to_faiss_flat", "rss_mb"}


def test_a_rate_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "retrieval", "--upserting", "-5"]) != 0
    assert "--upserting" in capsys.readouterr().err
