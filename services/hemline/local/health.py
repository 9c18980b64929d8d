"""Is a process ready? Asked over gRPC health, HTTP, Redis or Kafka, as its URL says.

grpc://127.0.0.1:7100                                   gRPC health of the whole server
grpcs://127.0.0.1:7100?ca=FILE&cert=FILE&key=FILE       the same over TLS
http://127.0.0.1:7110/v2/models/user_tower/versions/3/ready   any HTTP path that answers 200
redis://127.0.0.1:7122                                  PING; wanting a password counts as an answer
kafka://127.0.0.1:7120                                  a broker that says which calls it answers
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hemline.tls import ClientTls


async def why_unhealthy(urls: Sequence[str], timeout_s: float = 1.0) -> str | None:
    """None when every URL says it is ready, else what the first that does not has to say."""
    answers = await asyncio.gather(*(_check(url, timeout_s) for url in urls))
    return next((answer for answer in answers if answer is not None), None)


def grpc_health_url(address: str, tls: ClientTls | None) -> str:
    """What to ask for the health of a gRPC server."""
    if tls is None:
        return f"grpc://{address}"
    files = {"ca": tls.ca, "cert": tls.cert, "key": tls.key}
    return f"grpcs://{address}?{urlencode({name: path for name, path in files.items() if path})}"


async def _check(url: str, timeout_s: float) -> str | None:
    parts = urlsplit(url)
    if parts.scheme in ("grpc", "grpcs"):
        try:
            files = {name: Path(path) for name, path in parse_qsl(parts.query)}
            tls = ClientTls(**files).credentials() if parts.scheme == "grpcs" else None
        except OSError as error:
            return f"cannot ask {parts.netloc}: {error}"
        return await _check_grpc(parts.netloc, timeout_s, tls)
    if parts.scheme == "redis":
        return await asyncio.to_thread(_check_redis, parts.netloc, timeout_s)
    if parts.scheme == "kafka":
        return await asyncio.to_thread(why_kafka_unhealthy, parts.hostname, parts.port, timeout_s)
    return await asyncio.to_thread(_check_http, parts.netloc, parts.path, timeout_s)


async def _check_grpc(
    address: str, timeout_s: float, tls: grpc.ChannelCredentials | None
) -> str | None:
    # A local subchannel pool: a shared one would make this check wait out an earlier one's backoff.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    channel = (
        grpc.aio.secure_channel(address, tls, options=options)
        if tls
        else grpc.aio.insecure_channel(address, options=options)
    )
    async with channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout_s
            )
        except grpc.aio.AioRpcError as error:
            return f"{address} {error.code().name}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return f"{address} {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def _check_http(address: str, path: str, timeout_s: float) -> str | None:
    connection = http.client.HTTPConnection(address, timeout=timeout_s)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
        return None if status == 200 else f"{address}{path} answers {status}"
    except (OSError, http.client.HTTPException) as error:
        return f"{address} {error}"
    finally:
        connection.close()


def _check_redis(address: str, timeout_s: float) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(256).decode(errors="replace").strip()
    except OSError as error:
        return f"{address} {error}"
    return None if answer.startswith(("+PONG", "-NOAUTH")) else f"{address} answers {answer!r}"


# ApiVersions, version 0, of the protocol every Kafka broker speaks: length, key, version,
# correlation id, client id. A listener answers it before anybody has to log in.
_API_VERSIONS = struct.pack("!ihhih", 10, 18, 0, 1, -1)


def why_kafka_unhealthy(host: str | None, port: int | None, timeout_s: float = 1.0) -> str | None:
    """None when a broker answers there, else why not. Blocks for at most `timeout_s`."""
    try:
        with socket.create_connection((host or "", port or 0), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(_API_VERSIONS)
            answer = b""
            while len(answer) < 10:
                more = connection.recv(10 - len(answer))
                if not more:
                    return f"{host}:{port} hung up"
                answer += more
    except OSError as error:
        return f"{host}:{port} {error}"
    _, correlation, error_code = struct.unpack("!iih", answer)
    if correlation == 1 and error_code == 0:
        return None
    return f"{host}:{port} answers error {error_code}"
