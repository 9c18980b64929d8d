"""One process of the cluster: started, watched until it is ready, stopped.

It leads a process group of its own, so that Ctrl-C reaches the supervisor alone and nothing it
forked outlives it, and it dies with the supervisor.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from hemline.errors import UnavailableError
from hemline.local import die_with_parent
from hemline.local.health import why_unhealthy

_POLL_S = 0.05
_WATCH_S = 0.25
_LAST_LINES_BYTES = 8192


@dataclass(frozen=True)
class ChildSpec:
    """How to run one process.

    address: what others talk to. health: URLs for `health.why_unhealthy`, all of which must agree.
    env: on top of the supervisor's own environment. grace_s: from SIGTERM to SIGKILL.
    clean_up: removes what a killed process leaves behind; called before every start and after
        every end.
    mishap: text in the log that makes even a death before it was ever ready worth another try.
    needs_its_own: it goes on when one of the processes it started dies, but cannot replace it.
    """

    name: str
    argv: tuple[str, ...]
    address: str
    health: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout_s: float = 120.0  # seconds on a quiet machine, a minute on one that is overloaded
    grace_s: float = 10.0
    clean_up: Callable[[], object] = lambda: None
    mishap: str = ""
    needs_its_own: bool = False


class Child:
    """A process that is, or was, running by its spec; its output is appended to `log`."""

    def __init__(self, spec: ChildSpec, log: Path) -> None:
        self.spec = spec
        self.log = log
        self.restarts = 0
        self.started = 0.0  # Unix time in seconds
        self.created = 0.0  # the kernel's time of birth: tells it from another with the same pid
        self._process: asyncio.subprocess.Process | None = None
        self._maimed = False

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def spawn(self) -> None:
        """Start the process. Raises UnavailableError when the program is not there."""
        wrapper = (sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()))
        self.spec.clean_up()
        self._maimed = False
        self.started = time.time()
        with self.log.open("ab", buffering=0) as log:
            _write_start_line(log, self.spec)
            # The kernel ties "parent" to the thread that forked: this must be the loop's own.
            self._process = await asyncio.create_subprocess_exec(
                *wrapper,
                *self.spec.argv,
                env={**os.environ, **self.spec.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        with suppress(psutil.NoSuchProcess):
            self.created = psutil.Process(self.pid).create_time()

    async def until_ready(self) -> float:
        """Wait until the process is healthy; seconds since it was started.

        Raises UnavailableError when it ends before, or is not ready in `ready_timeout_s`.
        """
        deadline = time.monotonic() + self.spec.ready_timeout_s
        while True:
            reason = await why_unhealthy(self.spec.health)
            if not self.running:
                raise UnavailableError(f"{self.spec.name} {self.how_it_ended} before it was ready")
            if reason is None:
                return time.time() - self.started
            if time.monotonic() > deadline:
                waited = f"{self.spec.ready_timeout_s:g} s"
                raise UnavailableError(f"{self.spec.name} is not ready after {waited}: {reason}")
            await asyncio.sleep(_POLL_S)

    async def failed(self) -> None:
        """As `ended`; first, a process that has lost one it needs is ended.

        A lost one is dead and not buried. One that was asked to go is buried by who asked, at once:
        hence twice.
        """
        if self.spec.needs_its_own:
            with suppress(psutil.NoSuchProcess):
                its_own = psutil.Process(self.pid).children()
                dead: set[int] = set()
                while self.running and not self._maimed:
                    before, dead = dead, {each.pid for each in its_own if _is_dead(each)}
                    self._maimed = bool(before & dead)
                    await asyncio.sleep(_WATCH_S)
            if self._maimed:
                self._signal_group(signal.SIGKILL)
        await self.ended()

    async def ended(self) -> None:
        """Return when the process has ended, and nothing of its group is left."""
        if self._process is not None:
            await self._process.wait()
            self._signal_group(signal.SIGKILL)
            self.spec.clean_up()

    @property
    def how_it_ended(self) -> str:
        """For people, e.g. "exited with 1" or "was killed by SIGKILL"."""
        code = self._process.returncode if self._process else None
        if self._maimed:
            return "lost a process it needs"
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return "still runs" if code is None else f"exited with {code}"

    async def stop(self) -> bool:
        """SIGTERM, then SIGKILL after the grace; whether it went by itself."""
        if self._process is None:
            return True
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(self.spec.grace_s):
                await self.ended()
            return True
        except TimeoutError:
            self._signal_group(signal.SIGKILL)
            await self.ended()
            return False

    def last_lines(self, count: int = 12) -> list[str]:
        """The end of the log, at most 8 KiB of it."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _LAST_LINES_BYTES))
            return log.read().decode(errors="replace").splitlines()[-count:]

    @property
    def met_its_mishap(self) -> bool:
        """Whether it died of what its spec calls a mishap."""
        mishap = self.spec.mishap
        return (
            bool(mishap)
            and not self.running
            and any(mishap in line for line in self.last_lines(200))
        )

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _is_dead(process: psutil.Process) -> bool:
    """Whether it has died and nobody has taken note."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _write_start_line(log: IO[bytes], spec: ChildSpec) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    log.write(f"==== {when} starting {spec.name}: {' '.join(spec.argv)}\n".encode())
