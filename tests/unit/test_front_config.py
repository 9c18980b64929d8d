"""The settings of the HAProxy before gateways, and what Prometheus makes of what it counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from hemline.cli.__main__ import parser
from hemline.errors import InvalidInputError
from hemline.front_config import (
    BURST,
    NO_GATEWAY,
    RECOMMEND,
    TOO_MANY,
    FrontTls,
    front_config,
)
from hemline.front_metrics import RELABELLED
from hemline.gate import FEW, FEWER
from hemline.local.certificates import make_certificates
from hemline.local.front_server import front_spec
from hemline.local.ports import MOST_GATEWAYS, Ports
from hemline.local.prometheus_server import scrape_config
from promql import metric_names, rules

TLS = FrontTls(Path("/s.pem"), Path("/c.pem"), Path("/ca.pem"), "gateway.test")


def settings(tls: FrontTls | None = None, **more: int) -> str:
    return front_config("127.0.0.1:1", "127.0.0.1:2", ["server one 127.0.0.1:3"], tls, **more)


def limits(text: str) -> dict[str, int]:
    """Recommends of each gateway, by what the settings call the limit."""
    pattern = r"set-var\(txn\.(\w+)\) nbsrv\(recommends\),mul\((\d+)\)"
    return {name: int(most) for name, most in re.findall(pattern, text)}


def test_one_front_lets_in_what_a_gateway_s_gate_would() -> None:
    assert limits(settings()) == {"most": BURST, "few": FEW, "fewer": int(FEWER * FEW)}


@pytest.mark.parametrize("fronts", [2, 3, 100])
def test_several_fronts_share_what_is_let_in_and_none_has_nothing(fronts: int) -> None:
    alone, shared = limits(settings()), limits(settings(fronts=fronts))
    for name, most in alone.items():
        assert most <= shared[name] * fronts < most + fronts and shared[name] >= 1


def test_a_front_that_is_told_to_drain_says_for_how_long_and_another_does_not() -> None:
    assert "grace" not in settings() and "hard-stop-after" not in settings()
    assert "\n    grace 15s\n    hard-stop-after 30s\n" in settings(drain_s=15)


def test_with_tls_every_connection_is_mutual_and_without_none_is() -> None:
    assert " ssl " not in settings()
    text = settings(TLS)
    assert "bind 127.0.0.1:1 ssl crt /s.pem ca-file /ca.pem verify required alpn h2\n" in text
    (every_server,) = re.findall(r"default-server (.*)", text)
    assert "ssl crt /c.pem ca-file /ca.pem verify required verifyhost gateway.test" in every_server
    assert "proto h2" not in text, "HTTP/2 is agreed on, not taken for granted"


def test_certificates_that_haproxy_would_not_believe_are_refused_at_the_start(
    tmp_path: Path,
) -> None:
    made = make_certificates(tmp_path / "tls", hosts=["127.0.0.1"])
    with pytest.raises(InvalidInputError, match=r"server.pem is for no name, .*--host localhost"):
        front_spec(Path("haproxy"), Ports(7100, behind=2), made, tmp_path / "front")


def frames(call: bytes) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, stream, payload) of HTTP/2 frames (RFC 9113, 4.1)."""
    found = []
    while call:
        size = int.from_bytes(call[:3])
        found.append((call[3], call[4], int.from_bytes(call[5:9]), call[9 : 9 + size]))
        assert len(call) >= 9 + size, "the last frame is cut off"
        call = call[9 + size :]
    return found


def headers(block: bytes) -> dict[str, str]:
    """Of literals without Huffman's code, and of what is said by number alone (RFC 7541, 6)."""
    static = {
        1: ":authority",
        3: ":method: POST",
        4: ":path",
        6: ":scheme: http",
        31: "content-type",
    }
    found = {}

    def number(prefix: int) -> int:
        nonlocal block
        limit = (1 << prefix) - 1
        value, block = block[0] & limit, block[1:]
        if value == limit:
            value, block = value + block[0], block[1:]
            assert value < limit + 128
        return value

    def text() -> str:
        nonlocal block
        assert not block[0] & 0x80
        size = number(7)
        said, block = block[:size].decode(), block[size:]
        return said

    while block:
        if block[0] & 0x80:
            name, _, value = static[number(7)].rpartition(": ")
        else:
            assert block[0] & 0xF0 == 0, "a literal that is not remembered"
            index = number(4)
            name, value = (static[index] if index else text()), text()
        found[name] = value
    return found


