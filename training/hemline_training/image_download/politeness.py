"""Manners towards a host: few requests at once, pauses after refusals, and when to leave."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 60.0
_FAILURES_BEFORE_LEAVING = 10
_MOST_HOSTS = 10_000


@dataclass(frozen=True)
class Manners:
    """per_host: requests to one host at once. interval_s: between the beginnings of two.

    A failed attempt is tried again `attempts` times in all, after backoff_s, twice that, and so on,
    each shortened at random by up to half, at most MAX_RETRY_AFTER_S.
    """

    per_host: int = 2
    interval_s: float = 0.05
    attempts: int = 4
    backoff_s: float = 0.5


class Hosts:
    """The state of each host that was asked: who is asking it, and until when it wants peace."""

    def __init__(self, manners: Manners, seed: int = 0) -> None:
        self._manners = manners
        self._random = random.Random(seed)
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Waits until a request to the host is due, and holds one of its places meanwhile."""
        state = self._of(host)
        state.users += 1
        try:
            async with state.places:
                due = max(state.not_before, time.monotonic())
                state.not_before = due + self._manners.interval_s
                await asyncio.sleep(due - time.monotonic())
                yield
        finally:
            state.users -= 1

    def backoff_s(self, attempt: int) -> float:
        """How long to wait after the attempt of that number, 0 for the first."""
        longest = min(MAX_RETRY_AFTER_S, self._manners.backoff_s * 2.0**attempt)
        return longest * self._random.uniform(0.5, 1.0)

    def pause(self, host: str, seconds: float) -> None:
        """Nobody asks the host for so long: it said so."""
        state = self._of(host)
        state.not_before = max(state.not_before, time.monotonic() + seconds)

    def answered(self, host: str) -> None:
        """The host gave an answer that makes sense."""
        self._of(host).failures_in_a_row = 0

    def failed(self, host: str) -> None:
        """The host did not answer, or with an error of its own."""
        self._of(host).failures_in_a_row += 1

    def is_given_up(self, host: str) -> bool:
        """Whether the host failed so often in a row that the rest of its pictures can wait."""
        return self._of(host).failures_in_a_row >= _FAILURES_BEFORE_LEAVING

    def _of(self, host: str) -> _Host:
        if host not in self._hosts:
            if len(self._hosts) >= _MOST_HOSTS:
                self._hosts = {h: s for h, s in self._hosts.items() if s.users}
            self._hosts[host] = _Host(asyncio.Semaphore(self._manners.per_host))
        return self._hosts[host]


@dataclass
class _Host:
    places: asyncio.Semaphore
    users: int = 0
    not_before: float = 0.0  # time.monotonic()
    failures_in_a_row: int = 0


def retry_after_s(header: str | None) -> float | None:
    """Seconds from a Retry-After header: a number or an HTTP date; None without a readable one."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
