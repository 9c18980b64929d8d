"""`hemline bench retrieval`: how fast, how true and how large our indexes are, beside others'.

All contenders for one set of vectors take turns, batch by batch, so that whatever else the machine
does disturbs them alike; ratios are of processor times. Recall is against scores of every item in
float32: the share of a query's k results that score no worse than the true k-th.

`upserting` adds each of our indexes as a retrieval process has it, behind its live items: searches
alone, then the same while items change (`bench.upserting`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from hemline.bench.contenders import (
    Contender,
    FaissFlat,
    Hnswlib,
    MilvusLite,
    Ours,
    QdrantLocal,
    Usearch,
    missing,
)
from hemline.bench.equal_recall import EqualRow, equal_recall
from hemline.bench.recall import recall, true_scores
from hemline.bench.retrieval_rows import Detail, Row, rss_mb
from hemline.bench.upserting import LiveBench, bench_live
from hemline.bench.vector_sets import VectorSet, drawn_set, real_set
from hemline.filters import Mask
from hemline.releases import Release
from hemline.retrieval.kinds import CpuKind
from hemline.vectors import F32

K = 100
OURS: tuple[CpuKind, ...] = ("spectral", "int8", "fp16", "hnsw", "ivf", "ivfpq")
INDEXES = (*OURS, "hnswlib", "usearch", "qdrant", "milvus")
_GRAPHS = ("hnsw", "hnswlib", "usearch")
_APPROXIMATE = ("hemline hnsw", "hemline ivf", "hemline ivfpq", "hnswlib", "usearch")


@dataclass(frozen=True)
class RetrievalPlan:
    """drawn: (items, dim) of each drawn set. spaces: of the release. indexes: what is compared with
    IndexFlatIP, as in `INDEXES`. graphs_up_to: items, as building a graph is slow.
    rounds: batches each contender gets of every size and filter. queries: of each set.
    equal_recall: whether the approximate ones are compared at equal recall as well. upserting:
    changes of items a second, 0 for no live items; live_s: of searches at each filter and batch."""

    drawn: Sequence[tuple[int, int]] = ((200_000, 128), (1_000_000, 128))
    spaces: Sequence[str] = ("content", "tower")
    indexes: Sequence[str] = INDEXES
    batches: Sequence[int] = (1, 16)
    filters: Sequence[float] = (1.0, 0.5, 0.1, 0.01, 0.001)
    graphs_up_to: int = 200_000
    rounds: int = 20
    queries: int = 256
    equal_recall: bool = False
    upserting: float = 0.0
    live_s: float = 3.0
    seed: int = 1

    def rounds_of(self, batch: int) -> int:
        """How many batches of so many queries each contender gets."""
        return max(1, self.rounds // min(batch, 4))


@dataclass(frozen=True)
class RetrievalReport:
    """details: of each row, in their order."""

    rows: list[Row]
    details: list[Detail]
    equal_recall: list[EqualRow]
    not_installed: list[str]


def bench_retrieval(
    plan: RetrievalPlan, release: Release, say: Callable[[str], None]
) -> RetrievalReport:
    """Measure everything of the plan; `say` is told what is going on."""
    rng = np.random.default_rng(plan.seed)
    report = RetrievalReport([], [], [], missing())
    for space in plan.spaces:
        vectors = np.ascontiguousarray(getattr(release, f"item_{space}"))
        name = f"{space} of {release.id}"
        _measure(real_set(name, vectors, plan.queries, rng), plan, rng, say, report)
    for items, dim in plan.drawn:
        drawn = drawn_set(np.asarray(release.item_content), items, dim, plan.queries, rng)
        _measure(drawn, plan, rng, say, report)
    return report


def _measure(
    vectors: VectorSet,
    plan: RetrievalPlan,
    rng: np.random.Generator,
    say: Callable[[str], None],
    report: RetrievalReport,
) -> None:
    place = rng.permutation(len(vectors.items))
    _compare(vectors, plan, place, say, report)
    if not plan.upserting:
        return
    flat = FaissFlat(vectors.items)
    cells = [(f, b, plan.rounds_of(b)) for f in plan.filters for b in plan.batches]
    for kind in OURS:
        if kind in plan.indexes and not (kind in _GRAPHS and _too_large(vectors, plan)):
            live = LiveBench(vectors, kind, place, plan.upserting, plan.live_s, plan.seed)
            for row, detail in bench_live(live, flat, cells, say):
                report.rows.append(row)
                report.details.append(detail)


def _compare(
    vectors: VectorSet,
    plan: RetrievalPlan,
    place: np.typing.NDArray[np.int64],
    say: Callable[[str], None],
    report: RetrievalReport,
) -> None:
    """Ours beside others', with the same vectors, which stay as they are."""
    contenders = _contenders(vectors, plan, place, say)
    for share in plan.filters:
        allowed = None if share == 1.0 else place < max(1, round(share * len(place)))
        taking = [each for each in contenders if allowed is None or each[0].filters]
        truth: dict[int, F32] = {}
        for batch in plan.batches:
            say(f"{vectors.name}: {share:.1%} of the items, batches of {batch}")
            rounds = plan.rounds_of(batch)
            turns = [each for each, _ in taking]
            timed = _take_turns(turns, vectors.queries, batch, allowed, rounds)
            for (contender, size_mb), took in zip(taking, timed, strict=True):
                row = Row(
                    items=len(vectors.items),
                    dim=vectors.items.shape[1],
                    batch=batch,
                    index=contender.name,
                    filter=share,
                    threads=1,
                    device="cpu",
                    qps=round(1000 * batch / took.mean_ms, 1),
                    p50_ms=round(took.p50_ms, 3),
                    recall_at_10=_mean_recall(vectors, allowed, took, truth, 10),
                    recall_at_100=_mean_recall(vectors, allowed, took, truth, K),
                    ratio_to_faiss_flat=round(timed[0].cpu_ms / took.cpu_ms, 4),
                    rss_mb=round(size_mb, 1),
                )
                report.rows.append(row)
                report.details.append(Detail(vectors.name, round(took.cpu_ms, 4)))
    if plan.equal_recall:
        several = [each for each, _ in contenders if each.name in _APPROXIMATE]
        report.equal_recall.extend(equal_recall(vectors, several, plan.rounds, say))


