"""HAProxy's settings before several gateways: one address, and too many Recommends refused cheaply.

A gateway answers on one core. HAProxy before N of them gives each call to the one with the fewest
under way, asks another when one has died, and sends nothing to one that drains. A gateway that has
to refuse needs C-core, Python and its interpreter's lock for it, 0.11 ms of the core that answers;
HAProxy needs a third of that, on any core.

It refuses as `hemline.gate` does, and for its reasons: bursts are let in; when one was too large,
few are let in at a time, until for CROWD_MS nobody had to be refused, and fewer while most are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from hemline.gate import FEW, FEWER, MANY_REFUSED
from hemline.taking_calls import REFUSED

# A client that watches health would hear of one gateway alone, and leave all of them with it. Told
# that there is no such method, it takes the front to be well as long as there is a connection.
WATCH = "/grpc.health.v1.Health/Watch"
RECOMMEND = "/hemline.v1.RecommenderService/Recommend"
BURST = 24  # Recommends at a time of each gateway
CROWD_MS = 100
TOO_MANY = "too_many_recommends"  # the backend of those that are refused: its requests are counted
NO_GATEWAY = "no_gateway"  # of those that nobody could answer
SILENT = "1h"  # so long a connection may be idle, and a stream without a message
MOST_FILES = 16_384  # open at a time; HAProxy takes memory for all that it may open
FINISH_S = 30  # calls may take so long that are under way when a front has drained


@dataclass(frozen=True)
class FrontTls:
    """PEM files: the certificate shown to callers, with its key; the one shown to gateways, with
    its key; the CA of both gateways' and callers' certificates. gateway: the name in those of
    gateways, a DNS name: HAProxy compares no addresses."""

    server: Path
    client: Path
    ca: Path
    gateway: str


def front_config(
    listen: str,
    metrics: str,
    gateways: Sequence[str],
    tls: FrontTls | None = None,
    fronts: int = 1,
    drain_s: int = 0,
    resolvers: str = "",
) -> str:
    """haproxy.cfg.

    listen, metrics: HOST:PORT, of calls, and of metrics, /ready and /alive. gateways: lines
    `server …` or `server-template …` without what all have in common. tls: with it every
    connection is mutual TLS. fronts: so many share these gateways, and what is let in. drain_s:
    told to stop (SIGUSR1), it takes calls for so long, but is not ready. resolvers: the section of
    that name, for gateways that are found by a name.
    """
    bind = f"{listen} ssl crt {tls.server} ca-file {tls.ca} verify required" if tls else listen
    speak = "alpn h2" if tls else "proto h2"
    to = speak
    if tls:
        to += f" ssl crt {tls.client} ca-file {tls.ca} verify required verifyhost {tls.gateway}"
    servers = "\n".join(f"    {line}" for line in gateways)

    def share(most: int) -> int:
        return ceil(most / fronts)

    return f"""\
# Written by hemline.front_config.

global
    log stderr format raw local0 notice
    nbthread 1
    fd-hard-limit {MOST_FILES}
{_drain(drain_s)}    tune.h2.max-concurrent-streams 1000

defaults
    mode http
    timeout connect 500ms
    timeout http-request 10s
    timeout http-keep-alive {SILENT}
    timeout client {SILENT}
    timeout server {SILENT}
    timeout check 1s
    balance leastconn
    http-reuse always
    retries 3
    option redispatch 1
    default-server {to} check inter 500ms fastinter 100ms fall 1 rise 1

{resolvers}frontend gateway
    bind {bind} {speak}
    acl recommend path {RECOMMEND}
    http-request track-sc0 int(1) table crowd if recommend
    http-request set-var(txn.most) nbsrv(recommends),mul({share(BURST)}) if recommend
    http-request set-var(txn.few) nbsrv(recommends),mul({share(FEW)}) if recommend
    http-request set-var(txn.fewer) nbsrv(recommends),mul({share(int(FEWER * FEW))}) if recommend
    http-request set-var(txn.many) sc0_http_req_rate,mul({round(100 * MANY_REFUSED)}),div(100) \
