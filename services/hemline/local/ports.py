"""Which port each process listens on: a fixed place above one base port."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass

from hemline.errors import UnavailableError

DEFAULT_BASE = 7100
MOST_GATEWAYS = 64
_TRIES = 200


@dataclass(frozen=True)
class Ports:
    """Ports of one cluster. The base itself is the gateway's, or that of the HAProxy before
    several: behind: how many gateways there are behind one."""

    base: int = DEFAULT_BASE
    behind: int = 0

    @property
    def gateway(self) -> int:
        return self.base

    @property
    def gateways(self) -> list[int]:
        """Those that gateways themselves listen on."""
        return [self.base + 30 + place for place in range(self.behind)] or [self.base]

    @property
    def retrieval(self) -> int:
        return self.base + 1

    @property
    def reranker(self) -> int:
        return self.base + 2

    @property
    def updater(self) -> int:
        return self.base + 3

    @property
    def indexer(self) -> int:
        return self.base + 4

    @property
    def triton_http(self) -> int:
        return self.base + 10

    @property
    def triton_grpc(self) -> int:
        return self.base + 11

    @property
    def triton_metrics(self) -> int:
        return self.base + 12

    @property
    def kafka(self) -> int:
        return self.base + 20

    @property
    def kafka_controller(self) -> int:
        return self.base + 21

    @property
    def redis(self) -> int:
        return self.base + 22

    @property
    def prometheus(self) -> int:
        return self.base + 23

    @property
    def supervisor(self) -> int:
        """Metrics of the supervisor, of what it sees from outside; it listens for nothing else."""
        return self.base + 24

    @staticmethod
    def metrics(port: int) -> int:
        """Where the process that listens on `port` shows its Prometheus metrics."""
        return port + 100

    def all(self) -> list[int]:
        ours = [self.gateway, self.retrieval, self.reranker, self.updater, self.indexer]
        ours += [port for port in self.gateways if port != self.gateway]
        triton = [self.triton_http, self.triton_grpc, self.triton_metrics]
        around = [self.kafka, self.kafka_controller, self.redis, self.prometheus, self.supervisor]
        return ours + triton + around + [self.metrics(port) for port in ours]


def choose_ports(base: int, behind: int = 0) -> Ports:
    """The ports above `base`, or above a random free base for 0. behind: see `Ports`.

    Raises UnavailableError naming the port that somebody else listens on.
    """
    if base:
        ports = Ports(base, behind)
        taken = next((port for port in ports.all() if not _is_free(port)), None)
        if taken is not None:
            raise UnavailableError(
                f"port {taken} is already in use; choose others with --base-port, e.g. "
                f"--base-port {base + 1000}, or --base-port 0 for any free ones"
            )
        return ports
    for _ in range(_TRIES):
        # Below the range (32768 up) the kernel takes ports of outgoing connections from.
        ports = Ports(random.randrange(20_000, 32_000), behind)
        if all(_is_free(port) for port in ports.all()):
            return ports
    raise UnavailableError("no free ports found between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
