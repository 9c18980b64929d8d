"""The one place where gRPC servers and channels are made.

A server gets TLS, health, limits, metrics, typed errors and a graceful stop; a channel gets TLS,
keepalive and typed errors back. `HemlineError`s cross the wire once, here, with the field that was
wrong as a google.rpc.BadRequest detail.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hemline import metrics
from hemline.errors import (
    DeadlineError,
    HemlineError,
    InvalidInputError,
    NotBuiltError,
    NotFoundError,
    OverloadedError,
    ReleaseError,
    UnavailableError,
)
from hemline.tls import ClientTls, ServerTlsSettings, server_tls

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # two images of the allowed size and their fields
DETAILS_KEY = "grpc-status-details-bin"
LIVENESS = "liveness"  # health service for liveness probes: SERVING as long as the process answers

# Among several addresses (dns:///NAME:PORT, ipv4:A:1,B:2) calls take turns, and a server that says
# NOT_SERVING gets no more of them.
_BALANCED = json.dumps(
    {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
)

STATUS: dict[type[HemlineError], grpc.StatusCode] = {
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    ReleaseError: grpc.StatusCode.FAILED_PRECONDITION,
    NotBuiltError: grpc.StatusCode.UNIMPLEMENTED,
}
_ERROR_OF = {code: error for error, code in STATUS.items() if error is not InvalidInputError}


def status_of(error: HemlineError) -> grpc.StatusCode:
    """The gRPC status an error crosses the wire as."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return grpc.StatusCode.INTERNAL


def status_details(error: InvalidInputError) -> bytes:
    """A serialised google.rpc.Status that names the bad field."""
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=error.field, description=error.reason
    )
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    status = status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=str(error), details=[detail])
    return bytes(status.SerializeToString())


def error_from(error: grpc.aio.AioRpcError) -> HemlineError:
    """The typed error behind a failed call, the inverse of what the server sent."""
    message = error.details() or error.code().name
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        metadata: Any = error.trailing_metadata() or ()
        for key, value in metadata:
            if key == DETAILS_KEY and isinstance(value, bytes):
                for detail in status_pb2.Status.FromString(value).details:
                    bad = error_details_pb2.BadRequest()
                    if detail.Unpack(bad) and bad.field_violations:
                        first = bad.field_violations[0]
                        return InvalidInputError(first.field, first.description)
        return InvalidInputError("request", message)
    return _ERROR_OF.get(error.code(), UnavailableError)(message)


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


class Boundary(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Counts and times every call, and turns errors into statuses."""

    async def intercept_service(
        self, continuation: Callable[..., Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        method = details.method.removeprefix("/")
        codec = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            bounded = _bounded(method, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(bounded, **codec)
        if handler.stream_unary:
            bounded = _bounded(method, handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(bounded, **codec)
        return handler  # health watches and reflection, which stream answers


def _bounded(method: str, answer: Callable[[Any, Any], Awaitable[T]]) -> Any:
    seconds = metrics.REQUEST_SECONDS.labels(method)
    answered_ok = metrics.REQUESTS.labels(method, "OK")

    async def bounded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> T:
        began = time.perf_counter()
        metrics.REQUESTS_IN_FLIGHT.inc()
        try:
            response = await answer(request, context)
            answered_ok.inc()
            return response
        except HemlineError as error:
            code = status_of(error)
            metrics.REQUESTS.labels(method, code.name).inc()
            trailing = (
                ((DETAILS_KEY, status_details(error)),)
                if isinstance(error, InvalidInputError)
                else ()
            )
            await context.abort(code, str(error), trailing)
            raise  # abort never returns
        except asyncio.CancelledError:
            metrics.REQUESTS.labels(method, "CANCELLED").inc()
            raise
        except grpc.aio.AbortError:
            raise
        except Exception:
            metrics.REQUESTS.labels(method, "INTERNAL").inc()
            logger.exception("%s failed", method)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error; see the server's log")
            raise
        finally:
            metrics.REQUESTS_IN_FLIGHT.dec()
            seconds.observe(time.perf_counter() - began)

    return bounded


def time_left_s(context: Any, default_s: float = 1.0) -> float:
    """Seconds until the caller's deadline, or `default_s` for a caller without one."""
    left = context.time_remaining()
    return default_s if left is None else float(min(left, 60.0))


@dataclass(frozen=True, kw_only=True)
class ServerSettings(ServerTlsSettings):
    """What every process that serves gRPC can be told; a part of its Config."""

    reflection: bool = False  # tell anybody who asks which calls and messages there are
    drain_s: float = 0.0  # asked to stop, answer on for so long, as NOT_SERVING
    max_connection_age_s: float = 0.0  # then clients connect anew and find new servers; 0: never


_DEFAULTS = ServerSettings()


class Server:
    """A gRPC server with health: `add` services, `start`, `run_until_signal`.

    Plaintext or TLS as the settings say; raises InvalidInputError when the certificates they name
    are of no use.
    """

    def __init__(self, address: str, settings: ServerSettings = _DEFAULTS) -> None:
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),  # a second process on the same port is a mistake; say so
        ]
        if settings.max_connection_age_s:
            options.append(("grpc.max_connection_age_ms", int(settings.max_connection_age_s * 1e3)))
        self._server = grpc.aio.server(interceptors=[Boundary()], options=options)
        self._health: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = [health.SERVICE_NAME]
        self._address = address
        self._reflection = settings.reflection
        self._drain_s = settings.drain_s
        self._tls = server_tls(settings)
        self.port = 0

    def add(self, register: Callable[[Any, Any], None], servicer: Any, name: str) -> None:
        """Add one service by its generated `add_…_to_server` function and full name."""
        register(servicer, self._server)
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
        await self._server.start()
        for name in ("", LIVENESS, *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Report NOT_SERVING, let running calls finish, then close."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    async def drain(self) -> None:
        """Report NOT_SERVING and answer on for the settings' `drain_s`.

        Balancers that still send calls get answers until they have noticed. The liveness service
        stays SERVING: a process that drains is well and must not be killed for it.
        """
        if self._drain_s:
            logger.info("draining for %g s", self._drain_s)
            for name in ("", *self._names):
                await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
            await asyncio.sleep(self._drain_s)

    async def run_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain and stop gracefully."""
        await wait_for_signal()
        await self.drain()
        await self.stop()


async def wait_for_signal() -> None:
    """Return when the process is asked to stop (SIGTERM or SIGINT)."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked.set)
    await asked.wait()


async def limited(stream: AsyncIterator[T], most: int, field: str) -> AsyncIterator[tuple[int, T]]:
    """Enumerate a request stream, refusing more than `most` messages."""
    index = 0
    async for message in stream:
        if index >= most:
            raise InvalidInputError(field, f"more than {most} messages on one stream")
        yield index, message
        index += 1
