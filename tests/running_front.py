"""A real HAProxy for tests, with the settings that Hemline writes for the one before gateways."""

from __future__ import annotations

import asyncio
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from free_ports import free_port
from hemline.front_config import front_config
from hemline.local.front_server import install_haproxy

PATIENCE_S = 60.0


class RunningFront:
    """argv: the command, with a file of settings that listens on these ports of loopback."""

    def __init__(self, argv: Sequence[str], port: int, metrics_port: int, log: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self.metrics_port = metrics_port
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self._argv = argv
        _be_patient(Path(argv[-1]))

    async def start(self) -> None:
        """Start it, or start it again; returns when it is ready."""
        env = {**os.environ, "NAMESPACE": "test"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._argv, stdout=log, stderr=log, env=env)
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
        """Whether it sends Recommends to the gateway of this name, which said that it is well."""
        wanted = {
            ("haproxy_server_status", "recommends", server, "UP"),
            ("haproxy_server_check_status", "recommends", server, "L7OK"),
        }
        labels = ("__name__", "proxy", "server", "state")
        true = {
            tuple(found.get(label) for label in labels) for found, is_so in self.samples() if is_so
        }
        return wanted <= true

    def recommends_under_way(self) -> int:
        return sum(
            int(value)
            for labels, value in self.samples()
            if (labels["__name__"], labels.get("proxy"))
            == ("haproxy_backend_current_sessions", "recommends")
        )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def a_front(folder: Path, settings: Callable[[str, str], str]) -> RunningFront:
    """With what `settings` makes of two addresses, one of calls and one of metrics."""
    port, metrics_port = free_port(), free_port()
    file = folder / f"haproxy-{port}.cfg"
    file.write_text(settings(f"127.0.0.1:{port}", f"127.0.0.1:{metrics_port}"))
    argv = [str(install_haproxy()), "-db", "-f", str(file)]
    return RunningFront(argv, port, metrics_port, file.with_suffix(".log"))


def front_before(folder: Path, servers: Sequence[str], **settings: int) -> RunningFront:
    """Before the gateways of these `server` lines. settings: of `front_config`."""
    return a_front(folder, lambda *where: front_config(*where, servers, None, **settings))


def _be_patient(settings: Path) -> None:
    """A machine that is busy with other tests may be slower than a gateway may be."""
    text = settings.read_text()
    assert "timeout check 1s" in text
    settings.write_text(text.replace("timeout check 1s", f"timeout check {PATIENCE_S:g}s"))


@contextmanager
def stopped_after(*fronts: RunningFront) -> Iterator[None]:
    try:
        yield
    finally:
        for front in fronts:
            front.stop()
