"""The command of Triton's pod starts a real server, and its probe notices a model that died."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from free_ports import free_port
from hemline.errors import HemlineError
from hemline.local.triton_server import TritonInstall, remove_shared_memory
from hemline.triton import TritonEncoders
from hemline.triton_probe import Config, silent_versions
from hemline.triton_repository import model_templates, prepare_model_repository
from tiny_release import build_tiny_release

pytestmark = pytest.mark.integration

KEY = "a key of thirty-two or more letters"


class Pod:
    """The container's process, its port and its model repository."""

    def __init__(self, install: TritonInstall, folder: Path) -> None:
        self.models = folder / "models"
        release = build_tiny_release(folder / "releases", version=1)
        prepare_model_repository(model_templates(), self.models, [(1, release)])
        (folder / "control-key").write_text(KEY + "\n")
        image = folder / "tritonserver"  # laid out as NVIDIA's image
        image.mkdir()
        (image / "bin").symlink_to(install.binary.parent)
        (image / "backends").symlink_to(install.backends)
        self.port, metrics_port = free_port(), free_port()
        environment = os.environ | {
            "HEMLINE_MODELS": str(self.models),
            "HEMLINE_SERVER": str(image),
            "HEMLINE_HOST": "127.0.0.1",
            "HEMLINE_GRPC_PORT": str(self.port),
            "HEMLINE_METRICS_PORT": str(metrics_port),
            "HEMLINE_CONTROL_KEY_FILE": str(folder / "control-key"),
            "LD_LIBRARY_PATH": str(install.libraries),
        }
        self.log = folder / "triton.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hemline.triton_container"],
                env=environment,
                stdout=log,
                stderr=log,
            )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def wait_until_ready(self, timeout_s: float = 240.0) -> None:
        """As the startup probe does: gRPC health of the whole server."""
        until = time.monotonic() + timeout_s
        with grpc.insecure_channel(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    answer = stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=20)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except grpc.RpcError:
                    pass
                if self.process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"Triton did not become ready:\n{self.log.read_text()[-3000:]}")
                time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        remove_shared_memory(self.port)


@pytest.fixture
def pod(triton_install: TritonInstall, tmp_path: Path) -> Iterator[Pod]:
    pod = Pod(triton_install, tmp_path)
    try:
        pod.wait_until_ready()
        yield pod
    finally:
        pod.stop()


async def test_models_answer_control_takes_the_key_and_a_dead_model_fails_the_probe(
    pod: Pod,
) -> None:
    probe = Config(models=pod.models, triton=pod.address)
    assert await silent_versions(probe) == []

    assert psutil.Process(pod.process.pid).name() == "tritonserver", "signals reach it directly"
    stranger, tool = TritonEncoders(pod.address), TritonEncoders(pod.address, control_key=KEY)
    try:
        with pytest.raises(HemlineError):
            await stranger.unload(1)
        await tool.load(1)
    finally:
        await stranger.close()
        await tool.close()
    assert await silent_versions(probe) == []

    stubs = psutil.Process(pod.process.pid).children(recursive=True)
    victim = next(p for p in stubs if "triton_python_backend_stub" in " ".join(p.cmdline()))
    victim.send_signal(signal.SIGKILL)
    async with asyncio.timeout(120):
        while await silent_versions(probe) != [1]:
            await asyncio.sleep(0.5)
