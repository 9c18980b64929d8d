"""A real HAProxy for tests, with the settings that Hemline writes for the one before gateways."""

from __future__ import annotations

import asyncio
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from free_ports import free_port
from hemline.front_config import FrontTls, front_config
from hemline.local.front_server import install_haproxy

PATIENCE_S = 60.0


class RunningFront:
    """Before the gateways of these `server` lines. settings: of `front_config`."""

    def __init__(
        self,
        folder: Path,
        servers: Iterable[str],
        tls: FrontTls | None = None,
        *,
        fronts: int = 1,
        drain_s: int = 0,
        resolvers: str = "",
    ) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        text = front_config(
            self.address,
            f"127.0.0.1:{self.metrics_port}",
            list(servers),
            tls,
            fronts=fronts,
            drain_s=drain_s,
            resolvers=resolvers,
        )
        # A machine that is busy with other tests may be slower than a gateway may be.
        text = text.replace("timeout check 1s", f"timeout check {PATIENCE_S:g}s")
        self._settings = folder / f"haproxy-{self.port}.cfg"
        self._settings.write_text(text)
        self.log = folder / f"haproxy-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, or start it again; returns when it is ready."""
        argv = [install_haproxy(), "-db", "-f", self._settings]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        await self.until(lambda: self.page("/ready")[0] == 200)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(true):
                assert self.process is not None and self.process.poll() is None, self.said()
                await asyncio.sleep(0.02)

    def said(self) -> str:
        return self.log.read_text()[-4000:]

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the metrics port; status 0: it does not answer."""
        url = f"http://127.0.0.1:{self.metrics_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def samples(self) -> Iterator[tuple[dict[str, str], float]]:
        """Labels, the name among them as `__name__`, and value of everything it counts."""
        for line in self.page("/metrics")[1].splitlines():
            if not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                name, _, labels = series.rstrip("}").partition("{")
                pairs = (pair.partition("=") for pair in labels.split(",") if pair)
                yield (
                    {"__name__": name} | {key: text.strip('"') for key, _, text in pairs},
                    (float(value)),
                )

    def is_up(self, server: str) -> bool:
        """Whether it sends Recommends to the gateway of this name."""
        wanted = {"proxy": "recommends", "server": server, "state": "UP"}
        return any(
            labels["__name__"] == "haproxy_server_status" and wanted.items() <= labels.items()
            for labels, value in self.samples()
            if value == 1
        )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def stopped_after(*fronts: RunningFront) -> Iterator[None]:
    try:
        yield
    finally:
        for front in fronts:
            front.stop()
