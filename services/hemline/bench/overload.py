"""Overload in `hemline bench serve`: several times the peak is offered, and the peak is answered.

Machines change their speed within seconds, so that a peak of a minute ago says little. Each round
of overload is compared with what the same server did just before and after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from hemline.bench.phases import Bench, Phase, ratio


@dataclass(frozen=True)
class Round:
    """One caller alone, the peak, several times that peak, the peak again, one after the other.

    goodput_share: of `over` in the mean of both peaks. p99_to_alone: of what was accepted in
    `over`, to that of `alone`.
    """

    alone: Phase
    before: Phase
    over: Phase
    after: Phase
    goodput_share: float
    p99_to_alone: float


@dataclass(frozen=True)
class Overload:
    """What the cluster does when it is offered too much, as shares of what it does otherwise.

    In rounds, for machines change their speed within seconds; the shares and ratios are the medians
    of the rounds. cpu_ms_per_request: at the peaks of the rounds, the least, the median, the most.
    """

    rounds: tuple[Round, ...]
    times_peak: float
    goodput_share: float
    accepted_p99_to_alone: float
    accepted_p99_to_quarter: float
    cpu_ms_per_request: tuple[float, float, float] | None


async def measure_overload(
    bench: Bench, times: float, rounds: int, in_flight: int, quarter: Phase
) -> Overload:
    """Offer so many times the peak in so many rounds. in_flight: the callers that the peak takes.

    quarter: what was measured at a quarter of the peak.
    """
    measured: list[Round] = []
    for _ in range(rounds):
        alone = await bench.closed("alone", 1, share=0.25)
        peak = f"{in_flight} in flight"
        before = await bench.closed(peak, in_flight, share=0.25)
        rate = times * before.load.answered_per_s
        over = await bench.open(f"{times:g} x {before.load.answered_per_s:,.0f}/s", rate, share=0.5)
        after = await bench.closed(peak, in_flight, share=0.25)
        beside = (before.load.answered_per_s + after.load.answered_per_s) / 2
        goodput = ratio(over.load.answered_per_s, beside)
        to_alone = ratio(over.load.answered.p99_ms, alone.load.answered.p99_ms)
        measured.append(Round(alone, before, over, after, goodput, to_alone))
    costs = sorted(
        phase.cpu.ms_per_request
        for one in measured
        for phase in (one.before, one.after)
        if phase.cpu
    )
    accepted_ms = median(one.over.load.answered.p99_ms for one in measured)
    return Overload(
        rounds=tuple(measured),
        times_peak=times,
        goodput_share=median(one.goodput_share for one in measured),
        accepted_p99_to_alone=median(one.p99_to_alone for one in measured),
        accepted_p99_to_quarter=ratio(accepted_ms, quarter.load.answered.p99_ms),
        cpu_ms_per_request=(costs[0], round(median(costs), 3), costs[-1]) if costs else None,
    )
