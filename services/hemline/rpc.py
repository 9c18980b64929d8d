"""The one place where gRPC servers and channels are made.

A server gets TLS, health, limits, a graceful stop, a `hemline.door` that refuses what is too much,
and a `hemline.boundary` with callers, metrics and typed errors. A channel gets TLS, keepalive and
typed errors back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hemline.boundary import Admission, Boundary
from hemline.door import Door, Registrar
from hemline.errors import InvalidInputError
from hemline.gate import FEW, FEW_WAITING
from hemline.statuses import error_from
from hemline.taking_calls import start_taking
from hemline.tls import ClientTls, ServerTlsSettings, server_tls

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # two images of the allowed size and their fields
LIVENESS = "liveness"  # health service for liveness probes: SERVING as long as the process answers

# Among several addresses (dns:///NAME:PORT, ipv4:A:1,B:2) calls take turns, and a server that says
# NOT_SERVING gets no more of them.
_BALANCED = json.dumps(
    {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
)


async def call(method: Any, request: Any, timeout_s: float) -> Any:
    """Make one unary call; a failed one raises the typed error of `error_from`."""
    try:
        return await method(request, timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        raise error_from(error) from error


def connect(address: str, tls: ClientTls | None = None) -> grpc.aio.Channel:
    """A channel to a service; it connects lazily, and again whenever the other side comes back.

    address: HOST:PORT, or dns:///NAME:PORT for all servers that the name resolves to.
    """
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),  # services of one cluster see each other
        ("grpc.service_config", _BALANCED),
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),  # new servers are found soon
    ]
    if tls is not None:
        return grpc.aio.secure_channel(address, tls.credentials(), options=options)
    return grpc.aio.insecure_channel(address, options=options)


def time_left_s(context: Any, default_s: float = 1.0) -> float:
    """Seconds until the caller's deadline, or `default_s` for a caller without one."""
    left = context.time_remaining()
    return default_s if left is None else float(min(left, 60.0))


@dataclass(frozen=True, kw_only=True)
class ServerSettings(ServerTlsSettings):
    """What every process that serves gRPC can be told; a part of its Config."""

    reflection: bool = False  # tell anybody who asks which calls and messages there are
    stream_idle_s: float = 120.0  # a stream on which nothing comes for so long is ended
    # Calls of one unary method under way, in a burst (see `hemline.gate`); more are refused with
    # RESOURCE_EXHAUSTED, instead of all of them being late. 0: as many as there are threads.
    max_in_flight: int = 0
    drain_s: float = 0.0  # asked to stop, answer on for so long, as NOT_SERVING
    # A connection older than this is closed after its calls, so that clients look for new servers;
    # 0: never.
    max_connection_age_s: float = 0.0


_DEFAULTS = ServerSettings()


