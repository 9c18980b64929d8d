"""How many calls may be under way: many when they come in a burst, few when they keep coming.

A queue that empties again is what queues are for; one that stands is nothing but delay for everyone
in it (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012; Maurer, "Fail at Scale", ACM
Queue 2015). So a burst is let in up to `most` calls. When it is larger, or when `few` or more calls
have been under way all the time for `STANDS_S`, and the event loop takes long to begin with one, so
that they wait for the processor and not for a store or a log, then no more than `few` are let in
until that has ended: until for `CROWD_S` nobody had to be refused. While more than `MANY_REFUSED`
are refused it is a part of these few, for then the next call is there as soon as there is room. Of
those let in before, the ones that wait for longer than `LATE_S` are refused too when their turn
comes.

The times were chosen with simulated calls of 2.4 ms, of Poisson arrivals, as in the tests: offered
five times what can be answered, the 99th percentile of those let in is 11 ms (17 without `FEWER`,
36 if a crowd is only what has stood for a while), and offered nine tenths of it, 0.4% are refused
with `most` 24, with 16 it is 2%.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

FEW = 5  # with fewer, a process that is 90% busy would refuse several calls in a hundred
# Of calls that wait for a log or store most of their time: at 1,000 a second, each waiting 20 ms
# for the event log, 20 are under way with nothing standing in a queue.
FEW_WAITING = 48
STANDS_S = 1.0
CROWD_S = 0.05
BUSY_S = 0.003  # a loop that is not busy begins within a tenth of this
LATE_S = 0.025  # so long the last of a burst may have waited, if it was the beginning of a crowd
CALM_S = 0.001  # in which a loop begins that has been busy, and is not any more
MANY_REFUSED = 0.6  # share of the calls that come
FEWER = 0.6  # of the few
_SMOOTHING = 0.1
_SMOOTHING_REFUSED = 0.02


class Gate:
    """Counts the calls under way. For any number of threads. clock: in seconds."""

    def __init__(
        self, most: int, few: int = FEW, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._few = min(few, most)
        self._fewer = max(1, int(FEWER * self._few))
        self._clock = clock
        self._lock = threading.Lock()
        self._inside = 0
        self._delay_s = 0.0  # until the loop begins with a call, smoothed
        self._refused = 0.0  # share of the calls that came lately
        self._roomy_at = clock()  # when there last were fewer than `few`
        self._crowded_until = -math.inf

    @property
    def limit(self) -> int:
        """Calls that may be under way just now."""
        return self._limit(self._clock())

    @property
    def inside(self) -> int:
        """Calls under way."""
        return self._inside

    def enter(self) -> bool:
        """Count a call in, unless it is one too many; then it must be refused."""
        with self._lock:
            now = self._clock()
            if self._inside < self._few:
                self._roomy_at = now
            let_in = self._inside < self._limit(now)
            self._refused += _SMOOTHING_REFUSED * ((not let_in) - self._refused)
            if let_in:
                self._inside += 1
            elif self._delay_s > (CALM_S if now < self._crowded_until else BUSY_S):
                self._crowded_until = now + CROWD_S
            return let_in

    def _limit(self, now: float) -> int:
        if now < self._crowded_until:
            return self._fewer if self._refused > MANY_REFUSED else self._few
        room = self._inside < self._few
        stands = not room and now > self._roomy_at + STANDS_S and self._delay_s > BUSY_S
        return self._few if stands else self._most

    def begins(self, delay_s: float) -> bool:
        """Whether a call that the loop has come round to, so many seconds after it was let in, is
        to be answered: not if it waited for long in what turned out to be a crowd. On one thread
        only."""
        self._delay_s += _SMOOTHING * (delay_s - self._delay_s)
        return delay_s < LATE_S or self._clock() >= self._crowded_until

    def leave(self) -> None:
        """Count a call out that was let in."""
        with self._lock:
            self._inside -= 1
