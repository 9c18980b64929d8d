"""The rows of `hemline bench retrieval`, as its JSON has them."""

from __future__ import annotations

import ctypes
import gc
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Row:
    """One line of the table. batch: queries. filter: share of the items that may be found. qps,
    p50_ms: by the clock, p50 of one batch. ratio_to_faiss_flat: of its processor time to ours.
    rss_mb: what the index added to the process, with its vectors. upserting: changes of items a
    second meanwhile."""

    items: int
    dim: int
    batch: int
    index: str
    filter: float
    threads: int
    device: str
    qps: float
    p50_ms: float
    recall_at_10: float
    recall_at_100: float
    ratio_to_faiss_flat: float
    rss_mb: float
    upserting: float = 0.0


@dataclass(frozen=True)
class Detail:
    """What else is known of a row. vectors: where they are from. cpu_ms: of one query, median.
    answers, wrong: of live items, see
    `bench.upserting`."""

    vectors: str
    cpu_ms: float
    answers: int = 0
    wrong: dict[str, int] | None = None


def rss_mb() -> float:
    """Of this process, without what is free."""
    gc.collect()
    # So that what one index freed does not hide what the next takes.
    ctypes.CDLL(None).malloc_trim(0)
    return float(psutil.Process().memory_info().rss) / 1e6
