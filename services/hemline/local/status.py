"""How the cluster of a home is doing, asked of its processes one by one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from hemline.errors import NotFoundError
from hemline.local.cluster_file import (
    ClusterRecord,
    ProcessRecord,
    process_of,
    read_cluster,
    supervisor_pid,
)
from hemline.local.health import why_unhealthy

ANSWER_S = 5.0  # a process of a busy machine is slow and well


@dataclass(frozen=True)
class ProcessStatus:
    """One process now. health: "healthy", or why it is not. rss_bytes: with all it forked."""

    record: ProcessRecord
    alive: bool
    health: str
    rss_bytes: int

    @property
    def healthy(self) -> bool:
        return self.alive and self.health == "healthy"


@dataclass(frozen=True)
class ClusterStatus:
    record: ClusterRecord
    processes: tuple[ProcessStatus, ...]

    @property
    def healthy(self) -> bool:
        """Whether the cluster is up and every process of it answers."""
        return self.record.state == "running" and all(p.healthy for p in self.processes)


def cluster_status(run: Path) -> ClusterStatus:
    """Raises NotFoundError when no cluster is up in this home."""
    record = read_cluster(run) if supervisor_pid(run) is not None else None
    if record is None:
        raise NotFoundError(f"no cluster is up in {run.parent}; start one with `hemline up`")
    return ClusterStatus(record, tuple(asyncio.run(_look_at(record.processes))))


async def _look_at(records: tuple[ProcessRecord, ...]) -> list[ProcessStatus]:
    reasons = await asyncio.gather(*(why_unhealthy(record.health, ANSWER_S) for record in records))
    return [_status(record, reason) for record, reason in zip(records, reasons, strict=True)]


def _status(record: ProcessRecord, reason: str | None) -> ProcessStatus:
    process = process_of(record)
    if process is None:
        return ProcessStatus(record, False, "dead" if record.pid else "not started", 0)
    return ProcessStatus(record, True, reason or "healthy", _rss_bytes(process))


def _rss_bytes(process: psutil.Process) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        for part in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += part.memory_info().rss
    return total
