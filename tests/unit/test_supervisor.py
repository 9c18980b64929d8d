"""The supervisor over small real processes that serve gRPC health, die, hang or refuse to stop."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from free_ports import free_port
from hemline.errors import HemlineError, NotFoundError, UnavailableError
from hemline.local.background import start_in_background, stop_cluster
from hemline.local.child import Child, ChildSpec
from hemline.local.cluster_file import (
    ProcessRecord,
    end_orphans,
    process_of,
    read_cluster,
    supervisor_lock,
    supervisor_pid,
)
from hemline.local.ports import Ports, choose_ports
from hemline.local.status import cluster_status
from hemline.local.supervisor import Cluster, RestartPolicy, Supervisor

PATIENCE_S = 90.0
FAST = RestartPolicy(first_delay_s=0.01, longest_delay_s=0.02, most_deaths=3, within_s=60.0)

HEALTHY = """
import asyncio, sys
from hemline.rpc import Server
async def main():
    server = Server(sys.argv[1])
    print("began", flush=True)
    await server.run_until_signal()
    print("stopped", flush=True)
asyncio.run(main())
"""
# Healthy at its first start, broken ever after, as a process whose disk has filled up is.
BREAKS = (
    """
import pathlib, sys
marker = pathlib.Path(sys.argv[2])
if marker.exists():
    sys.exit("the disk is full")
marker.touch()
"""
    + HEALTHY
)
# Dies of the known mishap at its first start, healthy ever after.
STARVED = (
    """
import pathlib, sys
marker = pathlib.Path(sys.argv[2])
if not marker.exists():
    marker.touch()
    sys.exit("terminate called after throwing 'lock_exception'")
"""
    + HEALTHY
)
# At its second start it takes its time, as any process of a machine with too much to do.
SLOW_AGAIN = (
    """
import pathlib, sys, time
marker = pathlib.Path(sys.argv[2])
if marker.exists():
    time.sleep(float(sys.argv[3]))
marker.touch()
"""
    + HEALTHY
)
# Has a process of its own, which it does not look after; its number is in a file.
WITH_ITS_OWN = (
    """
import pathlib, subprocess, sys
its_own = subprocess.Popen(["sleep", "600"])
pathlib.Path(sys.argv[2]).write_text(str(its_own.pid))
"""
    + HEALTHY
)
STUBBORN = """
import asyncio, signal, sys
from hemline.rpc import Server
async def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = Server(sys.argv[1])
    await server.start()
    await asyncio.Event().wait()
asyncio.run(main())
"""
# What `hemline up` does once everything is prepared.
SUPERVISE = """
import asyncio, json, sys
from pathlib import Path
from hemline.local.child import ChildSpec
from hemline.local.cluster_file import supervisor_lock
from hemline.local.supervisor import Cluster, Supervisor, supervise
run = Path(sys.argv[1])
specs = tuple(
    ChildSpec(name, tuple(argv), address, (f"grpc://{address}",), grace_s=90.0)
    for name, argv, address in json.loads(sys.argv[2])
)
with supervisor_lock(run):
    asyncio.run(supervise(Supervisor(Cluster(specs, gateway=specs[-1].address), run)))
