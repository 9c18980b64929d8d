"""A whole cluster under the real supervisor: two gateways, updater, retrieval, reranker, and around
them what is asked for of Triton, Kafka and Redis.

Everything is started as `hemline up --split` starts it, but for a second gateway, and a slow proxy
in front of retrieval and of Redis.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from slow_proxy import SlowProxy

from hemline.errors import UnavailableError
from hemline.kafka_url import SCHEME
from hemline.local.child import ChildSpec
from hemline.local.cluster_file import ProcessRecord, read_cluster
from hemline.local.health import grpc_health_url, why_unhealthy
from hemline.local.kafka_server import SESSION_TIMEOUT_MS, install_kafka, kafka_spec
from hemline.local.plan import HOST, Backing, plan_cluster
from hemline.local.ports import Ports, choose_ports
from hemline.local.redis_server import install_redis, redis_password, redis_spec
from hemline.local.supervisor import Cluster, RestartPolicy, Supervisor
from hemline.local.triton_server import TritonCommand, install_triton, triton_command
from hemline.redis_url import PASSWORD
from hemline.releases import Release, promote, write_release
from hemline.triton_repository import model_templates, prepare_model_repository
from small_world import CLIP_DIM, TOWER_DIM, build_small_release

# Dying on purpose is no reason to give up.
POLICY = RestartPolicy(most_deaths=1_000)
SECOND_GATEWAY_PORT = 30  # above the base; `hemline.local.ports` leaves it free


class DidNotStartError(RuntimeError):
    """A process of the cluster was not healthy in time; the message is what the supervisor said."""


@dataclass(frozen=True)
class Around:
    """Which real servers stand around the cluster; without them, the embedded ones."""

    kafka: bool = False
    redis: bool = False
    triton: bool = False

    def __str__(self) -> str:
        named = [name for name in ("kafka", "redis", "triton") if getattr(self, name)]
        return " ".join(named) or "embedded"


@dataclass(frozen=True)
class Running:
    """gateways: addresses. log, users: URLs for the checker, past the proxies."""

    run: Path
    release: Release
    around: Around
    gateways: tuple[str, ...]
    log: str
    users: str
    proxies: dict[str, SlowProxy]
    supervisor: Supervisor

    @property
    def processes(self) -> dict[str, ProcessRecord]:
        record = read_cluster(self.run)
        assert record is not None
        return {process.name: process for process in record.processes}

    def signal(self, name: str, number: signal.Signals) -> None:
        """To the process and all it forked."""
        os.killpg(self.processes[name].pid, number)

    def processor_s(self, name: str) -> float:
        """What the process and those it started have used of the processors since its start."""
        process = psutil.Process(self.processes[name].pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    async def until_back(self, name: str, restarts: int, timeout_s: float) -> float | None:
        """Seconds a process that has been started more often than `restarts` took to be healthy,
        from its start; None if that did not come to pass."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            process = self.processes[name]
            if process.restarts > restarts and await why_unhealthy(process.health) is None:
                return time.time() - process.started
            await asyncio.sleep(0.05)
        return None


@asynccontextmanager
async def whole_cluster(home: Path, install: Path, around: Around) -> AsyncIterator[Running]:
    """Start it below `home`; healthy when entered, stopped when left.

    install: the home where Triton and Kafka are, or are installed first.
    """
    run = home / "run"
    run.mkdir(parents=True)
    ports = choose_ports(0)
    release = with_encoders(home) if around.triton else build_small_release(home / "releases")
    before = os.environ.get(PASSWORD)
    proxies: dict[str, SlowProxy] = {}
    backing, direct_users = await _backing(run, install, around, ports, proxies)
    proxies["retrieval"] = SlowProxy(f"{HOST}:{ports.retrieval}")
    await proxies["retrieval"].start()
    cluster = _cluster(home, release, install, around, ports, backing, proxies["retrieval"].address)
    lines = (run / "supervisor.log").open("a", buffering=1)
    supervisor = Supervisor(
        cluster, run, POLICY, say=lambda line: print(f"{time.time():.2f} {line}", file=lines)
    )
    running = asyncio.create_task(supervisor.run())
    try:
        await _until_running(running, run)
        gateways = tuple(s.address for s in cluster.specs if s.name.startswith("gateway"))
        yield Running(
            run, release, around, gateways, backing.log, direct_users, proxies, supervisor
        )
    finally:
        record = read_cluster(run)
        for process in record.processes if record else ():
            with suppress(ProcessLookupError):  # a paused one would not notice that it is to stop
                os.killpg(process.pid, signal.SIGCONT)
        supervisor.ask_to_stop()
        with suppress(UnavailableError):  # it had given up, and said so
            await running
        for proxy in proxies.values():
            await proxy.stop()
        lines.close()
        if before is None:
            os.environ.pop(PASSWORD, None)
        else:
            os.environ[PASSWORD] = before


