"""User states in a Redis with TLS and ACL, a Redis Cluster of three, and behind a Sentinel."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from free_ports import free_port
from hemline.errors import SetupError, UnavailableError
from hemline.lineage import Lineage
from hemline.local.certificates import make_certificates
from hemline.local.redis_server import install_redis
from hemline.redis_user_state import RedisUserStates
from hemline.user_state import Interaction, UserState
from running_redis import RunningRedis, patient_states, running_redis

pytestmark = pytest.mark.integration

READY_S = 90.0
TOGETHER = "together"  # the password of several servers that are one store
USERS = [f"shopper {number}" for number in range(50)]
HISTORY = (Interaction("dress 1", "click", 1_700_000_000_000),)


async def used(users: RedisUserStates) -> None:
    """Everything the updater and the gateway do, over keys of many slots."""
    states = [UserState(user, history=HISTORY) for user in USERS]
    assert await users.compare_and_set(states) == [True] * len(USERS)
    assert await users.compare_and_set(states) == [False] * len(USERS)
    assert {s.version for s in (await users.get_many(USERS)).values()} == {1}
    found = await users.get(USERS[7])
    assert found is not None and found.history == HISTORY
    assert await users.erase(USERS[7])
    assert await users.get(USERS[7]) is None
    lineage = Lineage(5, "a log")
    assert await users.begin(lineage, instead_of=None)
    assert await users.advance(lineage, {0: range(0, 9), 3: range(0, 4)})
    progress = await users.progress()
    assert progress is not None and progress.positions == {0: 9, 3: 4}


async def ready(users: RedisUserStates) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            await users.check()
            return
        except (UnavailableError, SetupError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def test_over_tls_a_user_that_may_only_do_our_work_can_do_all_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    certificates = make_certificates(folder)
    port = free_port()
    settings = (
        f"tls-port {port}\n"
        f"tls-cert-file {folder}/server.pem\ntls-key-file {folder}/server-key.pem\n"
        f"tls-ca-cert-file {certificates.ca}\ntls-auth-clients no\n"
    )
    with running_redis(tmp_path / "redis", settings) as server:
        rights = (
            "~hemline:*",
            "+@read",
            "+@write",
            "+@scripting",
            "+ping",
            "+info",
            "+@connection",
        )
        assert server.ask("ACL", "SETUSER", "shop", "on", ">secret", *rights) == "+OK"
        os.environ["HEMLINE_REDIS_PASSWORD"] = "secret"  # the server's end puts back what was
        url = f"rediss://shop@127.0.0.1:{port}"
        users = patient_states(f"{url}?ssl_ca_certs={certificates.ca}")
        await users.check()
        await used(users)
        await users.close()
        stranger = RedisUserStates(url)  # knows no CA that signed the server's certificate
        with pytest.raises(UnavailableError, match=r"(?i)certificate"):
            await stranger.check()
        await stranger.close()


async def test_a_cluster_of_three_keeps_all_states(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers, buses = [], []
        for number in range(3):
            bus = free_port()
            settings = f"cluster-enabled yes\ncluster-port {bus}\nrequirepass together\n"
            servers.append(
                stack.enter_context(running_redis(tmp_path / str(number), settings, TOGETHER))
            )
            buses.append(bus)
        for number, server in enumerate(servers):
            first, last = 5461 * number, (5460, 10921, 16383)[number]
            slots = server.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            assert slots == "+OK"
            meet = servers[0].ask(
                "CLUSTER", "MEET", "127.0.0.1", str(server.port), str(buses[number])
            )
            assert meet == "+OK"
        async with asyncio.timeout(READY_S):  # each of them learns by itself that all are there
            while any(server.ask("GET", "x").startswith("-CLUSTERDOWN") for server in servers):
                await asyncio.sleep(0.1)
        users = patient_states(f"redis+cluster://127.0.0.1:{servers[0].port}")
        await ready(users)
        await used(users)
        await users.close()
        assert all(int(server.ask("DBSIZE")[1:]) > 5 for server in servers)


async def test_after_a_failover_states_are_written_to_the_new_master(tmp_path: Path) -> None:
    shared = "requirepass together\nmasterauth together\nrepl-diskless-sync-delay 0\n"
    with (
        running_redis(tmp_path / "master", shared, TOGETHER) as master,
        running_redis(
            tmp_path / "copy", f"{shared}replicaof 127.0.0.1 {master.port}\n", TOGETHER
        ) as copy,
        _sentinel(tmp_path / "sentinel", master.port) as sentinel,
    ):
        users = patient_states(f"redis+sentinel://127.0.0.1:{sentinel.port}/shop")
        await ready(users)
        await used(users)
        deadline = time.monotonic() + READY_S
        while copy.ask("DBSIZE") != master.ask("DBSIZE"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        # It asks the master for its copies every ten seconds; without one it could do nothing.
        while not sentinel.ask("SENTINEL", "replicas", "shop").startswith("*1"):
            assert time.monotonic() < deadline, "the Sentinel has not heard of the copy"
            await asyncio.sleep(0.05)
        # Only now: until here a master that is slow to answer is not to be given up.
        soon = ("SENTINEL", "SET", "shop", "down-after-milliseconds", "500")
        assert sentinel.ask(*soon) == "+OK"
        master.kill()
        began = time.monotonic()
        while True:
            try:
                stored = await users.compare_and_set([UserState("after", history=HISTORY)])
                break
            except UnavailableError:
                assert time.monotonic() < began + READY_S
                await asyncio.sleep(0.1)
        assert stored == [True]
        assert copy.ask("ROLE").startswith("*")
        found = await users.get(USERS[3])
        assert found is not None and found.history == HISTORY
        await users.close()


@contextmanager
def _sentinel(folder: Path, master_port: int) -> Iterator[RunningRedis]:
    """A Sentinel, alone, that fails the master "shop" over after a minute."""
    sentinel = RunningRedis(folder)
    sentinel.password = ""
    port = sentinel.port
    (folder / "sentinel.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor shop 127.0.0.1 {master_port} 1\nsentinel auth-pass shop together\n"
        "sentinel down-after-milliseconds shop 60000\nsentinel failover-timeout shop 3000\n"
    )
    command = [install_redis(), folder / "sentinel.conf", "--sentinel"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY_S
        while not sentinel.ask("PING").startswith("+PONG"):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield sentinel
    finally:
        process.terminate()
        process.wait(60)