def test_the_health_check_is_a_call_of_grpc_health() -> None:
    (sent,) = set(re.findall(r"send-binary (\w+)", settings()))
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    call = bytes.fromhex(sent)
    assert call.startswith(preface)
    (kind, _, stream, nothing), asked, data = frames(call.removeprefix(preface))
    assert (kind, stream, nothing) == (4, 0, b""), "SETTINGS come first"
    assert asked[:3] == (1, 4, 1) and headers(asked[3]) == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": "gateway",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    assert data[:3] == (0, 1, 1) and data[3] == message(health_pb2.HealthCheckRequest())


def test_the_health_check_waits_for_any_answer_and_takes_one() -> None:
    waited, taken = (bytes.fromhex(said) for said in _expected())
    for name, status in health_pb2.HealthCheckResponse.ServingStatus.items():
        answer = message(health_pb2.HealthCheckResponse(status=status))
        assert (waited in answer) == (name != "UNKNOWN"), "which has no byte to tell it by"
        assert (taken in answer) == (name == "SERVING")


def _expected() -> list[str]:
    both, one = "recommends", "others"
    of = {
        name: re.findall(r"expect (?:min-recv 1 )?binary (\w+)", text)
        for name, text in re.findall(r"backend (\w+)\n(.*?)(?=\n\n)", settings(), re.DOTALL)
    }
    assert of[both] == of[one]
    return of[both]


def message(said: health_pb2.HealthCheckRequest | health_pb2.HealthCheckResponse) -> bytes:
    """As gRPC sends it: not compressed, its length in four bytes."""
    body = said.SerializeToString()
    return b"\0" + len(body).to_bytes(4) + body


def relabelled(labels: dict[str, str]) -> dict[str, str] | None:
    """What Prometheus stores of a sample, by its `metric_relabel_configs`; None: nothing."""
    labels = dict(labels)
    for rule in RELABELLED:
        names = rule["source_labels"]
        assert isinstance(names, list)
        value = ";".join(labels.get(name, "") for name in names)
        matches = re.fullmatch(str(rule["regex"]), value) is not None
        if rule.get("action") == "keep":
            if not matches:
                return None
        elif matches:
            labels[str(rule["target_label"])] = str(rule["replacement"])
    return labels


@pytest.mark.parametrize(
    ("backend", "code"), [(TOO_MANY, "RESOURCE_EXHAUSTED"), (NO_GATEWAY, "UNAVAILABLE")]
)
def test_refusals_of_the_front_count_as_those_of_a_gateway(backend: str, code: str) -> None:
    counted = "haproxy_backend_http_requests_total"
    found = {"__name__": counted, "proxy": backend, "job": "hemline-front", "instance": "a:7200"}
    assert relabelled(found) == {
        "__name__": "hemline_requests_total",
        "proxy": backend,
        "job": "hemline-gateway",
        "instance": "a:7200",
        "method": RECOMMEND.removeprefix("/"),
        "code": code,
    }
    read = set().union(*(metric_names(rule["expr"]) for rule in rules()))
    assert "hemline_requests_total" in read, "the rules count calls by another name"
    handed_on = found | {"proxy": "recommends"}
    assert relabelled(handed_on) == handed_on, "gateways count these themselves"
    assert relabelled(found | {"__name__": "haproxy_process_uptime_seconds"}) is None


def test_prometheus_scrapes_the_front_and_all_gateways_behind_it() -> None:
    jobs = {
        job["job_name"]: job
        for job in scrape_config(Ports(7100, behind=2), split=False)["scrape_configs"]
    }
    front = jobs["hemline-front"]
    assert front["static_configs"] == [{"targets": ["127.0.0.1:7200"]}]
    assert front["metric_relabel_configs"] == RELABELLED
    gateways = jobs["hemline-gateway"]["static_configs"]
    assert gateways == [{"targets": ["127.0.0.1:7230", "127.0.0.1:7231"]}]
    alone = scrape_config(Ports(7100), split=False)["scrape_configs"]
    assert "hemline-front" not in [job["job_name"] for job in alone]


@pytest.mark.parametrize("wrong", ["0", "x", "-1", "65", "2.5"])
def test_a_number_of_gateways_that_cannot_be_is_refused(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["up", f"--gateways={wrong}"])
    said = capsys.readouterr().err
    assert f"--gateways: {wrong!r} is not a number from 1 to {MOST_GATEWAYS}" in said


def test_as_many_gateways_as_there_are_ports_for_are_taken() -> None:
    assert parser().parse_args(["up", "--gateways", str(MOST_GATEWAYS)]).gateways == MOST_GATEWAYS
    taken = Ports(7100, behind=MOST_GATEWAYS).all()
    assert len(taken) == len(set(taken))
