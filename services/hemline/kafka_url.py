"""The URL of a Kafka cluster: kafka://HOST:PORT[,HOST:PORT][?OPTION=VALUE&…]

security_protocol    PLAINTEXT (the default), SSL, SASL_PLAINTEXT or SASL_SSL
sasl_mechanism       PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
ssl_cafile           PEM file of the authorities to trust, instead of the system's
ssl_certfile, ssl_keyfile   PEM files of the client's own certificate, for mutual TLS
replication_factor   of the topics that Hemline creates; 1
session_timeout_ms   after which the partitions of a silent consumer go to another; 6000

Name and password come from HEMLINE_KAFKA_USERNAME and HEMLINE_KAFKA_PASSWORD: a URL is seen in
process lists and logs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from hemline.errors import InvalidInputError

USERNAME, PASSWORD = "HEMLINE_KAFKA_USERNAME", "HEMLINE_KAFKA_PASSWORD"
SCHEME = "kafka://"
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
_NUMBERS = ("replication_factor", "session_timeout_ms")


@dataclass(frozen=True)
class KafkaAddress:
    """servers: HOST:PORT each. security: the client's settings that concern it."""

    servers: tuple[str, ...]
    replication_factor: int = 1
    session_timeout_ms: int = 6_000
    security: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return ",".join(self.servers)


def parse_kafka_url(url: str, environment: Mapping[str, str] = os.environ) -> KafkaAddress:
    """Raises InvalidInputError naming the part of the URL that cannot be used."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise InvalidInputError(
            "log", f"a Kafka URL holds no name and password; set {USERNAME} and {PASSWORD}"
        )
    servers = tuple(server for server in parts.netloc.split(",") if server)
    if parts.scheme != "kafka" or not servers or parts.path.strip("/"):
        raise InvalidInputError("log", f"{url!r} is not kafka://HOST:PORT[,HOST:PORT][?OPTIONS]")
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal():
            raise InvalidInputError("log", f"{server!r} in {url!r} is not HOST:PORT")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = ("security_protocol", "sasl_mechanism", *_FILES, *_NUMBERS)
    for name in options:
        if name not in known:
            raise InvalidInputError(
                "log", f"unknown option {name!r} in a Kafka URL; there are {', '.join(known)}"
            )
    numbers = {name: _number(name, options[name]) for name in _NUMBERS if name in options}
    return KafkaAddress(servers, security=_security(options, environment), **numbers)


def _security(options: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    protocol = options.get("security_protocol", "PLAINTEXT")
    _one_of("security_protocol", protocol, _PROTOCOLS)
    settings = {"security_protocol": protocol}
    for name in _FILES:
        if name in options:
            if "SSL" not in protocol:
                raise InvalidInputError(
                    "log", f"{name} needs security_protocol SSL or SASL_SSL, not {protocol}"
                )
            settings[name] = options[name]
    mechanism = options.get("sasl_mechanism")
    if not protocol.startswith("SASL"):
        if mechanism is not None:
            raise InvalidInputError(
                "log", f"sasl_mechanism needs security_protocol SASL_SSL, not {protocol}"
            )
        return settings
    mechanism = mechanism or ""
    _one_of("sasl_mechanism", mechanism, _MECHANISMS)
    missing = [name for name in (USERNAME, PASSWORD) if not environment.get(name)]
    if missing:
        raise InvalidInputError("log", f"{protocol} needs {' and '.join(missing)} to be set")
    return settings | {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": environment[USERNAME],
        "sasl_plain_password": environment[PASSWORD],
    }


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidInputError("log", f"{name} is {value!r}; it is one of {', '.join(allowed)}")


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InvalidInputError("log", f"{name} is {text!r}; it is a whole number from 1")
    return int(text)
