"""What HAProxy counts, under the names that alerts and dashboards know.

A Recommend that the front refuses never reaches a gateway, and must count against what we promise
all the same. So Prometheus stores the front's two refusals as what a gateway would have counted.
The rules are Prometheus's `metric_relabel_configs`.
"""

from __future__ import annotations

from hemline.front_config import NO_GATEWAY, RECOMMEND, TOO_MANY

_COUNTED = "haproxy_backend_http_requests_total"
_KEPT = f"{_COUNTED}|haproxy_server_status|haproxy_frontend_current_sessions"


def _when(backend: str, label: str, value: str) -> dict[str, object]:
    return {
        "source_labels": ["__name__", "proxy"],
        "regex": f"{_COUNTED};{backend}",
        "target_label": label,
        "replacement": value,
    }


def _refusals(backend: str, code: str) -> list[dict[str, object]]:
    said = {"method": RECOMMEND.removeprefix("/"), "code": code, "job": "hemline-gateway"}
    rules = [_when(backend, label, value) for label, value in said.items()]
    # The name is last, for it is what the others look for.
    return [*rules, _when(backend, "__name__", "hemline_requests_total")]


RELABELLED: list[dict[str, object]] = [
    {"source_labels": ["__name__"], "regex": _KEPT, "action": "keep"},
    *_refusals(TOO_MANY, "RESOURCE_EXHAUSTED"),
    *_refusals(NO_GATEWAY, "UNAVAILABLE"),
]
