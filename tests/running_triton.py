"""A real Triton server over a tiny release, for the integration tests."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hemline.encoders.clip import ClipEncoder
from hemline.encoders.towers import Tower, load_tower
from hemline.local.triton_server import TritonInstall, remove_shared_memory, triton_command
from hemline.triton_repository import model_templates, prepare_model_repository
from tiny_release import build_tiny_release

CONTROL_KEY = "only the release tool knows"


@dataclass
class RunningTriton:
    """A server that is ready. `address` is gRPC's, `http` a URL without a trailing slash."""

    address: str
    http: str
    repository: Path
    releases: Path
    release: Path
    version: int
    process: subprocess.Popen[bytes]
    log: Path
    ready_after_s: float

    def encoder(self, version: int = 1) -> ClipEncoder:
        """The release's encoder in this process."""
        return ClipEncoder.load(self._release(version) / "clip")

    def tower(self, side: str, version: int = 1) -> Tower:
        return load_tower(self._release(version) / "towers.safetensors", side)

    def _release(self, version: int) -> Path:
        return self.releases / f"r{version:04d}-00000000"


@contextmanager
def running_triton(
    install: TritonInstall, folder: Path, timeout_s: float = 120.0
) -> Iterator[RunningTriton]:
    """Start a server on free ports over version 1 of the tiny release below `folder`."""
    release = build_tiny_release(folder / "releases", version=1)
    repository = folder / "repository"
    prepare_model_repository(model_templates(), repository, [(1, release)])
    grpc_port, http_port, metrics_port = _free_ports(3)
    command = triton_command(
        install,
        repository,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        control_key=CONTROL_KEY,
    )
    log = folder / "triton.log"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command.argv, env=os.environ | command.env, stdout=output, stderr=output
        )
    try:
        http = f"http://127.0.0.1:{http_port}"
        _wait_until_ready(process, f"{http}/v2/health/ready", log, began + timeout_s)
        took = time.monotonic() - began
        address = f"127.0.0.1:{grpc_port}"
        yield RunningTriton(
            address, http, repository, folder / "releases", release, 1, process, log, took
        )
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        remove_shared_memory(grpc_port)


def _wait_until_ready(
    process: subprocess.Popen[bytes], url: str, log: Path, deadline: float
) -> None:
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"Triton did not become ready:\n{log.read_text(errors='replace')[-3000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
