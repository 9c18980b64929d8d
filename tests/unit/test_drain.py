"""Asked to stop, a server goes on answering until the balancers have noticed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hemline import rpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


ASKED_TO_STOP_AS_SOON_AS_IT_IS_UP = """
import asyncio, os, signal
from hemline.rpc import Server

class Server(Server):
    async def start(self):
        await super().start()
        os.kill(os.getpid(), signal.SIGTERM)

async def main():
    await Server("127.0.0.1:0").run_until_signal()
    print("stopped")

asyncio.run(main())
"""


async def status(stub: health_pb2_grpc.HealthStub, service: str) -> int:
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
    return int(answer.status)


async def test_while_it_drains_a_server_is_not_ready_but_alive_and_answers() -> None:
    server = rpc.Server("127.0.0.1:0", rpc.ServerSettings(drain_s=600))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert await status(stub, "") == SERVING
        draining = asyncio.create_task(server.drain())
        while await status(stub, "") == SERVING:
            await asyncio.sleep(0.01)
        assert await status(stub, "") == NOT_SERVING
        assert await status(stub, rpc.LIVENESS) == SERVING
        assert not draining.done()
        draining.cancel()
    await server.stop(0)


async def test_once_it_has_drained_a_server_is_alive_until_it_stops() -> None:
    server = rpc.Server("127.0.0.1:0", rpc.ServerSettings(drain_s=0.01))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        await server.drain()
        stub = health_pb2_grpc.HealthStub(channel)
        assert await status(stub, "") == NOT_SERVING
        assert await status(stub, rpc.LIVENESS) == SERVING
    await server.stop(0)


async def test_without_a_drain_time_a_server_stops_at_once() -> None:
    server = rpc.Server("127.0.0.1:0")
    await server.start()
    with pytest.raises(StopIteration):
        server.drain().send(None)  # it waits for nothing
    await server.stop(0)


def test_a_server_asked_to_stop_as_soon_as_it_is_up_stops_as_any_other() -> None:
    command = [sys.executable, "-c", ASKED_TO_STOP_AS_SOON_AS_IT_IS_UP]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr


async def test_calls_take_turns_and_leave_a_server_that_drains() -> None:
    servers = [rpc.Server("127.0.0.1:0", rpc.ServerSettings(drain_s=60)) for _ in range(2)]
    for number, server in enumerate(servers):
        server.add(say, b"%d" % number, "hemline.test.Who")
        await server.start()
    addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    async with rpc.connect(f"ipv4:{addresses}") as channel:
        ask = channel.unary_unary("/hemline.test.Who/Ask")

        async def asked(times: int) -> set[bytes]:
            return {await ask(b"", timeout=60) for _ in range(times)}

        async with asyncio.timeout(60):
            while await asked(4) != {b"0", b"1"}:
                await asyncio.sleep(0.01)
        draining = asyncio.create_task(servers[0].drain())
        async with asyncio.timeout(60):
            while await asked(4) != {b"1"}:
                await asyncio.sleep(0.01)
        assert await asked(20) == {b"1"}
        draining.cancel()
    for server in servers:
        await server.stop(0)


def say(answer: bytes, server: Any) -> None:
    """Registers the call hemline.test.Who/Ask, which answers with these bytes."""

    async def ask(request: bytes, context: object) -> bytes:
        return answer

    handlers = {"Ask": grpc.unary_unary_rpc_method_handler(ask, bytes, bytes)}
    server.add_registered_method_handlers("hemline.test.Who", handlers)