if recommend
    acl beyond_most be_conn(recommends),sub(txn.most) ge 0
    acl beyond_few be_conn(recommends),sub(txn.few) ge 0
    acl beyond_fewer be_conn(recommends),sub(txn.fewer) ge 0
    acl crowd sc0_gpc0_rate gt 0
    acl most_refused sc0_gpc0_rate,sub(txn.many) gt 0
    http-request set-var(txn.refused) bool(true) if recommend beyond_most
    http-request set-var(txn.refused) bool(true) if recommend crowd beyond_few
    http-request set-var(txn.refused) bool(true) if recommend most_refused beyond_fewer
    acl refused var(txn.refused) -m bool
    http-request sc-inc-gpc0(0) if refused
    use_backend unwatched if {{ path {WATCH} }}
    # One that stops counts no gateways any more: what still comes, it hands on.
    use_backend {NO_GATEWAY} if {{ nbsrv(recommends) eq 0 }} !{{ stopping }}
    use_backend {TOO_MANY} if refused !{{ stopping }}
    use_backend recommends if recommend
    default_backend others

backend crowd
    stick-table type integer size 1 expire 1m store \
gpc0_rate({CROWD_MS}ms),http_req_rate({CROWD_MS}ms)

backend {TOO_MANY}
{_refusal(_RESOURCE_EXHAUSTED, REFUSED)}

backend {NO_GATEWAY}
{_refusal(_UNAVAILABLE, "no gateway is up; try again later")}

backend unwatched
{_refusal(_UNIMPLEMENTED, "the front watches the gateways")}

backend recommends
    log global
    retry-on conn-failure empty-response
{_health_check()}
{servers}

backend others
{_health_check()}
{servers}

frontend metrics
    bind {metrics}
    monitor-uri /ready
    monitor fail if {{ nbsrv(recommends) eq 0 }} or {{ stopping }}
    http-request return status 200 if {{ path /alive }}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 404
"""


_RESOURCE_EXHAUSTED, _UNIMPLEMENTED, _UNAVAILABLE = 8, 12, 14


def _drain(drain_s: int) -> str:
    if not drain_s:
        return ""
    return f"""\
    grace {drain_s}s
    hard-stop-after {FINISH_S}s
"""


def _refusal(status: int, message: str) -> str:
    """An answer of nothing but a status, which gRPC calls "Trailers-Only"."""
    return f"""\
    http-request return status 200 hdr grpc-status {status} hdr grpc-message "{message}"
    http-after-response set-header content-type application/grpc"""


def _health_check() -> str:
    """grpc.health.v1.Health/Check of the whole server, as HTTP/2 frames (RFC 9113, RFC 7541).

    The answer is waited for first, then judged: NOT_SERVING alone would be waited out.
    """
    return f"""\
    option tcp-check
    tcp-check send-binary {_health_call().hex()}
    tcp-check expect binary {_ANSWER.hex()}
    tcp-check expect min-recv 1 binary {_SERVING.hex()}"""


_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_ANSWER = b"\x00\x00\x00\x00\x02\x08"  # a HealthCheckResponse as a gRPC message, but its status
_SERVING = _ANSWER + b"\x01"


def _health_call() -> bytes:
    literal = b"\x83\x86"  # of HPACK's static table: :method POST, :scheme http
    literal += b"\x04" + _string(b"/grpc.health.v1.Health/Check")  # :path
    literal += b"\x01" + _string(b"gateway")  # :authority
    literal += b"\x0f\x10" + _string(b"application/grpc")  # content-type
    literal += b"\x00" + _string(b"te") + _string(b"trailers")
    no_request = b"\x00" * 5  # a message of no bytes: all services
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, literal)
        + _frame(_DATA, _END_STREAM, 1, no_request)
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _string(text: bytes) -> bytes:
    return bytes((len(text),)) + text  # not Huffman coded, shorter than 127
