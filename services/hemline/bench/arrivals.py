"""When requests come and who sends them: Poisson arrivals and Zipf-distributed popularity.

Shoppers do not wait for each other. An open loop therefore fixes the times of all requests before
the first one is sent, and latency counts from those times, however late the sender or the server is
(G. Tene, "How NOT to Measure Latency": the other way hides exactly the requests that waited).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def poisson_schedule(rate_per_s: float, seconds: float, rng: np.random.Generator) -> F64:
    """Ascending times in seconds, float64 (n,), of a Poisson process over [0, seconds).

    Raises ValueError for a rate or time that is not positive and finite.
    """
    if not (rate_per_s > 0 and seconds > 0 and math.isfinite(rate_per_s * seconds)):
        raise ValueError(f"no arrivals at {rate_per_s}/s for {seconds} s")
    # Given their number, the arrivals of a Poisson process are independent and uniform.
    return np.sort(rng.uniform(0.0, seconds, rng.poisson(rate_per_s * seconds)))


class Zipf:
    """Draws ranks 0, 1, … n - 1 with probability proportional to 1 / (rank + 1) ** exponent."""

    def __init__(self, n: int, exponent: float, rng: np.random.Generator) -> None:
        """Raises ValueError for fewer than one rank."""
        if n < 1:
            raise ValueError(f"{n} ranks to draw from")
        self._rng = rng
        weights = np.arange(1, n + 1, dtype=np.float64) ** -exponent
        self._cumulative = np.cumsum(weights) / weights.sum()

    def draw(self, count: int) -> npt.NDArray[np.int64]:
        """int64 (count,)."""
        uniform = self._rng.random(count)
        ranks = np.searchsorted(self._cumulative, uniform, side="right")
        return np.minimum(ranks, len(self._cumulative) - 1)
