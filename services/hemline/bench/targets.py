"""What must be reached, and whether a report of a benchmark shows that it is."""

from __future__ import annotations

from dataclasses import dataclass

from hemline.bench.freshness import EventsReport
from hemline.bench.phases import Phase
from hemline.bench.replay import ReplayReport
from hemline.bench.serve import ServeReport

MOST_CPU_MS = 2.0
MOST_P50_TO_EMPTY = 5.0
MOST_P99_TO_EMPTY_P50 = 20.0
LEAST_CANDIDATES = 300
LEAST_GOODPUT_SHARE = 0.85
MOST_ACCEPTED_P99_TO_ALONE = 3.0
MOST_VISIBLE_P99_MS = 250.0
LEAST_REPLAYED_PER_CORE_S = 20_000.0


@dataclass(frozen=True)
class Target:
    """wanted: for people, e.g. "at most 2"."""

    name: str
    value: float
    wanted: str
    met: bool


def targets(report: ServeReport) -> list[Target]:
    """The targets that this report has figures for."""
    found = []
    if report.cpu_ms_per_request is not None:
        cpu_ms = report.cpu_ms_per_request
        found.append(_at_most("CPU-ms per request, at the peak", cpu_ms, MOST_CPU_MS))
    p50, p99 = report.p50_to_empty, report.p99_to_empty_p50
    found.append(_at_most("p50 / p50 of the empty server", p50, MOST_P50_TO_EMPTY))
    found.append(_at_most("p99 / p50 of the empty server", p99, MOST_P99_TO_EMPTY_P50))
    samples = [phase.sample for phase in _phases(report) if phase.sample]
    if samples:
        fewest = min(sample.candidates_min for sample in samples)
        found.append(_at_least("candidates, fewest of any answer read", fewest, LEAST_CANDIDATES))
        of = sum(sample.answers for sample in samples)
        whole = sum(sample.whole for sample in samples) / of
        found.append(_at_least(f"share of answers with {report.plan.k} items", whole, 1.0))
        degraded = sum(sample.degraded for sample in samples) / of
        found.append(_at_most("share of answers degraded", degraded, 0.0))
    if report.overload:
        over = report.overload
        share, p99 = over.goodput_share, over.accepted_p99_to_alone
        found.append(_at_least("goodput under overload / peak", share, LEAST_GOODPUT_SHARE))
        found.append(_at_most("accepted p99 / p99 alone", p99, MOST_ACCEPTED_P99_TO_ALONE))
    return found


def events_targets(report: EventsReport) -> list[Target]:
    """Of `bench events`."""
    return [
        _at_most("acknowledged to visible, p99 ms", report.visible.p99_ms, MOST_VISIBLE_P99_MS),
        _at_most("probes acknowledged and lost", report.lost, 0.0),
        _at_most("probes late, or not known to Recommend", report.late + report.not_known, 0.0),
    ]


def replay_targets(report: ReplayReport) -> list[Target]:
    """Of `bench replay`."""
    reached = report.per_core_s
    return [_at_least("events/s for each core of the updater", reached, LEAST_REPLAYED_PER_CORE_S)]


def _phases(report: ServeReport) -> list[Phase]:
    """Those at or below the peak."""
    return [*report.closed, *report.rates, report.quarter]


def _at_most(name: str, value: float, most: float) -> Target:
    return Target(name, value, f"at most {most:g}", value <= most)


def _at_least(name: str, value: float, least: float) -> Target:
    return Target(name, value, f"at least {least:g}", value >= least)
