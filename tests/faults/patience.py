"""Waiting that does not count the time in which the whole machine, and we with it, stood still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

TICK_S = 0.01


async def patience(timeout_s: float) -> AsyncIterator[None]:
    """Yields every TICK_S, at once for the first time, until `timeout_s` of ticks have passed."""
    for _ in range(int(timeout_s / TICK_S)):
        yield
        await asyncio.sleep(TICK_S)
