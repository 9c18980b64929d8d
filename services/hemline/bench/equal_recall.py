"""Approximate indexes at equal recall: how long each takes for the same share of the truth.

For every target the least effort that reaches it is searched for by bisection, for each contender
on the same queries. Then all take turns over these queries, one query a call, so that whatever else
the machine does disturbs them alike; what is compared is processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hemline.bench.contenders import Contender
from hemline.bench.recall import recall, true_scores
from hemline.bench.vector_sets import VectorSet
from hemline.vectors import F32

TARGETS = (0.95, 0.99)
LEAST_EFFORT, MAX_EFFORT = 8, 4096  # with fewer lists of a partition not even k items are seen
_BASE = "hnswlib"


@dataclass(frozen=True)
class EqualRow:
    """target: recall@k that was to be reached; effort: the least that did, efSearch or lists. qps:
    by processor time, of one query at a time on one thread. ratio_to_hnswlib: of its processor time
    to this one's; None where hnswlib is not installed or does not reach the target."""

    items: int
    dim: int
    vectors: str
    k: int
    target: float
    index: str
    effort: int
    recall: float
    cpu_ms: float
    qps: float
    ratio_to_hnswlib: float | None


def equal_recall(
    vectors: VectorSet,
    contenders: Sequence[Contender],
    rounds: int,
    say: Callable[[str], None],
    ks: Sequence[int] = (10, 100),
) -> list[EqualRow]:
    """A row for each k, target and contender that reaches it; efforts are as before at the end."""
    before = [contender.effort for contender in contenders]
    rows: list[EqualRow] = []
    for k in ks:
        true = [true_scores(vectors.items, query, k) for query in vectors.queries]
        for target in TARGETS:
            say(f"{vectors.name}: approximate indexes at recall@{k} of {target}")
            reached = []
            for contender in contenders:
                found = _least_effort(contender, vectors, true, k, target)
                if found is None:
                    say(f"{contender.name} does not reach it")
                else:
                    reached.append((contender, *found))
            rows += _compared(vectors, k, target, reached, rounds)
    for contender, effort in zip(contenders, before, strict=True):
        contender.effort = effort
    return rows


def _least_effort(
    contender: Contender, vectors: VectorSet, true: Sequence[F32], k: int, target: float
) -> tuple[int, float] | None:
    """Effort and recall."""

    def at(effort: int) -> float:
        contender.effort = effort
        recalls = [
            recall(vectors.items, query, contender.search(query[None], k, None)[0], best, k)
            for query, best in zip(vectors.queries, true, strict=True)
        ]
        return float(np.mean(recalls))

    low, high = 0, LEAST_EFFORT
    while (reached := at(high)) < target:
        low, high = high, 2 * high
        if high > MAX_EFFORT:
            return None
    while high - low > max(1, low // 32):  # finer steps of effort than 3% are lost in the noise
        middle = (low + high) // 2
        if (of_middle := at(middle)) >= target:
            high, reached = middle, of_middle
        else:
            low = middle
    return high, reached


def _compared(
    vectors: VectorSet,
    k: int,
    target: float,
    contenders: Sequence[tuple[Contender, int, float]],
    rounds: int,
) -> list[EqualRow]:
    cpu_ms: list[list[float]] = [[] for _ in contenders]
    for turn in range(rounds + 1):
        for number, (contender, effort, _) in enumerate(contenders):
            contender.effort = effort
            began = time.process_time()
            for query in vectors.queries:
                contender.search(query[None], k, None)
            if turn:  # the first one warms up
                took = time.process_time() - began
                cpu_ms[number].append(1000 * took / len(vectors.queries))
    medians = [float(np.median(times)) for times in cpu_ms]
    base = next(
        (ms for ms, (c, _, _) in zip(medians, contenders, strict=True) if c.name == _BASE), None
    )
    return [
        EqualRow(
            items=len(vectors.items),
            dim=vectors.items.shape[1],
            vectors=vectors.name,
            k=k,
            target=target,
            index=contender.name,
            effort=effort,
            recall=round(reached, 4),
            cpu_ms=round(ms, 4),
            qps=round(1000 / ms, 1),
            ratio_to_hnswlib=None if base is None else round(base / ms, 3),
        )
        for ms, (contender, effort, reached) in zip(medians, contenders, strict=True)
    ]
