"""From the times of calls to the figures of a phase: rates, percentiles, failures, send lag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemline.bench.arrivals import F64

OK = "OK"
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True)
class Calls:
    """What became of the calls of one phase; all times in seconds from its beginning, float64 (n,).

    due: when the call should have been sent. sent: when it was. done: when its answer or failure
    was there. codes: names of gRPC status codes. answers: some serialised answers.
    """

    due: F64
    sent: F64
    done: F64
    codes: tuple[str, ...]
    answers: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Latency:
    """Milliseconds; a percentile is a latency that occurred (nearest rank), 0 without any call."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True)
class LoadFigures:
    """One phase. Rates are per second of `seconds`, which runs from the first due time until the
    last call has ended, waiting ones included.

    answered: latency of the OK answers, from when they were due. failed: of the others, by code.
    send_lag_p99_ms: how late the client itself was; above a millisecond or two, mistrust the rest.
    """

    seconds: float
    offered_per_s: float
    answered_per_s: float
    answered: Latency
    failed: dict[str, Latency]
    send_lag_p50_ms: float
    send_lag_p99_ms: float

    @property
    def failed_share(self) -> float:
        failed = sum(latency.count for latency in self.failed.values())
        return failed / max(1, failed + self.answered.count)


def latency_of(seconds: F64) -> Latency:
    """Percentiles of durations in seconds, float64 (n,)."""
    if not len(seconds):
        return Latency(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return Latency(len(seconds), *nearest_rank(seconds * 1000, (*PERCENTILES, 100.0)))


def nearest_rank(values: F64, percentiles: Sequence[float]) -> list[float]:
    """For each percentile the smallest value that at least so many percent do not exceed."""
    shares = np.array(percentiles) / 100
    ranks = np.ceil(shares * len(values) - 1e-9).astype(int)  # 99.9% of 1000 is 999, not 999.0…01
    found = np.sort(values)[np.maximum(ranks, 1) - 1]
    return [round(float(value), 3) for value in found]


def figures(calls: Calls) -> LoadFigures:
    """Raises ValueError when no call was made."""
    if not len(calls.due):
        raise ValueError("no call was made; a longer time or a higher rate is needed")
    seconds = float(calls.done.max())
    latencies, codes = calls.done - calls.due, np.array(calls.codes)
    lag_p50_ms, lag_p99_ms = nearest_rank((calls.sent - calls.due) * 1000, (50.0, 99.0))
    return LoadFigures(
        seconds=round(seconds, 3),
        # Offered: while requests came, not while the last ones were waited for.
        offered_per_s=round(len(calls.due) / max(float(calls.due.max()), 1e-9), 1),
        answered_per_s=round(float((codes == OK).sum()) / seconds, 1),
        answered=latency_of(latencies[codes == OK]),
        failed={code: latency_of(latencies[codes == code]) for code in failures(calls.codes)},
        send_lag_p50_ms=lag_p50_ms,
        send_lag_p99_ms=lag_p99_ms,
    )


def failures(codes: Sequence[str]) -> list[str]:
    """The codes other than OK, most frequent first."""
    return [code for code, _ in Counter(codes).most_common() if code != OK]
