"""One answer's clock and conscience: each stage has a share of the time, each failure a name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from prometheus_client import Histogram

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


class _Stage:
    """A context manager that adds what it took to `timings` and to the metric of its stage."""

    __slots__ = ("_began", "_name", "_timings")

    def __init__(self, name: str, timings: dict[str, float]) -> None:
        self._name = name
        self._timings = timings

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        took = time.perf_counter() - self._began
        self._timings[self._name] = self._timings.get(self._name, 0.0) + took
        _seconds_of(self._name).observe(took)


@cache  # stages are few, and looking up a label costs as much as observing
def _seconds_of(stage: str) -> Histogram:
    return metrics.STAGE_SECONDS.labels(stage)


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
        self,
        stage: str,
        work: Callable[[float], Awaitable[T]],
        share: float,
        fallback: str,
        waits: bool = True,
    ) -> T | None:
        """Await `work(timeout_s)` with a share of the time left. waits: see `Retrieval.waits`.

        Whatever goes wrong, the answer goes on: None is returned and the stage is named in
        `degraded`, with `fallback` as what the caller does instead. Raises BadImageError only.
        """
        budget_s = self.left_s() * share
        with self.stage(stage):
            try:
                if budget_s <= 0:  # work that never waits has no timeout
                    raise DeadlineError("no time left")
                if not waits:
                    return await work(budget_s)
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

    def stage(self, stage: str) -> _Stage:
        """Time a stage that runs in this process and cannot be late: `with trace.stage(NAME):`."""
        return _Stage(stage, self.timings)

    def degrade(self, stage: str, reason: str, fallback: str) -> None:
        """Say that a stage was skipped or replaced."""
        self.degraded.append(Degraded(stage, reason, fallback))
        metrics.DEGRADED.labels(stage, reason).inc()