async def _until_running(running: asyncio.Task[None], run: Path) -> None:
    while not ((record := read_cluster(run)) and record.state == "running"):
        if running.done():
            said = (run / "supervisor.log").read_text()[-3000:]
            raise DidNotStartError(said) from running.exception()
        await asyncio.sleep(0.05)


async def _backing(
    run: Path, install: Path, around: Around, ports: Ports, proxies: dict[str, SlowProxy]
) -> tuple[Backing, str]:
    """Where the cluster keeps events and states, and the states' URL past the proxy."""
    log, users = f"sqlite:{run}/events.sqlite", f"sqlite:{run}/users.sqlite"
    direct_users = users
    servers: list[ChildSpec] = []
    env: dict[str, str] = {}
    if around.kafka:
        broker = kafka_spec(
            install_kafka(install),
            run / "kafka",
            port=ports.kafka,
            controller_port=ports.kafka_controller,
        )
        servers.append(broker)
        log = f"{SCHEME}{broker.address}?session_timeout_ms={SESSION_TIMEOUT_MS}"
    if around.redis:
        servers.append(redis_spec(install_redis(), ports.redis, run / "redis"))
        os.environ[PASSWORD] = env[PASSWORD] = redis_password(run / "redis")
        direct_users = f"redis://{HOST}:{ports.redis}"
        proxies["redis"] = SlowProxy(f"{HOST}:{ports.redis}")
        await proxies["redis"].start()
        users = f"redis://{proxies['redis'].address}"
    return Backing(log, users, tuple(servers), env), direct_users


def _cluster(
    home: Path,
    release: Release,
    install: Path,
    around: Around,
    ports: Ports,
    backing: Backing,
    retrieval: str,
) -> Cluster:
    triton = TritonCommand((), {})
    if around.triton:
        repository = home / "model_repository"
        served = [(release.version, release.folder)]
        prepare_model_repository(model_templates(), repository, served)
        triton = triton_command(
            install_triton(install),
            repository,
            grpc_port=ports.triton_grpc,
            http_port=ports.triton_http,
            metrics_port=ports.triton_metrics,
        )
    cluster = plan_cluster(release, home / "releases", backing, triton, ports, split=True)
    specs = []
    for spec in cluster.specs:
        if spec.name == "triton" and not around.triton:
            continue
        if spec.name == "gateway":
            spec = replace(spec, argv=_with_flag(spec.argv, "--retrieval", retrieval))
            specs.append(_second_gateway(spec, ports))
        specs.append(spec)
    return replace(cluster, specs=tuple(specs))


def _second_gateway(spec: ChildSpec, ports: Ports) -> ChildSpec:
    port = ports.base + SECOND_GATEWAY_PORT
    address = f"{HOST}:{port}"
    argv = _with_flag(spec.argv, "--address", address)
    argv = _with_flag(argv, "--metrics-port", str(ports.metrics(port)))
    health = (grpc_health_url(address, None),)
    return replace(spec, name="gateway-2", argv=argv, address=address, health=health)


def _with_flag(argv: tuple[str, ...], flag: str, value: str) -> tuple[str, ...]:
    place = argv.index(flag) + 1
    return (*argv[:place], value, *argv[place + 1 :])


def with_encoders(home: Path) -> Release:
    """The small release, with a real CLIP and real towers of its dimensions for Triton to serve."""
    from tiny_release import build_tiny_release, encoder_without_torch  # imports torch itself

    small = build_small_release(home / "small")
    encoder = encoder_without_torch(CLIP_DIM)
    tiny = build_tiny_release(home / "tiny", 1, CLIP_DIM, TOWER_DIM, encoder)

    def build(folder: Path) -> dict[str, object]:
        for part in (small.folder, tiny):
            shutil.copytree(part, folder, dirs_exist_ok=True)
        (folder / "manifest.json").unlink()
        return {"encoder": small.manifest["encoder"], "tower_dim": TOWER_DIM}

    root = home / "releases"
    return promote(root, write_release(root, build).id)
