"""A gateway, as a process of its own, whose Kafka broker is paused and killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from free_ports import free_ports
from hemline.local.kafka_server import KafkaInstall
from hemline.releases import Release
from hemline.v1 import (
    common_pb2,
    event_pb2,
    event_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
)
from running_kafka import RunningKafka, running_kafka
from small_world import item_id

pytestmark = pytest.mark.integration

DEADLINE_S = 3.0  # less than the log itself would wait
BACK_S = 90.0  # measured: 1 to 2 s; machines that run the tests may be busy


@dataclass
class Gateway:
    broker: RunningKafka
    events: Any
    recommender: Any
    metrics_port: int
    log: Path

    async def click(self) -> tuple[grpc.StatusCode, float]:
        """Its status, and how long it took."""
        event = event_pb2.Event(
            user_id="ada", item_id=item_id("dress", 1), kind=common_pb2.EVENT_KIND_CLICK
        )
        began = time.monotonic()
        try:
            await self.events.RecordEvent(
                event_pb2.RecordEventRequest(event=event), timeout=DEADLINE_S
            )
            status = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            status = error.code()
            assert self.broker.address not in str(error.details())
        return status, time.monotonic() - began

    async def recommend(self) -> int:
        request = recommender_pb2.RecommendRequest(user_id="bo", k=3)
        return len((await self.recommender.Recommend(request, timeout=60.0)).items)

    async def clicked_again_after(self) -> float:
        """Seconds until an event is acknowledged."""
        began = time.monotonic()
        while (await self.click())[0] is not grpc.StatusCode.OK:
            assert time.monotonic() < began + BACK_S, self.log.read_text()[-3000:]
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    def metric(self, name: str) -> float:
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=60)
        with page:
            lines = page.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def said(self, words: str) -> int:
        return self.log.read_text().count(words)


@pytest.fixture
def broker(
    kafka_install: KafkaInstall, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKafka]:
    with running_kafka(kafka_install, tmp_path_factory.mktemp("broker")) as broker:
        yield broker


async def test_events_are_refused_in_time_answers_go_on_and_all_resumes_by_itself(
    broker: RunningKafka, small_release: Release, tmp_path: Path
) -> None:
    port, metrics_port = free_ports(2)
    log = tmp_path / "gateway.log"
    command = [sys.executable, "-m", "hemline.gateway", "--log", broker.url]
    command += ["--releases", str(small_release.folder.parent), "--triton", "127.0.0.1:9"]
    command += ["--users", f"sqlite:{tmp_path}/users.sqlite", "--address", f"127.0.0.1:{port}"]
    command += ["--metrics-port", str(metrics_port)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 90)
            gateway = Gateway(
                broker,
                event_pb2_grpc.EventServiceStub(channel),
                recommender_pb2_grpc.RecommenderServiceStub(channel),
                metrics_port,
                log,
            )
            await gateway.clicked_again_after()
            with broker.paused():
                await _refused_in_time(gateway)
            print(f"resumed {await gateway.clicked_again_after():.1f} s after the pause")
            broker.kill()
            await _refused_in_time(gateway)
            broker.start()
            print(f"resumed {await gateway.clicked_again_after():.1f} s after the restart")
            await gateway.recommend()
            async with asyncio.timeout(BACK_S):
                while gateway.said("exposures are logged again") < 1:
                    await gateway.recommend()
                    await asyncio.sleep(0.2)
            lost = gateway.metric("hemline_exposures_lost_total")
            assert lost > 2
            # Once for each time it went away, whatever the number of records.
            assert 1 <= gateway.said("exposures are being lost") <= 3 < lost
            assert 1 <= gateway.said("the event log is away") <= 3
            assert gateway.said(broker.address) and not gateway.said("Traceback")
    finally:
        process.terminate()
        assert process.wait(90) == 0, log.read_text()[-3000:]


async def _refused_in_time(gateway: Gateway) -> None:
    told: list[grpc.StatusCode] = []
    for _ in range(3):
        clicks = await asyncio.gather(*(gateway.click() for _ in range(4)))
        told += [status for status, _ in clicks]
        assert await gateway.recommend() == 3
    # The gateway answers a tenth of the deadline before its end; a machine with too much to do may
    # lose that much now and then, and only then is it too late.
    late = told.count(grpc.StatusCode.DEADLINE_EXCEEDED)
    assert late + told.count(grpc.StatusCode.UNAVAILABLE) == len(told), told
    assert late < len(told) / 2, told
    async with asyncio.timeout(BACK_S):
        while gateway.metric("hemline_event_log_up") != 0:
            assert await gateway.recommend() == 3
            await asyncio.sleep(0.1)
