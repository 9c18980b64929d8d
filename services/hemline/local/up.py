"""The `hemline up` story: from a home with a release to a cluster that answers.

a promoted release? -> nobody else up here -> orphans of a killed supervisor -> Triton installed
-> free ports -> Triton's model repository -> supervisor (here, or in the background)
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from hemline.catalogue_file import read_images
from hemline.errors import CatalogueError, NotFoundError
from hemline.event_log import EVENTS_TOPIC
from hemline.kafka_url import SCHEME
from hemline.key_file import read_keys
from hemline.local.background import start_in_background
from hemline.local.certificates import Certificates, open_certificates
from hemline.local.child import ChildSpec
from hemline.local.cluster_file import (
    ClusterRecord,
    end_orphans,
    read_cluster,
    supervisor_lock,
)
from hemline.local.front_server import front_spec, install_haproxy
from hemline.local.kafka_server import (
    SESSION_TIMEOUT_MS,
    KafkaInstall,
    install_kafka,
    kafka_install,
    kafka_spec,
)
from hemline.local.plan import HOST, Backing, plan_cluster
from hemline.local.ports import DEFAULT_BASE, Ports, choose_ports
from hemline.local.process_metrics import serve_process_metrics
from hemline.local.prometheus_server import install_prometheus, is_installed, prometheus_spec
from hemline.local.redis_server import install_redis, redis_password, redis_spec
from hemline.local.supervisor import Cluster, Supervisor, say, supervise
from hemline.local.triton_server import VERSION, TritonInstall, install_triton, triton_command
from hemline.redis_url import PASSWORD, read_redis_url
from hemline.releases import Release, current_id, open_release
from hemline.stores import open_event_log
from hemline.triton_repository import model_templates, prepare_model_repository


@dataclass(frozen=True)
class UpConfig:
    """home: where releases/, triton/ and run/ are. base_port: the gateway's; 0 for free ports.

    split: retrieval and reranker as processes of their own. device: of Triton's models, cpu or gpu.
    kafka, redis: "" for the embedded log and state, "local" to start a server here, else the
        HOST:PORT or URL of one that runs. prometheus: start one that scrapes the cluster.
    tls: folder that `hemline certs` made, for mutual TLS on every gRPC port. api_keys: file that
        `hemline keys` made, for a gateway that wants one of them.
    gateways: so many behind one HAProxy; 0: one, which listens itself.
    """

    home: Path
    base_port: int = DEFAULT_BASE
    split: bool = False
    device: str = "cpu"
    kafka: str = ""
    redis: str = ""
    prometheus: bool = False
    tls: Path | None = None
    api_keys: Path | None = None
    gateways: int = 0

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def releases(self) -> Path:
        return self.home / "releases"


def up(config: UpConfig) -> None:
    """Run the cluster of a home until Ctrl-C or SIGTERM.

    Raises NotFoundError without a promoted release, UnavailableError when a cluster is up in this
    home already, a port is taken, or a process does not start or keeps dying.
    """
    _check_release(config)
    with supervisor_lock(config.run):
        last = read_cluster(config.run)
        for orphan in end_orphans(last.processes) if last else ():
            say(f"{orphan} was left over from a killed supervisor; stopped")
        asyncio.run(supervise(Supervisor(_cluster(config), config.run)))


def up_in_background(config: UpConfig) -> ClusterRecord:
    """Start the cluster without a terminal; returns its record once it is healthy.

    Raises as `up` does.
    """
    _check_release(config)
    with supervisor_lock(config.run):
        pass  # refuse at once, and in one line, what the background process would refuse
    _triton(config.home)
    if config.kafka == "local":
        _kafka_broker(config.home)
    command = [sys.executable, "-m", "hemline.cli", "up", "--home", str(config.home)]
    command += ["--base-port", str(config.base_port), "--device", config.device]
    command += ["--gateways", str(config.gateways)] if config.gateways else []
    command += ["--split"] * config.split + ["--prometheus"] * config.prometheus
    command += ["--kafka", config.kafka] if config.kafka else []
    command += ["--redis", config.redis] if config.redis else []
    command += ["--tls", str(config.tls)] if config.tls else []
    command += ["--api-keys", str(config.api_keys)] if config.api_keys else []
    return start_in_background(command, config.run)


def _cluster(config: UpConfig) -> Cluster:
    """Everything that is there before the first process starts."""
    tls = open_certificates(config.tls) if config.tls else None
    if config.api_keys:
        read_keys(config.api_keys)  # refused here, in one line
    install = _triton(config.home)
    ports = choose_ports(config.base_port, config.gateways)
    release = open_release(config.releases)
    repository = config.run / "model_repository"
    served = [(release.version, release.folder)]
    prepare_model_repository(model_templates(), repository, served, config.device)
    triton = triton_command(
        install,
        repository,
        grpc_port=ports.triton_grpc,
        http_port=ports.triton_http,
        metrics_port=ports.triton_metrics,
        device=config.device,
        # Nothing loads or unloads models in a running cluster yet, so nobody knows this key.
        control_key=secrets.token_hex(16),
        tls=tls.server if tls else None,
    )
    say(f"starting release {release.id} of {config.home}; logs in {config.run / 'logs'}")
    return plan_cluster(
        release,
        config.releases,
        _backing(config, ports),
        triton,
        ports,
        config.split,
        _front(config, ports, tls),
        _prometheus(config, ports),
        tls,
        config.api_keys.resolve() if config.api_keys else None,
        _photos(config.home, release),
    )


def _photos(home: Path, release: Release) -> Path | None:
    """The catalogue that the release was trained on, if it is still in the home and has photos."""
    name = release.manifest.get("catalogue")
    if not isinstance(name, str) or not (home / name / "items.parquet").is_file():
        return None
    try:
        read_images(home / name, [])
    except CatalogueError:
        return None
    return (home / name).resolve()


def _backing(config: UpConfig, ports: Ports) -> Backing:
    """The event log and the user state, and the servers to start for them."""
    log, users = f"sqlite:{config.run}/events.sqlite", f"sqlite:{config.run}/users.sqlite"
    servers: list[ChildSpec] = []
    if config.kafka:
        log, broker = _kafka(config, ports)
        servers += broker
    env: dict[str, str] = {}
    if config.redis == "local":
        folder = config.run / "redis"
        if shutil.which("redis-server") is None:
            say("installing Debian's redis-server")
        servers.append(redis_spec(install_redis(), ports.redis, folder))
        users = f"redis://{HOST}:{ports.redis}"
        env[PASSWORD] = redis_password(folder)
    elif config.redis:
        read_redis_url(config.redis)  # refused here, and not by four processes one after the other
        users = config.redis
    return Backing(log, users, tuple(servers), config.run / "live", env)


def _kafka(config: UpConfig, ports: Ports) -> tuple[str, list[ChildSpec]]:
    """The URL of the event log, and the broker to start for it, if it is ours.

    Raises UnavailableError when somebody else's does not answer or has other settings.
    """
    if config.kafka != "local":
        url = config.kafka if config.kafka.startswith(SCHEME) else f"{SCHEME}{config.kafka}"
        asyncio.run(_reach(url))
        return url, []
    broker = kafka_spec(
        _kafka_broker(config.home),
        config.run / "kafka",
        port=ports.kafka,
        controller_port=ports.kafka_controller,
    )
    return f"{SCHEME}{broker.address}?session_timeout_ms={SESSION_TIMEOUT_MS}", [broker]


async def _reach(url: str) -> None:
    log = open_event_log(url)
    try:
        await log.check()
        await log.identity(EVENTS_TOPIC)
    finally:
        await log.close()


def _kafka_broker(home: Path) -> KafkaInstall:
    if not kafka_install(home).is_whole():
        say("installing Apache Kafka from Maven Central (45 MB, once)")
    return install_kafka(home)


def _front(config: UpConfig, ports: Ports, tls: Certificates | None) -> ChildSpec | None:
    """The HAProxy before several gateways."""
    if not config.gateways:
        return None
    if shutil.which("haproxy") is None:
        say("installing Debian's haproxy")
    return front_spec(install_haproxy(), ports, tls, config.run / "front")


def _prometheus(config: UpConfig, ports: Ports) -> ChildSpec | None:
    """The Prometheus to start last; from now on the supervisor shows it metrics as well."""
    if not config.prometheus:
        return None
    if not is_installed(config.home):
        say("unpacking Debian's Prometheus (23 MB to download, once)")
    install = install_prometheus(config.home)
    serve_process_metrics(config.run, HOST, ports.supervisor)
    return prometheus_spec(install, ports, config.split, config.run / "prometheus")


def _triton(home: Path) -> TritonInstall:
    if not TritonInstall(home.resolve() / "triton" / VERSION).is_whole():
        say("installing Triton Inference Server from PyPI (55 MB, once)")
    return install_triton(home)


def _check_release(config: UpConfig) -> None:
    if current_id(config.releases) is None:
        raise NotFoundError(
            f"no release has been promoted in {config.releases}; run `hemline train` first"
        )
