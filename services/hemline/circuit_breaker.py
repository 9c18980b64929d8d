"""Do not make every request wait for a server that is known to be away.

After a few failures in a row calls are refused at once; now and then one is let through to see, and
the first that succeeds lets all through again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from hemline.errors import UnavailableError

logger = logging.getLogger(__name__)

FAILURES_TO_OPEN = 3
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0  # so that a server that is back is noticed within a second


class CircuitBreaker:
    """Of one server, for the tasks of one event loop. `what` names the server in messages, `public`
    is what callers are told while it is away.

    on_change(open): told when it opens and when it closes again, for a metric.
    """

    def __init__(
        self,
        what: str,
        on_change: Callable[[bool], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        public: str = "",
    ) -> None:
        self._what = what
        self._public = public
        self._on_change = on_change
        self._clock = clock
        self._failures = 0
        self._pause_s = 0.0  # 0: closed, every call may try
        self._next_try = 0.0

    def check(self) -> None:
        """Raise UnavailableError unless a call may try; whoever may must report how it went."""
        if not self._pause_s:
            return
        now = self._clock()
        if now < self._next_try:
            raise UnavailableError(
                f"{self._what} was away {self._failures} times in a row", public=self._public
            )
        self._next_try = now + self._pause_s  # one is on its way; the others wait for its news

    def succeeded(self) -> None:
        """The server answered."""
        self._failures = 0
        if self._pause_s:
            self._pause_s = 0.0
            logger.info("%s is back", self._what)
            self._on_change(False)

    def failed(self, reason: str) -> None:
        """The server could not be reached, or did not answer in time."""
        self._failures += 1
        if self._failures < FAILURES_TO_OPEN and not self._pause_s:
            return
        if not self._pause_s:
            logger.warning("%s is away: %s", self._what, reason)
            self._on_change(True)
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2 or FIRST_PAUSE_S)
        self._next_try = self._clock() + self._pause_s
