"""What the updater of a home's cluster says of itself: its lag, and how soon it stored all events.

Every event of a run is in these figures, those of the probes and all others.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from hemline.local.cluster_file import process_of, read_cluster

SAMPLE_S = 0.25
_VISIBLE = "hemline_event_to_visible_seconds"
_WITHIN = "0.25"  # a bucket of that histogram, in seconds
_TIMEOUT_S = 2.0

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class UpdaterFigures:
    """Of a window. lag_max, lag_median: log records not in the store, by its own samples.

    stored: events it put into the store. within_250ms: share of them that were there 250 ms after
    the gateway had them.
    """

    lag_max: int
    lag_median: int
    stored: int
    within_250ms: float


class UpdaterWatch:
    """Reads the updater's metrics until it is told to stop."""

    def __init__(self, url: str) -> None:
        """url: of its metrics page."""
        self._url = url
        self._lags: list[float] = []
        self._first: Metrics = {}
        self._last: Metrics = {}

    async def run(self, stopping: asyncio.Event) -> UpdaterFigures:
        """What happened from now until `stopping`; zeros where it could not be asked."""
        self._first = await self._read()
        while not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), SAMPLE_S)
            self._last = await self._read()
            if (lag := self._last.get("hemline_event_lag")) is not None:
                self._lags.append(lag)
        stored, within = self._grown(f"{_VISIBLE}_count"), self._grown(_VISIBLE)
        lags = sorted(self._lags) or [0.0]
        return UpdaterFigures(
            int(lags[-1]), int(lags[len(lags) // 2]), int(stored), within / stored if stored else 0
        )

    def _grown(self, name: str) -> float:
        return self._last.get(name, 0.0) - self._first.get(name, 0.0)

    async def _read(self) -> Metrics:
        return await asyncio.to_thread(read_metrics, self._url)


def read_metrics(url: str) -> Metrics:
    """The updater's values by name, the histogram's bucket of 250 ms by the histogram's; empty when
    the page cannot be read."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as page:
            text = page.read().decode()
    except OSError:
        return {}
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.labels:
                found[sample.name] = sample.value
            elif sample.name == f"{_VISIBLE}_bucket" and sample.labels["le"] == _WITHIN:
                found[_VISIBLE] = sample.value
    return found


def updater_of_cluster(run: Path) -> Callable[[], UpdaterWatch | None]:
    """Finds the updater of the cluster that is up in a home's run folder."""

    def find() -> UpdaterWatch | None:
        record = read_cluster(run)
        process = (
            next((process_of(one) for one in record.processes if one.name == "updater"), None)
            if record
            else None
        )
        if process is None:
            return None
        line = process.cmdline()
        return UpdaterWatch(f"http://127.0.0.1:{line[line.index('--metrics-port') + 1]}/metrics")

    return find
