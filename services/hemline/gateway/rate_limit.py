"""A token bucket: how fast one key may go. One number of state, constant time."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """`burst` messages at once, refilled by `rate_per_s`.

    The clock is monotonic: setting a machine's time neither locks anybody out nor lets them loose.
    """

    def __init__(
        self, rate_per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._clock = clock
        self._full_at = clock()  # when the bucket would be full again if nobody took any more

    def take(self) -> float:
        """Take one token: 0.0; or none, and the seconds until there is one."""
        now = self._clock()
        full_at = max(self._full_at, now) + 1 / self.rate_per_s
        wait_s = full_at - now - self.burst / self.rate_per_s
        if wait_s > 1e-9:
            return wait_s
        self._full_at = full_at
        return 0.0
