"""Did the cluster keep its promises? Service level objectives, and the judgement of a run.

A run in which the client itself was late, or sent fewer requests than planned, fails too: it has
not measured what it claims.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

LUCK = 4.0  # standard deviations of a Poisson count that a run may fall short of its mean


@dataclass(frozen=True)
class Slo:
    """p99_ms: of Recommend, from the scheduled time. Shares are of all calls and of all answers."""

    p99_ms: float = 100.0
    failed_share: float = 0.001
    degraded_share: float = 0.01
    send_lag_p99_ms: float = 50.0
    sent_share: float = 0.9


@dataclass(frozen=True)
class CallFigures:
    """One kind of call; latency in ms, from the scheduled time, failed calls included."""

    calls: int
    failed: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True)
class Run:
    """A whole run. calls: by name. expected: arrivals the profile makes in the mean."""

    calls: Mapping[str, CallFigures]
    expected: float
    answers: int
    degraded: int
    send_lag_p99_ms: float

    @property
    def sent(self) -> int:
        return sum(call.calls for call in self.calls.values())

    @property
    def failed_share(self) -> float:
        return sum(call.failed for call in self.calls.values()) / max(1, self.sent)

    @property
    def degraded_share(self) -> float:
        return self.degraded / max(1, self.answers)


def broken_promises(run: Run, slo: Slo) -> list[str]:
    """Why the run fails, for people; empty when it passes."""
    recommend = run.calls.get("Recommend")
    if recommend is None or not recommend.calls:
        return ["no Recommend was sent"]
    broken = []
    if recommend.p99_ms > slo.p99_ms:
        broken.append(f"p99 of Recommend is {recommend.p99_ms:.0f} ms, at most {slo.p99_ms:g} ms")
    if run.failed_share > slo.failed_share:
        broken.append(f"{run.failed_share:.2%} of all calls failed, at most {slo.failed_share:.2%}")
    if run.degraded_share > slo.degraded_share:
        broken.append(
            f"{run.degraded_share:.2%} of the answers were degraded, at most "
            f"{slo.degraded_share:.2%}"
        )
    if run.send_lag_p99_ms > slo.send_lag_p99_ms:
        broken.append(
            f"the client sent up to {run.send_lag_p99_ms:.0f} ms late (p99), at most "
            f"{slo.send_lag_p99_ms:g} ms: use more senders, or a machine of its own"
        )
    # Arrivals are a Poisson process: that a run drew few of them is luck, not a late client.
    if run.sent < slo.sent_share * run.expected - LUCK * math.sqrt(run.expected):
        broken.append(
            f"{run.sent:,} of about {run.expected:,.0f} planned calls were sent, at least "
            f"{slo.sent_share:.0%}"
        )
    return broken
