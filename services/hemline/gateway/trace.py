"""One answer's clock and conscience: each stage has a share of the time, each failure a name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from hemline import metrics
from hemline.errors import (
    BadImageError,
    DeadlineError,
    HemlineError,
    OverloadedError,
    ReleaseError,
    UnavailableError,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Kept back for selecting, answering and the way home, so that the answer says who was late.
MARGIN_S = 0.005

_REASONS: dict[type[BaseException], str] = {
    TimeoutError: "deadline",
    DeadlineError: "deadline",
    UnavailableError: "unavailable",
    OverloadedError: "overloaded",
    ReleaseError: "release_mismatch",
}


@dataclass(frozen=True)
class Degraded:
    """A stage that was skipped or replaced."""

    stage: str
    reason: str
    fallback: str


class Trace:
    """Timings and degradations of one answer that must be given within `deadline_s` seconds."""

    def __init__(self, deadline_s: float) -> None:
        self._ends = time.perf_counter() + deadline_s
        self.degraded: list[Degraded] = []
        self.timings: dict[str, float] = {}  # stage -> seconds

    def left_s(self) -> float:
        """Seconds that stages may still use; never negative."""
        return max(0.0, self._ends - MARGIN_S - time.perf_counter())

    async def attempt(
        self, stage: str, work: Callable[[float], Awaitable[T]], share: float, fallback: str
    ) -> T | None:
        """Await `work(timeout_s)` with a share of the time left.

        Whatever goes wrong, the answer goes on: None is returned and the stage is named in
        `degraded`, with `fallback` as what the caller does instead. Raises BadImageError only.
        """
        budget_s = self.left_s() * share
        with self.stage(stage):
            try:
                async with asyncio.timeout(budget_s):
                    return await work(budget_s)
            except BadImageError:
                raise  # the caller's to mend, nothing to fall back to
            except Exception as error:
                reason = _REASONS.get(type(error), "error")
                if reason == "error":
                    expected = isinstance(error, HemlineError)
                    logger.error("stage %s failed: %s", stage, error, exc_info=not expected)
                self.degrade(stage, reason, fallback)
                return None

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Time a stage that runs in this process and cannot be late."""
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.timings[stage] = self.timings.get(stage, 0.0) + took
            metrics.STAGE_SECONDS.labels(stage).observe(took)

    def degrade(self, stage: str, reason: str, fallback: str) -> None:
        """Say that a stage was skipped or replaced."""
        self.degraded.append(Degraded(stage, reason, fallback))
        metrics.DEGRADED.labels(stage, reason).inc()