"""


def spec_of(name: str, script: str = HEALTHY, *arguments: str) -> ChildSpec:
    address = f"127.0.0.1:{free_port()}"
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-c", script, address, *arguments),
        address=address,
        health=(f"grpc://{address}",),
        ready_timeout_s=PATIENCE_S,
        grace_s=PATIENCE_S,
    )


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if true():
                return
            await asyncio.sleep(0.01)


def log_lines(record: ProcessRecord) -> list[str]:
    return Path(record.log).read_text().splitlines()


class Running:
    """A supervisor at work in a task, and what it says."""

    def __init__(self, run: Path, specs: tuple[ChildSpec, ...], policy: RestartPolicy) -> None:
        self.said: list[str] = []
        self.folder = run
        cluster = Cluster(specs, gateway=specs[-1].address, release="r0001-00000000")
        self.supervisor = Supervisor(cluster, run, policy, self.said.append)
        self.task = asyncio.create_task(self.supervisor.run())

    @property
    def processes(self) -> dict[str, ProcessRecord]:
        record = read_cluster(self.folder)
        return {p.name: p for p in record.processes} if record else {}

    def state(self) -> str:
        record = read_cluster(self.folder)
        return record.state if record else ""

    async def up(self) -> None:
        await until(lambda: self.task.done() or self.state() == "running")

    async def stop(self) -> None:
        self.supervisor.ask_to_stop()
        await self.task

    def heard(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in self.said)


Start = Callable[..., Awaitable[Running]]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    running: list[Running] = []

    async def start(*specs: ChildSpec, policy: RestartPolicy = FAST) -> Running:
        running.append(Running(tmp_path / "run", specs, policy))
        await running[-1].up()
        return running[-1]

    yield start
    for each in running:
        each.supervisor.ask_to_stop()
        await asyncio.wait([each.task])
        if not each.task.cancelled():
            each.task.exception()


async def test_processes_start_in_order_each_when_the_one_before_is_healthy(start: Start) -> None:
    cluster = await start(spec_of("first"), spec_of("second"))
    assert [line.split()[0] for line in cluster.said] == ["first", "second", "all"]
    first, second = cluster.processes["first"], cluster.processes["second"]
    assert first.started < second.started
    assert first.pid != second.pid and process_of(first) and process_of(second)


async def test_asked_to_stop_it_stops_the_last_started_first_and_leaves_nobody(
    start: Start,
) -> None:
    cluster = await start(spec_of("first"), spec_of("second"))
    before = cluster.processes
    await cluster.stop()
    assert cluster.said[-3:] == ["asked to stop", "second stopped", "first stopped"]
    assert cluster.state() == "stopped"
    assert not any(process_of(record) for record in before.values())
    assert log_lines(before["first"])[-1] == "stopped"


async def test_a_killed_process_is_started_again_loudly_and_answers_again(start: Start) -> None:
    cluster = await start(spec_of("first"), spec_of("second"))
    old = cluster.processes["second"]
    os.kill(old.pid, signal.SIGKILL)
    await until(lambda: cluster.heard("second is back"))
    assert cluster.heard("second was killed by SIGKILL! Starting it again in 0.0 s")
    new = cluster.processes["second"]
    assert (new.restarts, new.address) == (1, old.address) and new.pid != old.pid
    assert cluster.processes["first"].restarts == 0
    log = log_lines(new)
    assert sum(line.startswith("==== ") for line in log) == 2 and log.count("began") == 2


async def test_a_process_that_lost_one_it_needs_is_started_again(
    start: Start, tmp_path: Path
) -> None:
    marker = tmp_path / "its own"
    spec = replace(spec_of("only", WITH_ITS_OWN, str(marker)), needs_its_own=True)
    cluster = await start(spec)
    lost = int(marker.read_text())
    os.kill(lost, signal.SIGKILL)
    await until(lambda: cluster.heard("only is back"))
    assert cluster.heard(r"only lost a process it needs! Starting it again")
    assert cluster.processes["only"].restarts == 1
    assert int(marker.read_text()) != lost
    await cluster.stop()
    assert cluster.said[-1] == "only stopped"


async def test_one_that_needs_none_is_left_alone_when_it_lost_one(
    start: Start, tmp_path: Path
) -> None:
    marker = tmp_path / "its own"
    cluster = await start(spec_of("only", WITH_ITS_OWN, str(marker)))
    os.kill(int(marker.read_text()), signal.SIGKILL)
    await asyncio.sleep(1.5)  # several times as long as is looked away
    assert cluster.processes["only"].restarts == 0


async def test_waits_grow_and_a_process_that_keeps_dying_ends_it_all(
    start: Start, tmp_path: Path
) -> None:
    policy = RestartPolicy(first_delay_s=0.1, longest_delay_s=0.3, most_deaths=5, within_s=60)
    fragile = spec_of("second", BREAKS, str(tmp_path / "marker"))
    cluster = await start(spec_of("first"), fragile, policy=policy)
    os.kill(cluster.processes["second"].pid, signal.SIGKILL)
    with pytest.raises(UnavailableError, match=r"second died 5 times within 60 s .*exited with 1"):
        await asyncio.wait_for(asyncio.shield(cluster.task), PATIENCE_S)
    waits = [re.search(r"again in (\S+) s", line) for line in cluster.said]
    assert [found[1] for found in waits if found] == ["0.1", "0.2", "0.3", "0.3"]
    assert cluster.heard("the disk is full")
    assert not process_of(cluster.processes["first"])


async def test_a_known_mishap_at_the_first_start_is_tried_again(
    start: Start, tmp_path: Path
) -> None:
    starved = replace(spec_of("only", STARVED, str(tmp_path / "marker")), mishap="lock_exception")
    cluster = await start(starved)
    assert cluster.state() == "running"
    assert cluster.processes["only"].restarts == 1
    assert cluster.heard(r"exited with 1 before it was ready, of a known mishap")


async def test_a_mishap_that_keeps_happening_ends_it_all(start: Start) -> None:
    always = replace(spec_of("only", "exit('lock_exception')"), mishap="lock_exception")
    cluster = await start(always)
    with pytest.raises(UnavailableError, match="before it was ready"):
        await asyncio.wait_for(asyncio.shield(cluster.task), PATIENCE_S)
    assert sum("known mishap" in line for line in cluster.said) == FAST.most_deaths - 1


async def test_a_process_that_is_slow_to_come_back_is_not_killed_for_it(
    start: Start, tmp_path: Path
) -> None:
    spec = spec_of("slow", SLOW_AGAIN, str(tmp_path / "marker"), "3")
    running = await start(spec)
    running.supervisor._children[0].spec = replace(spec, ready_timeout_s=0.5)
    os.kill(running.processes["slow"].pid, signal.SIGKILL)
    await until(lambda: any("slow is back" in line for line in running.said))
    assert any("it lives, so it gets more time" in line for line in running.said)
    assert running.processes["slow"].restarts == 1


async def test_a_process_that_never_comes_back_is_ended_when_patience_is(
    start: Start, tmp_path: Path
) -> None:
    spec = spec_of("hung", SLOW_AGAIN, str(tmp_path / "marker"), "600")
    running = await start(spec, policy=replace(FAST, patience_s=0.1))
    running.supervisor._children[0].spec = replace(spec, ready_timeout_s=0.2)
    os.kill(running.processes["hung"].pid, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="hung died 3 times"):
        await running.task
    assert any("ending it" in line for line in running.said)


async def test_deaths_long_ago_are_forgiven(start: Start) -> None:
    cluster = await start(spec_of("only"), policy=replace(FAST, within_s=0.001))
    for restarts in range(1, FAST.most_deaths + 2):
        os.kill(cluster.processes["only"].pid, signal.SIGKILL)
        await until(
            lambda wanted=restarts: sum("is back" in line for line in cluster.said) == wanted
        )  # type: ignore[misc]
    assert cluster.processes["only"].restarts == FAST.most_deaths + 1
    assert not cluster.task.done()


async def test_a_process_that_dies_before_it_was_ever_healthy_is_not_tried_again(
    start: Start,
) -> None:
    cluster = await start(spec_of("first"), spec_of("second", "exit('no such table')"))
    with pytest.raises(UnavailableError, match="second exited with 1 before it was ready"):
        await cluster.task
    assert cluster.heard("no such table") and cluster.heard("first stopped")
    assert cluster.processes["second"].restarts == 0


async def test_a_process_that_is_never_ready_is_reported_with_what_its_health_said(
    start: Start,
) -> None:
    silent = replace(
        spec_of("silent", "import threading; threading.Event().wait()"), ready_timeout_s=0.3
    )
    cluster = await start(silent)
    with pytest.raises(UnavailableError, match=r"silent is not ready after 0\.3 s: .*UNAVAILABLE"):
        await cluster.task
    assert not process_of(cluster.processes["silent"])


async def test_asked_to_stop_while_starting_it_stops_at_once(tmp_path: Path) -> None:
    cluster = Running(
        tmp_path / "run", (spec_of("slow", "import threading; threading.Event().wait()"),), FAST
    )
    await until(lambda: "slow" in cluster.processes)
    await cluster.stop()
    assert cluster.said == ["asked to stop", "slow stopped"]


async def test_who_ignores_sigterm_is_killed_after_the_grace(start: Start) -> None:
    cluster = await start(replace(spec_of("stubborn", STUBBORN), grace_s=0.1))
    record = cluster.processes["stubborn"]
    await cluster.stop()
    assert cluster.said[-1] == "stubborn had to be killed"
    assert not process_of(record)


async def test_a_process_takes_what_it_forked_with_it(start: Start, tmp_path: Path) -> None:
    forks = (
        "import subprocess, sys\n"
        "helper = subprocess.Popen(['sleep', '3600'])\n"
        "open(sys.argv[2], 'w').write(str(helper.pid))\n"
    ) + HEALTHY
    cluster = await start(spec_of("parent", forks, str(tmp_path / "helper")))
    helper = psutil.Process(int((tmp_path / "helper").read_text()))
    await cluster.stop()
    # An orphan now, it is init's to reap; a zombie runs nothing any more.
    await until(lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE)


async def test_what_a_process_leaves_behind_is_removed_before_each_start_and_at_the_end(
    start: Start,
) -> None:
    cleaned: list[int] = []
    cluster = await start(replace(spec_of("only"), clean_up=lambda: cleaned.append(1)))
    assert len(cleaned) == 1
    os.kill(cluster.processes["only"].pid, signal.SIGKILL)
    await until(lambda: cluster.heard("only is back"))
    assert len(cleaned) == 3
    await cluster.stop()
    assert len(cleaned) == 4


def supervise_command(run: Path, *specs: ChildSpec) -> list[str]:
    plain = json.dumps([(spec.name, spec.argv, spec.address) for spec in specs])
    return [sys.executable, "-c", SUPERVISE, str(run), plain]


async def test_when_the_supervisor_is_killed_its_processes_go_with_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    record = await asyncio.to_thread(
        start_in_background, supervise_command(run, spec_of("first"), spec_of("second")), run
    )
    assert supervisor_pid(run) == record.supervisor_pid
    os.kill(record.supervisor_pid, signal.SIGKILL)
    await until(lambda: not any(process_of(process) for process in record.processes))
    await until(lambda: supervisor_pid(run) is None)
    with pytest.raises(NotFoundError, match="no cluster is up"):
        await asyncio.to_thread(cluster_status, run)


async def test_orphans_that_outlive_even_that_are_ended_later(tmp_path: Path) -> None:
    run = tmp_path / "run"
    record = await asyncio.to_thread(
        start_in_background, supervise_command(run, spec_of("stubborn", STUBBORN)), run
    )
    (orphan,) = record.processes
    os.kill(record.supervisor_pid, signal.SIGKILL)
    await until(lambda: supervisor_pid(run) is None)
    assert process_of(orphan)
    ended = await asyncio.to_thread(end_orphans, record.processes, 0.2)
    assert ended == [f"stubborn ({orphan.pid})"] and not process_of(orphan)
    assert end_orphans(record.processes) == []


def test_another_process_with_a_recorded_pid_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "3600"]) as bystander:
        created = psutil.Process(bystander.pid).create_time()
        record = ProcessRecord("gateway", bystander.pid, created - 60.0, 0.0, 0, "", (), "")
        assert end_orphans([record]) == []
        assert bystander.poll() is None
        assert process_of(ProcessRecord("it", bystander.pid, created, 0.0, 0, "", (), ""))
        bystander.kill()


async def test_in_the_background_it_comes_up_has_a_status_and_goes_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = supervise_command(run, spec_of("first"), spec_of("second"))
    record = await asyncio.to_thread(start_in_background, command, run)
    assert "second is ready at" in capfd.readouterr().err
    status = await asyncio.to_thread(cluster_status, run)
    assert status.healthy and [p.record.name for p in status.processes] == ["first", "second"]
    assert all(p.rss_bytes > 1_000_000 for p in status.processes)

    refused = pytest.raises(UnavailableError, match=r"already up .* \(supervisor \d+\)")
    with refused, supervisor_lock(run):
        pass
    with pytest.raises(UnavailableError, match="did not come up"):
        await asyncio.to_thread(start_in_background, command, run)
    assert (await asyncio.to_thread(cluster_status, run)).healthy

    assert await asyncio.to_thread(stop_cluster, run) == ["first", "second"]
    assert not any(process_of(process) for process in record.processes)
    assert await asyncio.to_thread(stop_cluster, run) == []
    with supervisor_lock(run):
        assert supervisor_pid(run) == os.getpid()


async def test_status_names_the_process_that_does_not_answer(start: Start, tmp_path: Path) -> None:
    hung = spec_of("hung")
    cluster = await start(spec_of("fine"), hung)
    os.kill(cluster.processes["hung"].pid, signal.SIGSTOP)
    with supervisor_lock(tmp_path / "run"):
        status = await asyncio.to_thread(cluster_status, tmp_path / "run")
    assert [p.healthy for p in status.processes] == [True, False] and not status.healthy
    assert status.processes[1].health == f"{hung.address} DEADLINE_EXCEEDED"
    os.kill(cluster.processes["hung"].pid, signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_foreground_supervisor_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    process = await asyncio.create_subprocess_exec(
        *supervise_command(run, spec_of("only")), stderr=asyncio.subprocess.PIPE
    )
    await until(lambda: (r := read_cluster(run)) is not None and r.state == "running")
    process.send_signal(number)
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0 and said.decode().splitlines()[-1].endswith("only stopped")


def test_a_damaged_cluster_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text('{"processes": [{}]}')
    with pytest.raises(HemlineError, match=r"cluster\.json is not readable"):
        read_cluster(tmp_path)


def test_a_taken_port_is_named_and_free_ones_are_found() -> None:
    free = choose_ports(0)
    assert len(set(free.all())) == len(free.all()) == 18
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free.updater))
        taken.listen()
        with pytest.raises(UnavailableError, match=f"port {free.updater} is already in use"):
            choose_ports(free.base)
    assert choose_ports(free.base) == free


def test_default_ports_are_the_documented_ones() -> None:
    ports = Ports()
    assert (ports.gateway, ports.retrieval, ports.reranker, ports.updater) == (
        7100,
        7101,
        7102,
        7103,
    )
    assert (ports.triton_http, ports.triton_grpc, ports.triton_metrics) == (7110, 7111, 7112)
    assert [ports.metrics(port) for port in (7100, 7103)] == [7200, 7203]


async def test_a_program_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    child = Child(replace(spec_of("ghost"), argv=("/no/such/program",)), tmp_path / "ghost.log")
    await child.spawn()
    with pytest.raises(UnavailableError, match="ghost exited with 1 before it was ready"):
        await child.until_ready()
    assert "/no/such/program" in child.last_lines()[0]
    assert any("FileNotFoundError" in line for line in child.last_lines())
