"""Processor time of every server process over a window: what a request costs the operator.

Read from the kernel (user + system, in steps of 10 ms) for each process of the cluster and all that
it forked, so that Triton's model processes count with Triton.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from hemline.local.cluster_file import process_of, read_cluster

Families = Mapping[str, Sequence[psutil.Process]]


@dataclass(frozen=True)
class CpuReading:
    """Processor seconds used so far, by process name, by this process, and by the whole machine."""

    at: float
    servers: dict[str, float]
    pids: dict[str, frozenset[int]]
    client: float
    machine: float


@dataclass(frozen=True)
class CpuUse:
    """Over a window. Shares are of one core: 2.0 is two cores busy all the time.

    elsewhere_share: what processes that have no part in it used; if it is more than a little, the
    measurement was disturbed. replaced: servers whose processes changed meanwhile; what the ended
    ones used is missing.
    """

    ms_per_request: float
    ms_per_request_by_process: dict[str, float]
    server_share: float
    server_share_by_process: dict[str, float]
    client_share: float
    elsewhere_share: float
    replaced: tuple[str, ...]


def servers_of_cluster(run: Path) -> Callable[[], Families]:
    """Finds the processes of the cluster that is up in a home's run folder, supervisor included."""

    def find() -> Families:
        record = read_cluster(run)
        if record is None:
            return {}
        leaders = {one.name: process for one in record.processes if (process := process_of(one))}
        families = {name: _with_forked(process) for name, process in leaders.items()}
        with suppress(psutil.NoSuchProcess):
            families["supervisor"] = [psutil.Process(record.supervisor_pid)]
        return families

    return find


def one_server(name: str, pid: int) -> Callable[[], Families]:
    """Finds a single process and what it forked."""
    return lambda: {name: _with_forked(psutil.Process(pid))}


def read_cpu(find: Callable[[], Families]) -> CpuReading:
    """Use it right before and right after a window; it takes some milliseconds."""
    families = find()
    servers = {name: sum(map(_cpu_s, family)) for name, family in families.items()}
    pids = {name: frozenset(one.pid for one in family) for name, family in families.items()}
    machine = psutil.cpu_times()
    idle = machine.idle + machine.iowait + machine.guest + machine.guest_nice  # guests: in user
    busy = sum(machine) - idle
    return CpuReading(time.perf_counter(), servers, pids, time.process_time(), busy)


def cpu_use(before: CpuReading, after: CpuReading, requests: int) -> CpuUse:
    """What happened between two readings, for each of the `requests` that were answered."""
    seconds = after.at - before.at
    used = {
        name: max(0.0, total - before.servers.get(name, 0.0))
        for name, total in after.servers.items()
    }
    total, client = sum(used.values()), after.client - before.client
    elsewhere = max(0.0, after.machine - before.machine - total - client)
    per_request = 1000 / requests if requests else 0.0
    return CpuUse(
        ms_per_request=round(total * per_request, 4),
        ms_per_request_by_process={n: round(s * per_request, 4) for n, s in used.items()},
        server_share=round(total / seconds, 4),
        server_share_by_process={name: round(s / seconds, 4) for name, s in used.items()},
        client_share=round(client / seconds, 4),
        elsewhere_share=round(elsewhere / seconds, 4),
        replaced=tuple(n for n in after.pids if before.pids.get(n) != after.pids[n]),
    )


def _with_forked(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
