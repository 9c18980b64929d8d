"""Streams handled side by side: the first failure ends one, and no other is left behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hemline.errors import UnavailableError
from hemline.gateway.streams import IN_FLIGHT, handle_stream


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_all_messages_of_a_long_stream_are_handled_no_more_at_a_time_than_allowed() -> None:
    handled: list[int] = []
    under_way = most = 0

    async def handle(index: int, message: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        handled.append(message)

    await handle_stream(numbers(3 * IN_FLIGHT), 10_000, "event", handle)
    assert sorted(handled) == list(range(3 * IN_FLIGHT)) and 1 < most <= IN_FLIGHT


@pytest.mark.parametrize("messages", [IN_FLIGHT // 2, 3 * IN_FLIGHT])
async def test_when_the_log_fails_them_all_at_once_one_error_is_told_and_none_is_forgotten(
    messages: int,
) -> None:
    forgotten: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: forgotten.append(told))
    away = asyncio.Event()

    async def handle(index: int, message: int) -> None:
        await away.wait()
        raise UnavailableError(f"message {index}")

    stream = asyncio.create_task(handle_stream(numbers(messages), 10_000, "event", handle))
    await asyncio.sleep(0.01)
    away.set()
    with pytest.raises(UnavailableError, match="message"):
        await stream
    gc.collect()
    await asyncio.sleep(0)
    assert forgotten == []


async def test_a_stream_whose_caller_is_gone_leaves_nothing_running() -> None:
    running = 0

    async def handle(index: int, message: int) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(60)
        finally:
            running -= 1

    stream = asyncio.create_task(handle_stream(numbers(10), 10_000, "event", handle))
    while running < 10:
        await asyncio.sleep(0.001)
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    assert running == 0