def _too_large(vectors: VectorSet, plan: RetrievalPlan) -> bool:
    """For graphs, which take minutes to build."""
    return len(vectors.items) > plan.graphs_up_to


def _mean_recall(
    vectors: VectorSet, allowed: Mask | None, took: _Took, truth: dict[int, F32], k: int
) -> float:
    """truth: by query, filled as it is asked for."""
    recalls = []
    for number, found in took.found:
        query = vectors.queries[number]
        if number not in truth:
            truth[number] = true_scores(vectors.items, query, K, allowed)
        recalls.append(recall(vectors.items, query, found, truth[number], k))
    return round(float(np.mean(recalls)), 4)


def _contenders(
    vectors: VectorSet,
    plan: RetrievalPlan,
    place: np.typing.NDArray[np.int64],
    say: Callable[[str], None],
) -> list[tuple[Contender, float]]:
    """Each with the megabytes it took."""
    items = vectors.items
    makers: dict[str, Callable[[], Contender]] = {
        **{kind: partial(Ours, items, kind) for kind in OURS},
        "hnswlib": lambda: Hnswlib(items),
        "usearch": lambda: Usearch(items),
        "qdrant": lambda: QdrantLocal(items, place),
        "milvus": lambda: MilvusLite(items, place),
    }
    too_large = set(_GRAPHS) if _too_large(vectors, plan) else set()
    too_large |= {"qdrant", "milvus"} if len(items) > 50_000 else set()
    chosen = [n for n in plan.indexes if n not in too_large and n not in missing()]
    built: list[tuple[Contender, float]] = []
    for name in ("IndexFlatIP", *chosen):
        say(f"{vectors.name}: building {name}")
        before = rss_mb()
        contender = makers[name]() if name in makers else FaissFlat(items)
        own = items.nbytes / 1e6 if contender.keeps else 0.0
        built.append((contender, max(rss_mb() - before, 0.0) + own))
    return built


@dataclass
class _Took:
    mean_ms: float  # of a batch, by the clock
    p50_ms: float
    cpu_ms: float  # of a query, median
    found: list[tuple[int, np.typing.NDArray[np.integer]]]  # query, its ids


def _take_turns(
    contenders: Sequence[Contender], queries: F32, batch: int, allowed: Mask | None, rounds: int
) -> list[_Took]:
    wall: list[list[float]] = [[] for _ in contenders]
    cpu: list[list[float]] = [[] for _ in contenders]
    found: list[list[tuple[int, np.typing.NDArray[np.integer]]]] = [[] for _ in contenders]
    for turn in range(rounds + 1):
        places = [(turn * batch + place) % len(queries) for place in range(batch)]
        asked = np.ascontiguousarray(queries[places])
        for number, contender in enumerate(contenders):
            began, cpu_began = time.perf_counter(), time.process_time()
            ids = contender.search(asked, K, allowed)
            if turn == 0:  # the first one warms up
                continue
            cpu[number].append((time.process_time() - cpu_began) * 1000 / batch)
            wall[number].append((time.perf_counter() - began) * 1000)
            found[number] += zip(places, ids, strict=True)
    return [
        _Took(float(np.mean(w)), float(np.median(w)), float(np.median(c)), f)
        for w, c, f in zip(wall, cpu, found, strict=True)
    ]


def as_json(report: RetrievalReport) -> dict[str, object]:
    return asdict(report)
