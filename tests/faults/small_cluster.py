"""A gateway and updaters as processes that can be killed, paused and started again in no time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from dying import Call
from patience import patience
from small_processes import Spawn

HERE = Path(__file__).parent


class Nursery:
    """The process that others are forked from; see small_processes.py."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asking = asyncio.Lock()

    async def spawn(self, spawn: Spawn) -> int:
        """The pid of the new process; by the time it is known it may have died already."""
        assert self._process.stdin and self._process.stdout
        async with self._asking:
            self._process.stdin.write(spawn.line())
            return int(await self._process.stdout.readline())


@asynccontextmanager
async def nursery(releases: Path) -> AsyncIterator[Nursery]:
    """One for any number of clusters over one release; ends everything it forked."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "small_processes.py"),
        str(releases),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    try:
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError("small_processes.py did not start; its error is above")
        yield Nursery(process)
    finally:
        process.stdin.close()
        await process.wait()


class Kept:
    """One process of a small cluster, started again whenever it dies.

    deaths: how the next ones started are to die, in order; those after live.
    """

    def __init__(self, nursery: Nursery, spawn: Spawn, restart_s: float) -> None:
        self.deaths: deque[tuple[Call, int, bool] | None] = deque()
        self.restarts = -1
        self.alive = asyncio.Event()
        self._nursery = nursery
        self._spawn = spawn
        self._restart_s = restart_s
        self._pidfd = -1
        self._stopping = False
        self._keeping = asyncio.create_task(self._keep())

    def signal(self, number: signal.Signals) -> None:
        """Harmless when it is dead already."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def stop(self, timeout_s: float = 60.0) -> bool:
        """SIGTERM; whether it ended by itself in time."""
        self._stopping = True
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        async for _ in patience(timeout_s):
            if self._keeping.done():
                break
        in_time = self._keeping.done()
        self.signal(signal.SIGKILL)
        await self._keeping
        return in_time

    async def _keep(self) -> None:
        while not self._stopping:
            death = self.deaths.popleft() if self.deaths else None
            pid = await self._nursery.spawn(replace(self._spawn, death=death))
            self.restarts += 1
            try:
                self._pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue  # dead before we looked
            if self._stopping:  # asked to stop while this one was being born
                self.signal(signal.SIGKILL)
            self.alive.set()
            await _readable(self._pidfd)
            self.alive.clear()
            os.close(self._pidfd)
            self._pidfd = -1
            if not self._stopping:
                await asyncio.sleep(self._restart_s)


async def _readable(fd: int) -> None:
    """A pidfd is readable once its process has ended."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
