"""What `hemline up` runs, in the order of starting it: every process with its command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from hemline.local.certificates import Certificates
from hemline.local.child import ChildSpec
from hemline.local.health import grpc_health_url
from hemline.local.ports import Ports
from hemline.local.supervisor import Cluster
from hemline.local.triton_server import TritonCommand, remove_shared_memory
from hemline.releases import Release
from hemline.triton_repository import MODELS

HOST = "127.0.0.1"

# NumPy and FAISS see many small requests at once here, where more threads only get in each
# other's way.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# gRPC reads connections in threads of its own, each call wakes two or three of them, and those of
# who answers are all on one core. Without them, the thread that takes calls reads them itself.
TAKER_READS = {"GRPC_EXPERIMENTS": "-event_engine_listener", "GRPC_POLL_STRATEGY": "poll"}


@dataclass(frozen=True)
class Backing:
    """Where events and user states are kept, as URLs of hemline.stores, and the servers started for
    that here, in order.

    snapshots: folder for those of the live items. env: secrets for the processes that use them;
    they do not belong on a command line.
    """

    log: str
    users: str
    servers: tuple[ChildSpec, ...] = ()
    snapshots: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def plan_cluster(
    release: Release,
    releases: Path,
    backing: Backing,
    triton: TritonCommand,
    ports: Ports,
    split: bool,
    front: ChildSpec | None = None,
    prometheus: ChildSpec | None = None,
    tls: Certificates | None = None,
    api_keys: Path | None = None,
    photos: Path | None = None,
) -> Cluster:
    """Kafka and Redis if asked for -> Triton -> retrieval and reranker if they run apart -> updater
    -> indexer -> gateway, or several and what is in front of them -> Prometheus if asked for.

    releases: folder of releases. front: before the gateways of `ports`, if they are several. tls:
    with them, every gRPC port wants mutual TLS. api_keys: the file of those who may call the
    gateway; without it, anybody may. photos: the catalogue that has those of the release's items.
    """
    where = {
        name: f"{HOST}:{getattr(ports, name)}"
        for name in (
            "gateway",
            "retrieval",
            "reranker",
            "triton_grpc",
            "triton_http",
        )
    }
    log = ["--releases", str(releases), "--log", backing.log]
    stores = [*log, "--users", backing.users]
    live = _snapshots(backing)
    encoders = ["--triton", where["triton_grpc"], *_calling(tls)]
    specs = [*backing.servers]
    specs.append(_triton(release, triton, ports, where["triton_grpc"], where["triton_http"]))
    apart: list[str] = []
    if split:
        for name in ("retrieval", "reranker"):
            follows = [*log, *live] if name == "retrieval" else ["--releases", str(releases)]
            env = {**TAKER_READS, **backing.env}
            specs.append(_service(name, name, getattr(ports, name), follows, tls, env))
            apart += [f"--{name}", where[name]]
    for name, flags in (("updater", [*stores, *encoders]), ("indexer", [*log, *encoders])):
        specs.append(_service(name, name, getattr(ports, name), flags, tls, backing.env))
    # On one's own machine, grpcurl and the like may ask the gateway what it offers.
    flags = [*stores, *encoders, *apart, "--reflection", "true"]
    flags += ["--api-keys", str(api_keys)] if api_keys else []
    flags += ["--photos", str(photos)] if photos else []
    for place, port in enumerate(ports.gateways, 1):
        name = f"gateway-{place}" if ports.behind else "gateway"
        env = {**TAKER_READS, **backing.env}
        live = _snapshots(backing, f"-{place}" if ports.behind else "")
        specs.append(_service(name, "gateway", port, [*flags, *live], tls, env))
    specs += [spec for spec in (front, prometheus) if spec is not None]
    return Cluster(
        tuple(specs),
        gateway=where["gateway"],
        release=release.id,
        split=split,
        tls=str(tls.folder) if tls else "",
    )


def _snapshots(backing: Backing, of: str = "") -> list[str]:
    """Flags for a process that remembers how far it got; of: tells it from its like."""
    return ["--snapshots", f"{backing.snapshots}{of}"] if backing.snapshots else []


def _service(
    name: str,
    program: str,
    port: int,
    flags: list[str],
    tls: Certificates | None,
    env: Mapping[str, str] = MappingProxyType({}),
) -> ChildSpec:
    address = f"{HOST}:{port}"
    listening = ["--address", address, "--metrics-port", str(Ports.metrics(port))]
    if tls:
        listening += ["--tls-cert", str(tls.server.cert), "--tls-key", str(tls.server.key)]
        listening += ["--tls-client-ca", str(tls.ca)]
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-m", f"hemline.{program}", *flags, *listening),
        address=address,
        health=(grpc_health_url(address, tls.client if tls else None),),
        env={**ONE_THREAD, **env},
    )


def _calling(tls: Certificates | None) -> list[str]:
    """Flags of a process that calls others."""
    if tls is None:
        return []
    client = tls.client
    files = ["--tls-ca", str(tls.ca), "--tls-client-cert", str(client.cert)]
    return [*files, "--tls-client-key", str(client.key), "--triton-tls", "true"]


def _triton(
    release: Release, command: TritonCommand, ports: Ports, address: str, http: str
) -> ChildSpec:
    return ChildSpec(
        name="triton",
        argv=command.argv,
        address=address,
        health=tuple(
            f"http://{http}/v2/models/{model}/versions/{release.version}/ready" for model in MODELS
        ),
        env=command.env,
        ready_timeout_s=360.0,  # an encoder that takes torch is slow to import on a busy machine
        grace_s=15.0,
        clean_up=lambda: remove_shared_memory(ports.triton_grpc),
        needs_its_own=True,  # the processes of the models
        mishap="boost::interprocess::lock_exception",  # starved of the processor while loading
    )