class Server:
    """A gRPC server with health: `add` services, then `run_until_signal`, or `start` and `stop`.

    Plaintext or TLS as the settings say; raises InvalidInputError when the certificates they name
    are of no use.
    """

    def __init__(
        self,
        address: str,
        settings: ServerSettings = _DEFAULTS,
        admission: Admission | None = None,
    ) -> None:
        """admission: who may call what; None: anybody anything."""
        boundary = Boundary(admission, settings.stream_idle_s)
        self._door = Door(boundary, asyncio.get_running_loop())
        self._max_in_flight = settings.max_in_flight
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="health and reflection")
        self._server = grpc.server(
            self._threads,
            handlers=[self._door],
            options=_server_options(settings),
        )
        self._health = _Health(asyncio.get_running_loop())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = [health.SERVICE_NAME]
        self._address = address
        self._reflection = settings.reflection
        self._drain_s = settings.drain_s
        self._tls = server_tls(settings)
        self.port = 0

    def add(
        self,
        register: Callable[[Any, Any], None],
        servicer: Any,
        name: str,
        mostly_waits: bool = False,
    ) -> None:
        """Add one service by its generated `add_…_to_server` function and full name.

        Its methods are functions of (message, `hemline.boundary.Call`) and raise typed errors: on
        the event loop where they are coroutines, otherwise on threads, many at a time.
        mostly_waits: its calls cost little and wait for others, so that many may be under way
        whatever the settings' `max_in_flight`.
        """
        most, few = (0, FEW_WAITING) if mostly_waits else (self._max_in_flight, FEW)
        register(servicer, Registrar(self._door, self._server, most, few))
        self._names.append(name)

    async def start(self) -> None:
        """Bind and serve; reports SERVING. Raises OSError when the port is taken."""
        if self._reflection:
            names = [*self._names, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self._server)
        try:
            if self._tls is None:
                self.port = self._server.add_insecure_port(self._address)
            else:
                credentials = self._tls.credentials()
                self.port = self._server.add_secure_port(self._address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: {error}") from error
        for name in ("", LIVENESS, *self._names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        start_taking(self._server, self._door)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Report NOT_SERVING, let running calls finish, then close."""
        self._health.enter_graceful_shutdown()
        await asyncio.to_thread(self._server.stop(grace_s).wait)
        self._door.close()
        self._threads.shutdown(wait=False)

    async def drain(self) -> None:
        """Report NOT_SERVING and answer on for the settings' `drain_s`.

        Balancers that still send calls get answers until they have noticed. The liveness service
        stays SERVING: a process that drains is well and must not be killed for it.
        """
        if self._drain_s:
            logger.info("draining for %g s", self._drain_s)
            for name in ("", *self._names):
                self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
            await asyncio.sleep(self._drain_s)

    async def run_until_signal(self) -> None:
        """Start, serve until SIGTERM or SIGINT, then drain and stop. Raises as `start`."""
        asked = stop_asked()  # before anybody can know that the server is up, and stop it again
        await self.start()
        await asked.wait()
        await self.drain()
        await self.stop()


class _Health(health.HealthServicer):
    """Health of the process: what was set, and whether the event loop still comes round.

    Checks have threads of their own, so that a process that refuses calls still says it is well.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        came_round = threading.Event()
        self._loop.call_soon_threadsafe(came_round.set)
        if not came_round.wait(min(context.time_remaining(), 5.0)):
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the event loop does not come round")
        return super().Check(request, context)

    Check.experimental_thread_pool = ThreadPoolExecutor(4, "health")  # type: ignore[attr-defined]


def _server_options(settings: ServerSettings) -> list[tuple[str, int]]:
    """What one connection may cost. Streams over the limit wait at the client."""
    options = [
        ("grpc.so_reuseport", 0),  # a second process on the same port is a mistake; say so
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", 8 * 1024),  # over this, refused more and more often …
        ("grpc.absolute_max_metadata_size", 16 * 1024),  # … up to always
        ("grpc.max_concurrent_streams", 1024),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 300_000),
        ("grpc.keepalive_time_ms", 60_000),  # a peer that is gone without a word is noticed
        ("grpc.keepalive_timeout_ms", 20_000),
        # Our channels ping every 30 s; whoever does so more than twice too often is cut off.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.http2.max_ping_strikes", 2),
    ]
    if settings.max_connection_age_s:
        options.append(("grpc.max_connection_age_ms", int(settings.max_connection_age_s * 1000)))
        options.append(("grpc.max_connection_age_grace_ms", 60_000))
    return options


def stop_asked() -> asyncio.Event:
    """Set when the process is asked to stop (SIGTERM or SIGINT), from this call on; before it,
    these signals end the process at once."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked.set)
    return asked


async def limited(stream: AsyncIterator[T], most: int, field: str) -> AsyncIterator[tuple[int, T]]:
    """Enumerate a request stream, refusing more than `most` messages."""
    index = 0
    async for message in stream:
        if index >= most:
            raise InvalidInputError(field, f"more than {most} messages on one stream")
        yield index, message
        index += 1
