"""The updater is killed with SIGKILL among 1,000 posted clicks; nobody can tell afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest

from free_ports import free_port
from hemline.event_log import EVENTS_TOPIC
from hemline.releases import Release
from hemline.sqlite_event_log import SqliteEventLog
from hemline.sqlite_user_state import SqliteUserStates
from hemline.updater.update import GROUP
from hemline.user_state import UserState
from hemline.v1.common_pb2 import EVENT_KIND_CLICK
from hemline.v1.event_pb2 import Event, RecordEventsRequest
from hemline.v1.event_pb2_grpc import EventServiceStub
from running_triton import RunningTriton
from small_world import STYLES, item_id

pytestmark = pytest.mark.integration

USERS = [f"shopper {number}" for number in range(10)]
NOW_MS = int(time.time() * 1000)


def thousand_clicks() -> list[Event]:
    rng = random.Random(11)
    return [
        Event(
            event_id=f"click {number}",
            user_id=rng.choice(USERS),
            item_id=item_id(rng.choice(STYLES), rng.randrange(20)),
            kind=EVENT_KIND_CLICK,
            occurred_ms=NOW_MS - 10_000_000 + 1000 * number,
        )
        for number in range(1000)
    ]


@dataclass
class Run:
    """Gateway and updater as processes of their own, over one folder of state."""

    release: Release
    state: Path
    triton: str
    gateway_port: int
    updater_port: int = 0

    def start(self, service: str, *more: str) -> subprocess.Popen[bytes]:
        log, users = f"sqlite:{self.state}/events.sqlite", f"sqlite:{self.state}/users.sqlite"
        shared = ("--releases", str(self.release.folder.parent), "--log", log, "--users", users)
        ports = ("--triton", self.triton, "--metrics-port", str(free_port()))
        command = [sys.executable, "-m", f"hemline.{service}", *shared, *ports, *more]
        with (self.state / f"{service}.log").open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output)

    def start_updater(self) -> subprocess.Popen[bytes]:
        self.updater_port = free_port()
        return self.start("updater", "--address", f"127.0.0.1:{self.updater_port}")

    async def stop_updater(self, updater: subprocess.Popen[bytes]) -> None:
        """Ask it to stop, once it is up: before that, SIGTERM ends any process at once."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.updater_port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 120)
        updater.terminate()
        assert updater.wait(90) == 0, (self.state / "updater.log").read_text()

    async def post(self, clicks: list[Event]) -> int:
        """Stream the clicks with small pauses; returns how many were acknowledged."""

        async def stream() -> AsyncIterator[RecordEventsRequest]:
            for number, click in enumerate(clicks):
                yield RecordEventsRequest(event=click)
                if number % 20 == 0:
                    await asyncio.sleep(0.02)

        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.gateway_port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 120)
            response = await EventServiceStub(channel).RecordEvents(stream())
        assert not response.errors
        return int(response.accepted)

    async def applied(self, clicks: list[Event]) -> None:
        """Wait until every click has been applied."""
        wanted = {user: sum(c.user_id == user for c in clicks) for user in USERS}
        users = SqliteUserStates(self.state / "users.sqlite")
        try:
            async with asyncio.timeout(120):
                while True:
                    states = await users.get_many(USERS)
                    done = {user: len(states[user].recent_event_ids) for user in USERS}
                    if done == wanted:
                        return
                    assert all(done[user] <= wanted[user] for user in USERS)
                    await asyncio.sleep(0.02)
        finally:
            await users.close()

    async def states(self) -> dict[str, UserState]:
        users = SqliteUserStates(self.state / "users.sqlite")
        states = await users.get_many(USERS)
        await users.close()
        return states

    async def applied_so_far(self) -> int:
        return sum(len(state.recent_event_ids) for state in (await self.states()).values())

    async def lag(self) -> int:
        log = SqliteEventLog(self.state / "events.sqlite")
        lag = await log.consumer(EVENTS_TOPIC, GROUP).lag()
        await log.close()
        return lag


@asynccontextmanager
async def running_gateway(release: Release, state: Path, triton: str) -> AsyncIterator[Run]:
    state.mkdir()
    run = Run(release, state, triton, free_port())
    gateway = run.start("gateway", "--address", f"127.0.0.1:{run.gateway_port}")
    try:
        yield run
    finally:
        gateway.terminate()
        assert gateway.wait(90) == 0, (state / "gateway.log").read_text()


async def test_a_killed_updater_leaves_the_state_of_an_undisturbed_run(
    small_release: Release, triton: RunningTriton, tmp_path: Path
) -> None:
    clicks = thousand_clicks()

    async with running_gateway(small_release, tmp_path / "calm", triton.address) as calm:
        updater = calm.start_updater()
        assert await calm.post(clicks) == 1000
        await calm.applied(clicks)
        await calm.stop_updater(updater)
        undisturbed = await calm.states()
        assert await calm.lag() == 0

    async with running_gateway(small_release, tmp_path / "stormy", triton.address) as stormy:
        updater = stormy.start_updater()
        rng = random.Random(12)
        for start in range(0, 1000, 250):
            before = await stormy.applied_so_far()
            posting = asyncio.create_task(stormy.post(clicks[start : start + 250]))
            # Kill while this wave is being applied: some clicks are done, some are not.
            async with asyncio.timeout(120):
                while await stormy.applied_so_far() == before:
                    await asyncio.sleep(0.002)
            await asyncio.sleep(rng.uniform(0, 0.03))
            os.kill(updater.pid, signal.SIGKILL)
            assert updater.wait(90) == -signal.SIGKILL
            updater = stormy.start_updater()
            assert await posting == 250
        await stormy.applied(clicks)
        await stormy.stop_updater(updater)
        disturbed = await stormy.states()
        assert await stormy.lag() == 0

    compared = 0
    for user in USERS:
        calm_state, stormy_state = undisturbed[user], disturbed[user]
        assert stormy_state.history == calm_state.history
        assert stormy_state.recent_event_ids == calm_state.recent_event_ids
        if calm_state.vector is None or stormy_state.vector is None:
            continue  # Triton did not answer in time
        compared += 1
        assert stormy_state.vector.release == calm_state.vector.release
        assert stormy_state.vector.vector == pytest.approx(calm_state.vector.vector, abs=1e-6)
    assert compared >= len(USERS) / 2
