"""What must hold between the front's manifests and its settings; sentences about what does not.

The settings are HAProxy's own language, so that the words looked for here are few: `bind`, the
pages of its metrics port, `server-template`, and what it does when it is told to stop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from k8s_objects import (
    Object,
    main_container,
    name_of,
    named_ports,
    of_kind,
    pod_labels,
    pod_spec,
    selects,
)

PROGRAM = "haproxy"
NAME = "hemline-front"
_BINDS = re.compile(r"^frontend (\w+)\n    bind \*:(\d+)", re.MULTILINE)
_PAGES = re.compile(r"(?:monitor-uri (/\w+)|if \{ path (/\w+) \})")
_SERVERS = re.compile(r'server-template gateway 1-(\d+) "([\w.${}-]+):(\d+)" resolvers (\w+)')


def settings(objects: list[Object]) -> str:
    """haproxy.cfg as the pods get it; "" where they get none."""
    for workload in of_kind(objects, "Deployment"):
        if workload["metadata"]["name"] == NAME:
            names = [v["configMap"]["name"] for v in pod_spec(workload)["volumes"]]
            for found in of_kind(objects, "ConfigMap"):
                if found["metadata"]["name"] in names:
                    return str(found["data"]["haproxy.cfg"])
    return ""


def listens(objects: list[Object]) -> dict[str, int]:
    binds = {frontend: int(port) for frontend, port in _BINDS.findall(settings(objects))}
    return {"grpc": binds.get("gateway", 0), "metrics": binds.get("metrics", 0)}


def probes(objects: list[Object], workload: Object) -> Iterator[str]:
    """They ask for pages that are there, and only readiness for one that a gateway can fail."""
    container, where = main_container(workload), name_of(workload)
    pages = {first or second for first, second in _PAGES.findall(settings(objects))}
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked: dict[str, Any] = container.get(kind, {}).get("httpGet", {})
        if asked.get("path") not in pages or asked.get("port") != "metrics":
            yield f"{where}: {kind} asks for {asked.get('path')}, which is no page of HAProxy's"
        elif (asked["path"] == "/ready") != (kind == "readinessProbe"):
            yield f"{where}: the {kind} may fail because of another process"
    if "metrics" not in named_ports(container):
        yield f"{where} has no port metrics for its probes"


def calls(objects: list[Object]) -> Iterator[tuple[str, str, str, int]]:
    """As `k8s_checks.targets` wants it: where the front finds gateways."""
    for _, name, port, _ in _SERVERS.findall(settings(objects)):
        service, _, rest = name.partition(".")
        if rest == "${NAMESPACE}.svc.cluster.local":
            yield "server-template", f"{name}:{port}", service, int(port)


def shutdown(objects: list[Object], workload: Object) -> Iterator[str]:
    """It drains first, and Kubernetes waits until that and the calls under way are over."""
    text, where = settings(objects), name_of(workload)
    seconds = [re.search(rf"^    {word} (\d+)s$", text, re.M) for word in _STOPS]
    drain_s, finish_s = (int(found[1]) if found else 0 for found in seconds)
    if drain_s < 5:
        yield f"{where} does not drain before it stops"
    if pod_spec(workload).get("terminationGracePeriodSeconds", 30) <= drain_s + finish_s:
        yield f"{where} is killed before it has drained and stopped"


_STOPS = ("grace", "hard-stop-after")


def policies(objects: list[Object]) -> Iterator[str]:
    """With a front, callers go through it: a policy lets nobody else in to the gateways."""
    if not settings(objects):
        return
    gateway = {"app.kubernetes.io/name": "hemline-gateway"}
    for policy in of_kind(objects, "NetworkPolicy"):
        if selects(policy["spec"]["podSelector"], gateway):
            for rule in policy["spec"].get("ingress") or ():
                for peer in rule["from"]:
                    named = peer.get("podSelector", {}).get("matchLabels", {})
                    if rule["ports"] == [{"port": "grpc"}] and named != {_LABEL: NAME}:
                        yield f"{name_of(policy)} lets callers past the front"
    for service in of_kind(objects, "Service"):
        if service["metadata"]["name"] == "hemline" and not all(
            pod_labels(workload)[_LABEL] == NAME
            for workload in of_kind(objects, "Deployment")
            if selects({"matchLabels": service["spec"]["selector"]}, pod_labels(workload))
        ):
            yield "Service hemline leads past the front"


_LABEL = "app.kubernetes.io/name"


def most_gateways(objects: list[Object]) -> int:
    """So many gateways it can know at a time."""
    (found,) = {int(most) for most, _, _, _ in _SERVERS.findall(settings(objects))}
    return found
