"""What the supervisor alone can measure, as metrics: every process from outside, and the disk.

Triton, Kafka and Redis do not say how much processor time they take, and no process can say how
often it was restarted. In a cluster of machines cAdvisor and kube-state-metrics know the same.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hemline.local.cluster_file import process_of, read_cluster


class ProcessCollector(Collector):
    """Measures at every scrape, with one look at the process table; nothing runs in between."""

    def __init__(self, run: Path) -> None:
        self._run = run

    def collect(self) -> Iterator[Metric]:
        cpu = CounterMetricFamily(
            "hemline_process_cpu_seconds",
            "Processor time of a process of the cluster and all it started",
            labels=["process"],
        )
        resident = GaugeMetricFamily(
            "hemline_process_resident_bytes",
            "Memory of a process of the cluster and all it started; shared pages count each time",
            labels=["process"],
        )
        restarts = CounterMetricFamily(
            "hemline_process_restarts",
            "How often the supervisor had to start a process again",
            labels=["process"],
        )
        free = GaugeMetricFamily(
            "hemline_disk_free_ratio", "Free share of the disk that holds log, states and releases"
        )
        cluster = read_cluster(self._run)
        groups = _members_by_group()
        for record in cluster.processes if cluster else ():
            restarts.add_metric([record.name], record.restarts)
            if process_of(record) is not None:
                seconds, size = _used(groups[record.pid])
                cpu.add_metric([record.name], seconds)
                resident.add_metric([record.name], size)
        disk = shutil.disk_usage(self._run)
        free.add_metric([], disk.free / disk.total)
        yield from (cpu, resident, restarts, free)


def serve_process_metrics(run: Path, host: str, port: int) -> None:
    """Answer /metrics from a thread. Raises OSError when the port is taken."""
    registry = CollectorRegistry()
    registry.register(ProcessCollector(run))
    start_http_server(port, addr=host, registry=registry)


def _members_by_group() -> dict[int, list[int]]:
    """Pids by process group; each process of the cluster leads a group of its own."""
    groups: dict[int, list[int]] = defaultdict(list)
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            groups[os.getpgid(pid)].append(pid)
    return groups


def _used(pids: list[int]) -> tuple[float, int]:
    """Processor seconds, those of reaped children too, and resident bytes."""
    seconds, size = 0.0, 0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
            size += process.memory_info().rss
    return seconds, size
