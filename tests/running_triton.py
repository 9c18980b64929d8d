"""A real Triton server over a tiny release, for the integration tests."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from free_ports import free_ports
from hemline.encoders.clip import ClipEncoder
from hemline.encoders.towers import Tower, load_tower
from hemline.local.triton_server import (
    TritonCommand,
    TritonInstall,
    remove_shared_memory,
    triton_command,
)
from hemline.triton_repository import model_templates, prepare_model_repository
from tiny_release import build_tiny_release

CONTROL_KEY = "only the release tool knows"


@dataclass
class RunningTriton:
    """A server that is ready. `address` is gRPC's, the others are URLs, `http` without a slash."""

    address: str
    http: str
    metrics: str
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
    install: TritonInstall,
    folder: Path,
    timeout_s: float = 240.0,
    encoder: ClipEncoder | None = None,
) -> Iterator[RunningTriton]:
    """Start a server on free ports over version 1 of the tiny release below `folder`.

    encoder: the release's, instead of a tiny one.
    """
    dim = encoder.dim if encoder else 32
    release = build_tiny_release(folder / "releases", 1, dim, encoder=encoder)
    repository = folder / "repository"
    prepare_model_repository(model_templates(), repository, [(1, release)])
    grpc_port, http_port, metrics_port = free_ports(3)
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
    http = f"http://127.0.0.1:{http_port}"
    process = _start(command, log)
    try:
        while not _is_ready(f"{http}/v2/health/ready"):
            if process.poll() is not None and _was_starved(log):
                process = _start(command, log)
            elif process.poll() is not None or time.monotonic() > began + timeout_s:
                pytest.fail(f"Triton did not become ready:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        took = time.monotonic() - began
        address = f"127.0.0.1:{grpc_port}"
        metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        releases = folder / "releases"
        yield RunningTriton(
            address, http, metrics, repository, releases, release, 1, process, log, took
        )
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        remove_shared_memory(grpc_port)


def _start(command: TritonCommand, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command.argv, env=os.environ | command.env, stdout=output, stderr=output
        )


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _was_starved(log: Path) -> bool:
    """Whether Triton died of a model's process that got no processor for a second, while loading.

    See hemline/local/triton_server.py; a machine that runs other work as well may do it.
    """
    return "boost::interprocess::lock_exception" in log.read_text(errors="replace")
