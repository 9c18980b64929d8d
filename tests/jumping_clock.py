"""An event loop whose clock stands still while anybody works and jumps to the next timer when all
wait: what a test says of times is then exact on any machine, and takes none."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """Instead of waiting, tells the clock to go on. Nothing from outside is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is due any more: this would wait for ever")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def run_with_jumping_clock(story: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns. Threads and sockets do not fit in: it waits for none of them."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(story)
