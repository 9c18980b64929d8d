"""When dead letters are no accident any more, and the updater has to stop.

A few records that cannot be applied are set aside and the rest goes on. Many of them mean that
something is wrong with whoever writes the log, or with this updater (an older one than the gateway,
say); going on would set aside what a repaired updater could have applied. Two conditions must hold
over the last minute, because each alone is met by healthy days: a number, so that one bad record on
a quiet night stops nobody, and a share, so that a store built anew, which reads the dead letters of
a year in one minute, is not stopped by them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from hemline.errors import SetupError
from hemline.event_log import DEAD_LETTERS_TOPIC, Position

WINDOW_S = 60.0
SHARE = 0.1  # of the records read in the window
MAX_PER_MINUTE = 100


class TooManyDeadLettersError(SetupError):
    """So many records cannot be applied that somebody has to look before any more are read."""


class DeadLetterLimit:
    """Counts one updater's records and dead letters of the last minute.

    max_per_minute: dead letters that are always accepted. clock: seconds, never going back.
    """

    def __init__(
        self, max_per_minute: int = MAX_PER_MINUTE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max = max_per_minute
        self._clock = clock
        self._read: deque[tuple[float, int]] = deque()
        self._records = 0
        self._letters: dict[Position, float] = {}  # oldest first; when each was set aside

    def read(self, records: int) -> None:
        """So many records came from the log; not to be told again when they are tried again."""
        self._read.append((self._clock(), records))
        self._records += records
        self._forget()

    def buried(self, position: Position, reason: str) -> None:
        """This record is in the dead letters now, for the first time or again.

        Raises TooManyDeadLettersError when that is one too many.
        """
        self._letters.setdefault(position, self._clock())  # a batch tried again counts once
        self._forget()
        letters = len(self._letters)
        if letters > self._max and letters > SHARE * self._records:
            raise TooManyDeadLettersError(
                f"{letters} of the {self._records} records read within {WINDOW_S:g} s cannot be "
                f"applied, more than {self._max} and more than {SHARE:.0%}; the last one: {reason}."
                f" They are kept in the topic {DEAD_LETTERS_TOPIC}. Find out who wrote them, or "
                "whether this updater is older than the gateway, and start it again: it goes on at "
                "the first batch it did not finish. To go past them, start it with a higher "
                "--max-dead-letters-per-minute"
            )

    def _forget(self) -> None:
        since = self._clock() - WINDOW_S
        while self._read and self._read[0][0] < since:
            self._records -= self._read.popleft()[1]
        while self._letters and (oldest := next(iter(self._letters.items())))[1] < since:
            del self._letters[oldest[0]]
