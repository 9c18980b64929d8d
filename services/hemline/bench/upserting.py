"""Searches while items come, change, sell out and go: how fast, and whether every answer is true.

    a release of the vectors, an index of it as the retrieval has it, and nothing changing
    the same while a thread applies changes at a rate, as the topic of vectors would bring them

Each answer is worked out again, plainly and in float32, over the very view it was made from: what
it missed, and what in it was deleted, does not match or was scored by vectors of before. Beside it
faiss IndexFlatIP takes turns, over the release's own vectors, which nothing changes.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hemline.bench.contenders import Contender
from hemline.bench.drawn_release import release_of
from hemline.bench.retrieval_rows import Detail, Row, rss_mb
from hemline.bench.vector_sets import VectorSet
from hemline.catalogue import Item
from hemline.contracts import Hits, VectorQuery
from hemline.filters import AllOf, Filter, InStock, Range
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.live_view import LiveView
from hemline.retrieval.kinds import CpuKind, IndexSettings
from hemline.retrieval.loaded_release import LoadedRelease
from hemline.retrieval.recall_watch import judge
from hemline.vectors import normalise

K = 100
EVERY_S = 0.01  # as often as the topic brings some when a thousand a second come
WRONG = ("ghost", "mismatched", "stale")
_TIE = 1e-5  # scores this near are the same, as in `bench.recall`
_NEW, _MOVED, _SOLD = 0.4, 0.3, 0.2  # shares of the changes; the rest are deletions


@dataclass(frozen=True, eq=False)
class LiveBench:
    """What is measured. place: of each item, its price in the release. upserting: changes a second.
    seconds: of searches at each filter and batch, or more."""

    vectors: VectorSet
    kind: CpuKind
    place: npt.NDArray[np.int64]
    upserting: float
    seconds: float
    seed: int


def bench_live(
    plan: LiveBench,
    flat: Contender,
    cells: Sequence[tuple[float, int, int]],
    say: Callable[[str], None],
    load: Callable[[LiveItems, IndexSettings], LoadedRelease] = LoadedRelease,
) -> Iterator[tuple[Row, Detail]]:
    """For each (filter, batch, least rounds), first of all without changes, then all with them."""
    say(f"{plan.vectors.name}: building {plan.kind}, behind live items")
    with tempfile.TemporaryDirectory(prefix="hemline-bench-") as scratch:
        release = release_of(Path(scratch), plan.vectors.items, plan.place, plan.seed)
        before = rss_mb()
        live = LiveItems(release)
        loaded = load(live, IndexSettings(plan.kind, brief=0))
        taken = partial(_measure, plan, loaded, flat, say=say, before_mb=before)
        for share, batch, rounds in cells:
            yield taken(share, batch, rounds, None)
        with Upserts(live, plan.upserting, plan.seed) as upserts:
            for share, batch, rounds in cells:
                yield taken(share, batch, rounds, upserts)


class Upserts:
    """Changes items at a rate, on a thread of its own, while it is entered: once some are changed.

    New items have a place, the price, among those of the release, so that a filter of a share of
    the places goes on matching about that share of the items.
    """

    def __init__(self, items: LiveItems, per_s: float, seed: int) -> None:
        self._applied = 0
        self._failed: Exception | None = None
        self._items = items
        self._per_s = per_s
        self._rng = np.random.default_rng(seed)
        self._released = len(items.release.catalogue)
        self._came = 0
        self._began = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upserts", daemon=True)

    def __enter__(self) -> Upserts:
        self._thread.start()
        self._began.wait()  # or searches of a busy machine are over before anything has changed
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def applied(self) -> int:
        """How many changes so far. Raises what ended the thread, if anything did."""
        if self._failed is not None:
            raise self._failed
        return self._applied

    def _run(self) -> None:
        began = time.perf_counter()
        try:
            while not self._stopping.wait(EVERY_S):
                due = int((time.perf_counter() - began) * self._per_s) - self._applied
                view = self._items.view
                self._items.apply([self._change(view) for _ in range(due)])
                self._applied += due
                if due:
                    self._began.set()
        except Exception as error:
            self._failed = error
            self._began.set()

    def _change(self, view: LiveView) -> Change:
        what = self._rng.random()
        row = int(self._rng.integers(len(view)))
        item = view.item(row)
        if what < _NEW:
            self._came += 1
            name = f"came-{self._came}"
            price = float(self._rng.integers(self._released))
            return self._moved(view, row, Item(name, name, price=price))
        if what < _NEW + _MOVED:
            return self._moved(view, row, item)
        if what < _NEW + _MOVED + _SOLD:
            price = float(self._rng.integers(self._released))
            sold = replace(item, price=price, in_stock=not item.in_stock)
            return view.with_vectors_of(row, sold, -1)
        return Change(item.item_id, None)

    def _moved(self, view: LiveView, row: int, item: Item) -> Change:
        """The item, somewhere near the one of the row."""
        change = view.with_vectors_of(row, item, -1)
        assert change.content is not None
        aside = self._rng.standard_normal(len(change.content)) / np.sqrt(len(change.content))
        return replace(change, content=normalise(change.content + 0.5 * aside))


def condition_of(share: float, items: int) -> Filter:
    """What matches so much of a release of `drawn_release`, as long as it is in stock."""
    if share == 1.0:
        return InStock()
    return AllOf((InStock(), Range("price", max=max(1, round(share * items)) - 0.5)))


def _measure(
    plan: LiveBench,
    loaded: LoadedRelease,
    flat: Contender,
    share: float,
    batch: int,
    rounds: int,
    upserts: Upserts | None,
    *,
    say: Callable[[str], None],
    before_mb: float,
) -> tuple[Row, Detail]:
    vectors, items = plan.vectors, len(plan.place)
    named = f"{plan.kind}, live" + (" and upserting" if upserts else "")
    say(f"{vectors.name}: {named}, {share:.1%} of the items, batches of {batch}")
    allowed = None if share == 1.0 else plan.place < max(1, round(share * items))
    condition = condition_of(share, items)
    wall_ms, cpu_ms, flat_ms = [], [], []
    seen: dict[int, Counter[str]] = {10: Counter(), K: Counter()}
    began, applied = time.perf_counter(), upserts.applied if upserts else 0
    turn = 0
    while (
        turn <= rounds
        or time.perf_counter() < began + plan.seconds
        or (upserts is not None and upserts.applied == applied)  # the machine is busy
    ):
        queries = vectors.queries[(turn * batch + np.arange(batch)) % len(vectors.queries)]
        asked = [VectorQuery("content", query, K, condition) for query in queries]
        flat_began = time.thread_time()
        flat.search(queries, K, allowed)
        flat_ms.append((time.thread_time() - flat_began) * 1000 / batch)
        view = loaded.items.view
        wall, cpu = time.perf_counter(), time.thread_time()
        answers = loaded.search_all(asked, view)
        cpu_ms.append((time.thread_time() - cpu) * 1000 / batch)
        wall_ms.append((time.perf_counter() - wall) * 1000)
        for query, hits in zip(asked, answers, strict=True):
            for k, outcomes in seen.items():
                outcomes.update(_judged(query, hits, k, view))
        turn += 1
    took = time.perf_counter() - began
    row = Row(
        items=items,
        dim=vectors.items.shape[1],
        batch=batch,
        index=f"hemline {plan.kind}, live",
        filter=share,
        threads=1,
        device="cpu",
        qps=round(1000 * batch / float(np.mean(wall_ms[1:])), 1),  # the first one warms up
        p50_ms=round(float(np.median(wall_ms[1:])), 3),
        recall_at_10=_recall(seen[10]),
        recall_at_100=_recall(seen[K]),
        ratio_to_faiss_flat=round(float(np.median(flat_ms[1:]) / np.median(cpu_ms[1:])), 4),
        rss_mb=round(max(rss_mb() - before_mb, 0.0), 1),
        upserting=round((upserts.applied - applied) / took, 1) if upserts else 0.0,
    )
    wrong = {what: seen[K][what] for what in WRONG}
    cpu_of_query = round(float(np.median(cpu_ms[1:])), 4)
    return row, Detail(vectors.name, cpu_of_query, turn * batch, wrong)


def _judged(query: VectorQuery, hits: Hits, k: int, view: LiveView) -> Counter[str]:
    first = Hits(hits.rows[:k], hits.scores[:k], hits.matching)
    return judge(replace(query, k=k), first, view, view, _TIE)


def _recall(verdicts: Counter[str]) -> float:
    wanted = verdicts["found"] + verdicts["missed"]
    return round(verdicts["found"] / wanted, 4) if wanted else 1.0
