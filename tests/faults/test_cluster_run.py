"""A whole cluster loses one process after the other under load, and nobody has to know.

Without Kafka, which takes its time to start again on a small machine: `make faults` has it, and
Triton, and many more runs.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from cluster_run import Fault, cluster_run, draw_run
from slow_proxy import SlowProxy
from whole_cluster import Around

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

INSTALL = Path(os.environ.get("HEMLINE_HOME", Path(__file__).parents[2] / ".hemline"))


async def test_recommends_go_on_and_no_click_is_lost_while_processes_are_killed(
    tmp_path: Path,
) -> None:
    faults = [Fault("kill", name) for name in ("redis", "gateway", "updater", "retrieval")]
    outcome = await cluster_run(1, tmp_path, INSTALL, Around(redis=True), faults)

    assert not outcome.findings, f"{outcome.findings}, see {tmp_path}"
    assert outcome.acknowledged > 50
    costs = {cost.target: cost for cost in outcome.faults}
    assert outcome.answered >= 0.99 * outcome.asked, costs  # `make faults` wants 99.9% of more
    for cost in outcome.faults:
        assert cost.recovery_s is not None
        assert cost.start_s is not None
    said = {each.partition(":")[0] for each in costs["redis"].degraded}
    assert "user_state" in said, "answers without Redis say what they lack"


def test_seeds_draw_every_process_and_every_kind_of_fault() -> None:
    drawn = {(each.kind, each.target) for seed in range(40) for each in draw_run(seed)[1]}
    assert {kind for kind, _ in drawn} >= {"kill", "restart", "pause", "slow", "repeat"}
    assert {target for _, target in drawn} >= {"gateway", "gateway-2", "updater", "retrieval"}
    assert {("kill", name) for name in ("kafka", "redis", "triton", "reranker")} <= drawn
    assert draw_run(7) == draw_run(7)


async def test_the_slow_proxy_passes_everything_on_and_late_when_told_so() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy = SlowProxy(f"{host}:{port}")
    await proxy.start()
    reader, writer = await asyncio.open_connection(*proxy.address.split(":"))
    for delay_s in (0.0, 0.15):
        proxy.delay_s = delay_s
        sent = random.Random(1).randbytes(100)
        began = asyncio.get_running_loop().time()
        writer.write(sent)
        assert await reader.readexactly(100) == sent
        assert asyncio.get_running_loop().time() - began >= 2 * delay_s
    writer.close()
    await proxy.stop()
    server.close()
    await server.wait_closed()
