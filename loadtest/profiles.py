"""How many requests come at which moment: the load profiles, and arrivals that follow them.

steady   the rate, all the time
ramp     from nothing to the rate, in a straight line
spike    the rate, and four times as much in the middle fifth
soak     the rate, 20% up and down in a slow wave as over a day, for hours
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

SPIKE = 4.0
WAVE = 0.2
WAVES = 4  # in one soak


@dataclass(frozen=True)
class Profile:
    """`rate_per_s` is the nominal rate; what it makes of a moment is `rate_at`."""

    name: str
    rate_per_s: float
    seconds: float

    def rate_at(self, t: float) -> float:
        """Requests per second at `t` seconds from the beginning; 0 outside the profile."""
        if not 0 <= t < self.seconds:
            return 0.0
        return self.rate_per_s * SHAPES[self.name](t / self.seconds)

    @property
    def highest_rate(self) -> float:
        """No moment has a higher rate; requests per second."""
        return self.rate_per_s * {"spike": SPIKE, "soak": 1 + WAVE}.get(self.name, 1.0)

    @property
    def expected_arrivals(self) -> float:
        """The integral of the rate."""
        mean = {"ramp": 0.5, "spike": 0.8 + 0.2 * SPIKE}.get(self.name, 1.0)
        return self.rate_per_s * self.seconds * mean

    def shared_among(self, senders: int) -> Profile:
        """One sender's part; several independent Poisson processes make one of the summed rate."""
        return replace(self, rate_per_s=self.rate_per_s / senders)


# The share of the nominal rate at each part of the time, 0 to 1.
SHAPES: dict[str, Callable[[float], float]] = {
    "steady": lambda part: 1.0,
    "ramp": lambda part: part,
    "spike": lambda part: SPIKE if 0.4 <= part < 0.6 else 1.0,
    "soak": lambda part: 1 + WAVE * math.sin(2 * math.pi * WAVES * part),
}


def arrivals(profile: Profile, rng: np.random.Generator) -> Iterator[float]:
    """Ascending times in seconds of a Poisson process with the profile's changing rate.

    By thinning: arrivals at the highest rate, each kept with the probability that the rate of its
    moment has of it (Lewis and Shedler, 1979).
    """
    t, highest = 0.0, profile.highest_rate
    while (t := t + rng.exponential(1 / highest)) < profile.seconds:
        if rng.random() * highest < profile.rate_at(t):
            yield t
