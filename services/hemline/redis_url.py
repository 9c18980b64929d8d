"""Where a Redis is and how to be let in, read from a URL and the environment.

redis://[USER@]HOST:PORT[/DB]                           one server; rediss:// with TLS
redis+sentinel://[USER@]HOST:PORT[,HOST:PORT]/SERVICE[/DB]   the master that the sentinels name
redis+cluster://[USER@]HOST:PORT[,HOST:PORT]            a Redis Cluster, found from these nodes
rediss+sentinel://, rediss+cluster://                   the same with TLS

Options, after a question mark: ssl_ca_certs, ssl_certfile, ssl_keyfile (paths). Passwords come from
HEMLINE_REDIS_PASSWORD and HEMLINE_REDIS_SENTINEL_PASSWORD: a URL is seen by everybody who can list
the machine's processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from hemline.errors import InvalidInputError

PASSWORD = "HEMLINE_REDIS_PASSWORD"
SENTINEL_PASSWORD = "HEMLINE_REDIS_SENTINEL_PASSWORD"
DEFAULT_PORT = {"server": 6379, "sentinel": 26379, "cluster": 6379}
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True)
class RedisAddress:
    """kind: server, sentinel or cluster. hosts: (host, port), one or more.

    service: what the sentinels call the master. username, password: "" for the default user, and
    for none. options: of TLS, by redis-py's names.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    db: int = 0
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """For messages; never with a password."""
        places = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return (
            f"Redis {self.service} of the sentinels {places}"
            if self.service
            else (f"Redis Cluster {places}" if self.kind == "cluster" else f"Redis {places}")
        )


def read_redis_url(url: str, environment: Mapping[str, str] = os.environ) -> RedisAddress:
    """The address in a URL. Raises InvalidInputError that says what is wrong with it."""
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    kind = kind or "server"
    if scheme not in ("redis", "rediss") or kind not in DEFAULT_PORT:
        raise _wrong(f"{parts.scheme}:// is none of redis, rediss, with +sentinel or +cluster")
    user, _, places = parts.netloc.rpartition("@")
    if ":" in user:
        raise _wrong(f"a password does not belong into a URL; put it into {PASSWORD}")
    hosts = tuple(_host(place, DEFAULT_PORT[kind]) for place in places.split(","))
    if kind == "server" and len(hosts) > 1:
        raise _wrong("several hosts need redis+sentinel:// or redis+cluster://")
    path = [part for part in parts.path.split("/") if part]
    service = path.pop(0) if kind == "sentinel" and path else ""
    if kind == "sentinel" and not service:
        raise _wrong("needs the master's name, e.g. redis+sentinel://HOST:26379/mymaster")
    if kind == "cluster" and path:
        raise _wrong("a Redis Cluster has no numbered databases")
    if len(path) > 1 or not all(part.isdecimal() for part in path):
        raise _wrong(f"{parts.path!r} is no database number")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in TLS_OPTIONS:
            raise _wrong(f"unknown option {name!r}; there are {', '.join(TLS_OPTIONS)}")
    if options and scheme == "redis":
        raise _wrong(f"{', '.join(options)} only means something with rediss://")
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        service=service,
        db=int(path[0]) if path else 0,
        tls=scheme == "rediss",
        username=unquote(user),
        password=environment.get(PASSWORD, ""),
        sentinel_password=environment.get(SENTINEL_PASSWORD, ""),
        options=options,
    )


def _host(place: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(f"{place!r} is no HOST:PORT") from error
    if not host:
        raise _wrong(f"{place!r} is no HOST:PORT")
    return host, port or default_port


def _wrong(reason: str) -> InvalidInputError:
    return InvalidInputError("users", reason)
