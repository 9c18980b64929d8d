"""Keeps a process on one core at a time, and moves it when that core gets crowded.

Python runs one thread of a process at a time. When its threads sit on several cores, each handing
over of the interpreter wakes another core, with none of the data in its caches: with five calls
under way, a Recommend cost 5.3 ms of processor time on two cores, and 3.5 ms on one of them.
Threads that do their work outside the interpreter, as those of a large search, should be `unbound`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
CROWDED = 0.1  # share of the time for which the main thread waited for its core
_SUPPORTED = hasattr(os, "sched_setaffinity")  # Linux
_ALLOWED = os.sched_getaffinity(0) if _SUPPORTED else set()


def bind() -> None:
    """Put this process on the core it runs on now. Call it before threads are started."""
    if len(_ALLOWED) > 1:
        _put(threading.get_native_id(), _core_of_main())


def unbound() -> None:
    """Let the calling thread run on any core again."""
    if len(_ALLOWED) > 1:
        os.sched_setaffinity(threading.get_native_id(), _ALLOWED)


def better_core(current: int, waited: float, idle: Mapping[int, float]) -> int | None:
    """Where to move, or None to stay.

    waited: share of the time for which the main thread waited for its core. idle: of the cores it
    may use, the share of the time for which each had nothing to do.
    """
    if waited < CROWDED:
        return None
    core = max(idle, key=lambda core: idle[core])
    return core if core != current and idle[core] > max(idle[current], waited) else None


def move(current: int, core: int) -> None:
    """Put all threads that are on the core `current` alone on another."""
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            if os.sched_getaffinity(int(task.name)) == {current}:
                _put(int(task.name), core)


async def move_when_crowded() -> None:
    """Look at the present core now and then, for as long as the process runs."""
    if len(_ALLOWED) <= 1:
        return
    began, waited_s, idle_s = time.monotonic(), _waited_s(), _idle_s()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        now, waited_now, idle_now = time.monotonic(), _waited_s(), _idle_s()
        took = now - began
        idle = {core: (idle_now[core] - idle_s[core]) / took for core in idle_s}
        current = min(os.sched_getaffinity(os.getpid()))
        core = better_core(current, (waited_now - waited_s) / took, idle)
        if core is not None:
            logger.info("core %d is crowded, going on on core %d", current, core)
            move(current, core)
        began, waited_s, idle_s = now, waited_now, idle_now


def _put(thread: int, core: int) -> None:
    os.sched_setaffinity(thread, {core})


def _core_of_main() -> int:
    # proc_pid_stat(5): the 39th field, counted after the name, which may hold spaces.
    core = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[36])
    return core if core in _ALLOWED else min(_ALLOWED)


def _waited_s() -> float:
    """Seconds for which the main thread was ready to run and another had its core."""
    return int(Path(f"/proc/{os.getpid()}/schedstat").read_text().split()[1]) / 1e9


def _idle_s() -> dict[int, float]:
    """Seconds for which each core that we may use had nothing to do."""
    ticks = os.sysconf("SC_CLK_TCK")
    idle = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *times = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in _ALLOWED:
            idle[int(name[3:])] = int(times[3]) / ticks
    return idle
