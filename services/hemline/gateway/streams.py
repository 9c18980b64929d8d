"""Streams of messages that are handled side by side, so that the log can write them together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from hemline.rpc import limited

T = TypeVar("T")

IN_FLIGHT = 256  # of one stream


async def handle_stream(
    requests: AsyncIterator[T], most: int, field: str, handle: Callable[[int, T], Awaitable[None]]
) -> None:
    """Call `handle(index, message)` for each message of a stream, IN_FLIGHT at a time.

    The first call that raises ends the stream. Raises InvalidInputError naming `field` after `most`
    messages.
    """
    pending: set[asyncio.Task[None]] = set()
    try:
        async for index, message in limited(requests, most, field):
            pending.add(asyncio.ensure_future(handle(index, message)))
            if len(pending) >= IN_FLIGHT:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.gather(*done)  # looks at them all, and raises the first error
        await asyncio.gather(*pending)
    finally:
        for task in pending:
            task.cancel()
        # In an outage many fail at once; an error nobody looks at ends in the log as a traceback.
        await asyncio.gather(*pending, return_exceptions=True)
