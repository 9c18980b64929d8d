"""What locust does not count: degraded answers, and how late the client was.

With several workers each counts for itself and sends the master what is new with every report.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


class Tally:
    """Counts since the beginning, or since they were last taken."""

    def __init__(self) -> None:
        self.answers = 0
        self.degraded = 0
        self.degraded_stages: Counter[str] = Counter()
        self.lag_ms: Counter[int] = Counter()  # calls by how late they were sent, rounded up

    def answered(self, degraded_stages: list[str]) -> None:
        self.answers += 1
        self.degraded += bool(degraded_stages)
        self.degraded_stages.update(degraded_stages)

    def sent(self, lag_s: float) -> None:
        self.lag_ms[int(-(-lag_s * 1000 // 1))] += 1

    def lag_p99_ms(self) -> float:
        """Nearest rank, in whole milliseconds; 0 when nothing was sent."""
        left = 0.99 * sum(self.lag_ms.values()) - 1e-9
        for lag, calls in sorted(self.lag_ms.items()):
            left -= calls
            if left <= 0:
                return float(lag)
        return 0.0

    def take(self) -> dict[str, Any]:
        """All counts as plain data; begins again at nothing."""
        taken = {
            "answers": self.answers,
            "degraded": self.degraded,
            "degraded_stages": dict(self.degraded_stages),
            "lag_ms": dict(self.lag_ms),
        }
        self.answers = self.degraded = 0
        self.degraded_stages.clear()
        self.lag_ms.clear()
        return taken

    def add(self, taken: dict[str, Any]) -> None:
        """Add what another tally gave from `take`."""
        self.answers += taken["answers"]
        self.degraded += taken["degraded"]
        self.degraded_stages.update(taken["degraded_stages"])
        self.lag_ms.update({int(lag): calls for lag, calls in taken["lag_ms"].items()})
