"""The supervisor: starts the processes in order, keeps them alive, stops them in reverse.

    for each process, in order: start it, wait until it is healthy
    then, for each: when it dies, say so and start it again, more patiently each time;
                    when it keeps dying, say why and give up
    when asked to stop (Ctrl-C, SIGTERM) or giving up: stop all, the last started first

A process that dies before it was ever healthy is not tried again: that is a mistake, not a mishap,
unless its log says that it was the one mishap its spec knows of. A process that lives is left to
live: one that does not answer is starved more often than it is broken, and killing it makes a busy
machine busier. Only one that has not become healthy minutes after it was started again is ended,
and one that has lost a process of its own which it cannot replace.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemline.errors import UnavailableError
from hemline.local.child import Child, ChildSpec
from hemline.local.cluster_file import ClusterRecord, ProcessRecord, logs_folder, write_cluster


@dataclass(frozen=True)
class RestartPolicy:
    """Wait 0.2 s, 0.4 s, 0.8 s … before a restart; give up at the fifth death within a minute.

    patience_s: how long a process that was started again and lives may take to be healthy, when
    that is longer than its own `ready_timeout_s`.
    """

    first_delay_s: float = 0.2
    longest_delay_s: float = 5.0
    most_deaths: int = 5
    within_s: float = 60.0
    patience_s: float = 300.0


@dataclass(frozen=True)
class Cluster:
    """What to run, in the order to start it, and what to write of it into cluster.json."""

    specs: tuple[ChildSpec, ...]
    gateway: str
    release: str = ""
    split: bool = False
    tls: str = ""


def say(line: str) -> None:
    """One line for the person at the terminal, or for logs/supervisor.log."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


class Supervisor:
    """Runs one cluster. The caller holds the home's lock (`supervisor_lock`)."""

    def __init__(
        self,
        cluster: Cluster,
        run_folder: Path,
        policy: RestartPolicy | None = None,
        say: Callable[[str], None] = say,
    ) -> None:
        self._cluster = cluster
        self._run_folder = run_folder
        self._policy = policy or RestartPolicy()
        self._say = say
        self._started = time.time()
        self._asked = asyncio.Event()
        self._state = "starting"
        logs = logs_folder(run_folder)
        logs.mkdir(parents=True, exist_ok=True)
        self._children = [Child(spec, logs / f"{spec.name}.log") for spec in cluster.specs]

    def ask_to_stop(self) -> None:
        """Let `run` end; safe to call twice."""
        self._asked.set()

    async def run(self) -> None:
        """Start, keep and finally stop all processes; returns when asked to stop.

        Raises UnavailableError when a process cannot be started, or keeps dying; by then its last
        log lines have been said and all others are stopped.
        """
        try:
            if await self._unless_asked(self._start_all()):
                self._record("running")
                self._say(f"all healthy; the gateway answers at {self._cluster.gateway}")
                await self._unless_asked(self._keep_all())
            self._say("asked to stop")
        finally:
            await self._stop_all()

    async def _start_all(self) -> None:
        for child in self._children:
            seconds = await self._start(child)
            self._say(f"{child.spec.name} is ready at {child.spec.address} after {seconds:.1f} s")

    async def _start(self, child: Child) -> float:
        """Start a process for the first time; seconds until it was ready."""
        while True:
            await child.spawn()
            self._record()
            try:
                return await child.until_ready()
            except UnavailableError as error:
                if not child.met_its_mishap or child.restarts + 1 >= self._policy.most_deaths:
                    self._say_last_lines(child)
                    raise
                self._say(f"{error}, of a known mishap ({child.spec.mishap}); trying again")
                child.restarts += 1

    async def _keep_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as keepers:
                for child in self._children:
                    keepers.create_task(self._keep(child))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _keep(self, child: Child) -> None:
        """Start a process again whenever it dies, until it has died too often."""
        policy, name = self._policy, child.spec.name
        deaths: deque[float] = deque()
        while True:
            await child.failed()
            now = time.monotonic()
            deaths.append(now)
            while now - deaths[0] > policy.within_s:
                deaths.popleft()
            if len(deaths) >= policy.most_deaths:
                self._say_last_lines(child)
                raise UnavailableError(
                    f"{name} died {len(deaths)} times within {policy.within_s:g} s "
                    f"(it {child.how_it_ended}); giving up, see {child.log}"
                )
            delay_s = min(policy.first_delay_s * 2 ** (len(deaths) - 1), policy.longest_delay_s)
            self._say(
                f"{name} {child.how_it_ended}! Starting it again in {delay_s:.1f} s "
                f"(death {len(deaths)} of at most {policy.most_deaths - 1} "
                f"within {policy.within_s:g} s)"
            )
            await asyncio.sleep(delay_s)
            await child.spawn()
            child.restarts += 1
            self._record()
            await self._until_back(child)

    async def _until_back(self, child: Child) -> None:
        """Wait until a process that was started again is healthy, or has died once more."""
        deadline = time.monotonic() + self._policy.patience_s
        while True:
            try:
                seconds = await child.until_ready()
                self._say(f"{child.spec.name} is back after {seconds:.1f} s")
                return
            except UnavailableError as error:
                if not child.running:
                    return
                if time.monotonic() > deadline:
                    self._say(f"{error}; ending it")
                    await child.stop()
                    return
                self._say(f"{error}; it lives, so it gets more time")

    async def _stop_all(self) -> None:
        self._record("stopping")
        for child in reversed(self._children):
            if child.running:
                by_itself = await child.stop()
                self._say(f"{child.spec.name} {'stopped' if by_itself else 'had to be killed'}")
        self._record("stopped")

    async def _unless_asked(self, work: Coroutine[Any, Any, None]) -> bool:
        """Await `work`, but not beyond being asked to stop; whether it came to its end."""
        working, asked = asyncio.create_task(work), asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, asked):
                task.cancel()
            await asyncio.wait((working, asked))
        if working.cancelled():
            return False
        working.result()
        return True

    def _say_last_lines(self, child: Child) -> None:
        self._say(f"the last lines of {child.log}:")
        for line in child.last_lines():
            self._say(f"  {line}")

    def _record(self, state: str | None = None) -> None:
        self._state = state or self._state
        processes = tuple(
            ProcessRecord(
                name=child.spec.name,
                pid=child.pid,
                created=child.created,
                started=child.started,
                restarts=child.restarts,
                address=child.spec.address,
                health=child.spec.health,
                log=str(child.log),
            )
            for child in self._children
        )
        write_cluster(
            self._run_folder,
            ClusterRecord(
                state=self._state,
                supervisor_pid=os.getpid(),
                started=self._started,
                release=self._cluster.release,
                split=self._cluster.split,
                gateway=self._cluster.gateway,
                processes=processes,
                tls=self._cluster.tls,
            ),
        )


async def supervise(supervisor: Supervisor) -> None:
    """Run a supervisor until Ctrl-C, SIGTERM or the loss of its terminal."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.ask_to_stop)
    await supervisor.run()
