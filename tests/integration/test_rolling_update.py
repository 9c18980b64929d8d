"""Two gateways are replaced one after the other under load, and no call fails."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from free_ports import free_port
from hemline import rpc
from hemline.releases import Release
from hemline.v1 import recommender_pb2, recommender_pb2_grpc

pytestmark = pytest.mark.integration

DRAIN_S = 3.0  # a client on a busy machine must notice within that


class Gateway:
    """`python -m hemline.gateway` on a port of its own; can be started again on the same one."""

    def __init__(self, release: Release, folder: Path, name: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.log = folder / f"{name}.log"
        self._argv = [sys.executable, "-m", "hemline.gateway"]
        self._argv += ["--releases", str(release.folder.parent)]
        self._argv += ["--log", f"sqlite:{folder / 'events.sqlite'}"]
        self._argv += ["--users", f"sqlite:{folder / 'users.sqlite'}"]
        self._argv += ["--triton", f"127.0.0.1:{free_port()}"]  # nobody: answers are degraded
        self._argv += ["--address", f"127.0.0.1:{self.port}"]
        self._argv += ["--metrics-port", str(self.metrics_port)]
        self._argv += ["--drain-s", str(DRAIN_S), "--max-connection-age-s", "2"]
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._argv, stdout=log, stderr=log, env=os.environ)
        async with (
            asyncio.timeout(90),
            grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel,
        ):
            request = health_pb2.HealthCheckRequest(service="")
            while True:
                assert self.process.poll() is None, self.log.read_text()
                try:
                    await health_pb2_grpc.HealthStub(channel).Check(request, timeout=1)
                    return
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)

    async def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 90)

    def answered(self) -> float:
        """Recommends this process has answered, from its own metrics."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as page:
            lines = page.read().decode().splitlines()
        wanted = (
            'hemline_requests_total{code="OK",method="hemline.v1.RecommenderService/Recommend"}'
        )
        return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))


class Load:
    """Shoppers who ask for recommendations all the time; every answer and failure is kept."""

    def __init__(self, target: str, shoppers: int = 4) -> None:
        self._channel = rpc.connect(target)
        self._stub = recommender_pb2_grpc.RecommenderServiceStub(self._channel)
        self._tasks = [asyncio.create_task(self._ask(number)) for number in range(shoppers)]
        self.answers = 0
        self.failures: list[str] = []

    async def _ask(self, number: int) -> None:
        request = recommender_pb2.RecommendRequest(user_id=f"shopper-{number}", k=5)
        while True:
            try:
                answer = await self._stub.Recommend(request, timeout=60)
                self.answers += 1
                if len(answer.items) != 5:
                    self.failures.append(f"{len(answer.items)} items")
            except grpc.aio.AioRpcError as error:
                self.failures.append(f"{error.code().name}: {error.details()}")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close(None)


@pytest_asyncio.fixture
async def gateways(small_release: Release, tmp_path: Path) -> AsyncIterator[list[Gateway]]:
    pair = [Gateway(small_release, tmp_path, name) for name in ("one", "two")]
    try:
        await asyncio.gather(*(gateway.start() for gateway in pair))
        yield pair
    finally:
        for gateway in pair:
            if gateway.process is not None and gateway.process.poll() is None:
                gateway.process.kill()
                gateway.process.wait()


async def test_no_call_fails_while_both_gateways_are_replaced(gateways: list[Gateway]) -> None:
    target = "ipv4:" + ",".join(f"127.0.0.1:{gateway.port}" for gateway in gateways)
    load = Load(target)
    try:
        await answers(load, 50)
        async with asyncio.timeout(90):  # calls take turns, once there are connections to both
            while not all([gateway.answered() > 0 for gateway in gateways]):
                await asyncio.sleep(0.1)
        for gateway in gateways:
            assert await gateway.terminate() == 0
            await answers(load, 50)  # the other one alone
            await gateway.start()
            async with asyncio.timeout(90):
                while gateway.answered() == 0:  # the new one is found again
                    await asyncio.sleep(0.1)
        await answers(load, 50)
    finally:
        await load.stop()
    assert load.failures == []


async def test_the_load_notices_a_gateway_that_dies(gateways: list[Gateway]) -> None:
    """Without it the test above could not fail."""
    load = Load(f"127.0.0.1:{gateways[0].port}")
    try:
        await answers(load, 20)
        assert gateways[0].process is not None
        gateways[0].process.kill()
        async with asyncio.timeout(90):
            while not load.failures:
                await asyncio.sleep(0.05)
    finally:
        await load.stop()
    assert load.failures[0].startswith("UNAVAILABLE")


async def answers(load: Load, more: int) -> None:
    """Wait until so many more calls were answered."""
    wanted = load.answers + more
    async with asyncio.timeout(90):
        while load.answers < wanted:
            await asyncio.sleep(0.02)
