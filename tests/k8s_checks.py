"""What must hold between the manifests of deploy/k8s and the code; sentences about what does not.

Kubernetes' own schemas know nothing of Hemline: a misspelt setting, a port nobody listens on, a
probe of a service that does not exist are all valid YAML. Each check yields the faults it finds.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

import k8s_front
import promql
from hemline import rpc
from hemline.cli.__main__ import parser
from k8s_objects import (
    K8S,
    Container,
    Object,
    containers,
    environment,
    literal,
    main_container,
    name_of,
    named_ports,
    of_kind,
    pod_labels,
    pod_spec,
    selects,
    workloads,
)

SERVICES = Path(__file__).parents[1] / "services" / "hemline"
STOP_S = {"python": 5.0, "triton": 10.0}  # rpc.Server.stop, and Triton's --exit-timeout-secs
RELEASE_TOOL = "hemline-release-tool"
MAY_REACH_TRITON = {"hemline-gateway", "hemline-updater", "hemline-indexer", RELEASE_TOOL}
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY_ID|_KEY$")
_VARIABLE = re.compile(r"\$\(([A-Z_]+)\)")
_TARGET = re.compile(r"dns:///([a-z0-9-]+):(\d+)")


def faults(objects: list[Object]) -> list[str]:
    """Everything that is wrong with a rendered overlay."""
    checks = (commands, settings, ports, probes, images, resources, hardening, secrets, volumes)
    checks += (budgets, autoscalers, monitors, policies, targets, shutdown)
    return [fault for check in checks for fault in check(objects)]


def started_module(container: Container) -> str | None:
    """The module that `python -m MODULE` runs, or None for another command."""
    command = container["command"]
    return command[2] if command[0].startswith("python") and command[1] == "-m" else None


def config_of(module: str) -> Any:
    """The Config dataclass of a process."""
    package = importlib.util.find_spec(module)
    is_package = package is not None and package.submodule_search_locations is not None
    return importlib.import_module(f"{module}.__main__" if is_package else module).Config


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def commands(objects: list[Object]) -> Iterator[str]:
    """Modules, verbs and flags exist, and every $(VARIABLE) has a value."""
    for where, container in containers(objects):
        module, command = started_module(container), container["command"]
        if command[0] == k8s_front.PROGRAM:
            continue
        if module is not None and not _exists(module):
            yield f"{where}: there is no module {module}"
        elif module is None and command[0] != "hemline":
            yield f"{where}: {command[0]!r} is neither python -m nor hemline"
        elif module is None:
            for variable in _VARIABLE.findall(" ".join(command)):
                if variable not in environment(container):
                    yield f"{where}: $({variable}) is not set"
            said = io.StringIO()
            try:
                with contextlib.redirect_stderr(said):
                    parser().parse_args(command[1:])
            except SystemExit:
                yield f"{where}: {' '.join(command)}: {said.getvalue().splitlines()[-1]}"


def _names_read_by_the_code() -> set[str]:
    text = "\n".join(path.read_text() for path in SERVICES.rglob("*.py"))
    return set(re.findall(r'"(HEMLINE_[A-Z_]+)"', text))


def settings(objects: list[Object]) -> Iterator[str]:
    """HEMLINE_* are fields of the process's Config, or read elsewhere; none it needs is missing."""
    for where, container in containers(objects):
        module = started_module(container)
        if module is None or not _exists(module):
            continue
        config, given = config_of(module), environment(container)
        known = {f"HEMLINE_{setting.name.upper()}": setting for setting in fields(config)}
        hints = get_type_hints(config)
        for name in given:
            if not name.startswith("HEMLINE_"):
                continue
            if name not in known and name not in _names_read_by_the_code():
                yield f"{where}: {module} has no setting {name}"
            value = literal(container, name)
            if name in known and value is not None and hints[known[name].name] in (int, float):
                try:
                    float(value)
                except ValueError:
                    yield f"{where}: {name} is {value!r}, which is no number"
        for name, setting in known.items():
            if setting.default is MISSING and name not in given:
                yield f"{where}: {module} needs {name}"


def ports(objects: list[Object]) -> Iterator[str]:
    """A container's ports are those it listens on, and its services lead there."""
    for workload in workloads(objects):
        container, where = main_container(workload), name_of(workload)
        is_front = container["command"][0] == k8s_front.PROGRAM
        listens = k8s_front.listens(objects) if is_front else _listens(container)
        for name, port in named_ports(container).items():
            if listens.get(name) != port:
                yield f"{where}: port {name} is {port}, the process listens on {listens.get(name)}"
    for service in of_kind(objects, "Service"):
        chosen = _chosen(objects, service["spec"]["selector"])
        if not chosen:
            yield f"{name_of(service)} selects no pods"
        for port in service["spec"]["ports"]:
            for workload in chosen:
                there = named_ports(main_container(workload)).get(port["targetPort"])
                if there is None or there != port["port"]:
                    yield f"{name_of(service)}: {port['targetPort']} {port['port']} is not open"


def _listens(container: Container) -> dict[str, int]:
    """Where the process listens: what the environment says, else its Config."""
    module = str(started_module(container))
    if not _exists(module):
        return {}  # `commands` says so
    config = config_of(module)
    defaults = {setting.name: setting.default for setting in fields(config)}

    def setting(name: str) -> str:
        return literal(container, f"HEMLINE_{name.upper()}") or str(defaults[name])

    grpc = setting("address").rpartition(":")[2] if "address" in defaults else setting("grpc_port")
    return {"grpc": int(grpc), "metrics": int(setting("metrics_port"))}


def _chosen(objects: list[Object], labels: dict[str, str]) -> list[Object]:
    selector = {"matchLabels": labels}
    return [workload for workload in workloads(objects) if selects(selector, pod_labels(workload))]


def probes(objects: list[Object]) -> Iterator[str]:
    """All three are there and ask what exists; liveness asks the process about itself alone."""
    for workload in workloads(objects):
        container, where = main_container(workload), name_of(workload)
        if container["command"][0] == k8s_front.PROGRAM:
            yield from k8s_front.probes(objects, workload)
            continue
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container.get(kind)
            if probe is None:
                yield f"{where} has no {kind}"
                continue
            asked = probe.get("grpc")
            if asked and asked["port"] != named_ports(container).get("grpc"):
                yield f"{where}: {kind} asks port {asked['port']}, where no gRPC is"
            if asked and asked.get("service", "") not in ("", rpc.LIVENESS):
                yield f"{where}: {kind} asks for the health of {asked['service']!r}, unknown there"
            if not asked:
                module = probe.get("exec", {}).get("command", ["", "", "nothing"])[2]
                if not _exists(module):
                    yield f"{where}: {kind} runs {module}, which does not exist"
        alive = container.get("livenessProbe", {})
        of_itself = alive.get("grpc", {}).get("service") == rpc.LIVENESS
        own_models = (
            alive.get("exec", {}).get("command", [])[-1:] == ["hemline.triton_probe"]
            and "HEMLINE_TRITON" not in environment(container)  # the default is loopback
        )
        if not (of_itself or own_models):
            yield f"{where}: the liveness probe may fail because of another process"


def images(objects: list[Object]) -> Iterator[str]:
    for where, container in containers(objects):
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in container["image"] and tag in ("", "latest"):
            yield f"{where}: image {container['image']} is not pinned"


def resources(objects: list[Object]) -> Iterator[str]:
    for where, container in containers(objects):
        for kind in ("requests", "limits"):
            for what in ("cpu", "memory"):
                if what not in container.get("resources", {}).get(kind, {}):
                    yield f"{where} has no {what} in its {kind}"


def hardening(objects: list[Object]) -> Iterator[str]:
    """Pods fit the `restricted` Pod Security Standard, write to volumes only, and hold no token."""
    for workload in workloads(objects):
        spec, where = pod_spec(workload), name_of(workload)
        context = spec.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser"):
            yield f"{where} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{where} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{where} mounts a token for the Kubernetes API"
        account = spec.get("serviceAccountName")
        accounts = [found["metadata"]["name"] for found in of_kind(objects, "ServiceAccount")]
        if account not in accounts:
            yield f"{where}: there is no service account {account}"
    for where, container in containers(objects):
        context = container.get("securityContext", {})
        if context.get("readOnlyRootFilesystem") is not True:
            yield f"{where} can write to its root file system"
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{where} may gain privileges"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{where} keeps capabilities"


def secrets(objects: list[Object]) -> Iterator[str]:
    """Secrets are referred to, never written down, and every reference is in the example."""
    for found in of_kind(objects, "Secret"):
        yield f"{name_of(found)} is written down"
    example = yaml.safe_load_all((K8S / "examples" / "secrets.yaml").read_text())
    known = {found["metadata"]["name"]: set(found["stringData"]) for found in example}
    known["hemline-cluster-ca-cert"] = {"ca.crt"}  # Strimzi's

    def unknown(where: str, name: str, key: str) -> Iterator[str]:
        if key not in known.get(name, set()):
            yield f"{where} refers to {key} of secret {name}, which examples/secrets.yaml lacks"

    for where, container in containers(objects):
        for name, variable in environment(container).items():
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if _SECRET_NAME.search(name) and not reference:
                yield f"{where}: {name} is not taken from a secret"
            if reference:
                yield from unknown(where, reference["name"], reference["key"])
            setting = variable.get("valueFrom", {}).get("configMapKeyRef")
            if setting and setting["key"] not in _config_map(objects, setting["name"]):
                yield f"{where}: {setting['key']} is not in config map {setting['name']}"
    for workload in workloads(objects):
        for volume in pod_spec(workload).get("volumes", ()):
            for item in volume.get("secret", {}).get("items", ()):
                yield from unknown(name_of(workload), volume["secret"]["secretName"], item["key"])


def _config_map(objects: list[Object], name: str) -> dict[str, str]:
    maps = {found["metadata"]["name"]: found["data"] for found in of_kind(objects, "ConfigMap")}
    return dict(maps.get(name, {}))


def volumes(objects: list[Object]) -> Iterator[str]:
    """What is mounted is there, and settings that name a file name a mounted one."""
    for workload in workloads(objects):
        spec = pod_spec(workload)
        there = {volume["name"] for volume in spec.get("volumes", ())}
        claims = workload["spec"].get("volumeClaimTemplates", ())
        there |= {claim["metadata"]["name"] for claim in claims}
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            mounts = container.get("volumeMounts", ())
            for mount in mounts:
                if mount["name"] not in there:
                    yield f"{name_of(workload)} mounts {mount['name']}, which it does not have"
            for name in environment(container):
                path = literal(container, name) or ""
                if path.startswith("/") and not any(
                    path.startswith(f"{mount['mountPath']}/") for mount in mounts
                ):
                    yield f"{name_of(workload)}: {name} is {path}, and nothing is mounted there"


def budgets(objects: list[Object]) -> Iterator[str]:
    """Every workload has one budget, and every budget a workload."""
    disruption = of_kind(objects, "PodDisruptionBudget")
    for workload in workloads(objects):
        matching = [
            found
            for found in disruption
            if selects(found["spec"]["selector"], pod_labels(workload))
        ]
        if len(matching) != 1:
            yield f"{name_of(workload)} has {len(matching)} disruption budgets"
    for found in disruption:
        if not any(
            selects(found["spec"]["selector"], pod_labels(workload))
            for workload in workloads(objects)
        ):
            yield f"{name_of(found)} matches no pods"


def autoscalers(objects: list[Object]) -> Iterator[str]:
    """Targets exist and leave their replicas alone; metrics of pods are made by the adapter."""
    there = {(found["kind"], found["metadata"]["name"]): found for found in workloads(objects)}
    scaled = set()
    for found in of_kind(objects, "HorizontalPodAutoscaler"):
        target = found["spec"]["scaleTargetRef"]
        key = (target["kind"], target["name"])
        scaled.add(key)
        if key not in there:
            yield f"{name_of(found)} scales {' '.join(key)}, which does not exist"
        elif "replicas" in there[key]["spec"]:
            yield f"{name_of(found)} and {' '.join(key)} both set the replicas"
        for metric in found["spec"]["metrics"]:
            wanted = metric.get("pods", {}).get("metric", {}).get("name")
            if wanted is not None and wanted not in adapter_metrics():
                yield f"{name_of(found)}: no rule makes {wanted}"
    for key, workload in there.items():
        if key not in scaled and workload["spec"].get("replicas", 1) < 2:
            yield f"{' '.join(key)} has one pod, and nothing scales it"


def adapter_metrics(file: Path = K8S / "prometheus-adapter.yaml") -> set[str]:
    """The metrics that prometheus-adapter makes for autoscalers."""
    rules = yaml.safe_load(file.read_text())["rules"]["custom"]
    return {rule["name"]["as"] for rule in rules}


def adapter_faults(text: str) -> Iterator[str]:
    """Series that a configuration of prometheus-adapter reads and Triton does not have."""
    known = set(promql.TRITON_METRICS.read_text().split())
    for rule in yaml.safe_load(text)["rules"]["custom"]:
        for name in re.findall(r"nv_\w+", rule["seriesQuery"] + rule["metricsQuery"]):
            if name not in known:
                yield f"{rule['name']['as']} reads {name}, which Triton does not have"


def monitors(objects: list[Object]) -> Iterator[str]:
    """Every workload is scraped once, at a port that is there."""
    services = of_kind(objects, "Service")
    scraped: list[str] = []
    for monitor in of_kind(objects, "ServiceMonitor"):
        for service in services:
            if not selects(monitor["spec"]["selector"], service["metadata"].get("labels", {})):
                continue
            names = {port["name"] for port in service["spec"]["ports"]}
            for endpoint in monitor["spec"]["endpoints"]:
                if endpoint["port"] not in names:
                    yield f"{name_of(service)} has no port {endpoint['port']} to scrape"
            chosen = _chosen(objects, service["spec"]["selector"])
            scraped += [name_of(workload) for workload in chosen]
    for workload in workloads(objects):
        if scraped.count(name_of(workload)) != 1:
            yield f"{name_of(workload)} is scraped {scraped.count(name_of(workload))} times"


def policies(objects: list[Object]) -> Iterator[str]:
    """Nothing passes by default, callers of a process are named, and Triton's are three."""
    yield from k8s_front.policies(objects)
    all_policies = of_kind(objects, "NetworkPolicy")
    for workload in workloads(objects):
        mine = [
            found["spec"]
            for found in all_policies
            if selects(found["spec"]["podSelector"], pod_labels(workload))
        ]
        if not any(
            set(policy["policyTypes"]) == {"Ingress", "Egress"}
            and not policy.get("ingress")
            and not policy.get("egress")
            for policy in mine
        ):
            yield f"{name_of(workload)}: no policy denies by default"
        for policy in mine:
            for rule in policy.get("ingress") or ():
                if not rule.get("from") or not rule.get("ports"):
                    yield f"{name_of(workload)}: a policy lets anybody in, or in everywhere"
    for policy in all_policies:
        triton = {"app.kubernetes.io/name": "hemline-triton"}
        if policy["spec"]["podSelector"].get("matchLabels") == triton:
            named = {
                peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
                for rule in policy["spec"]["ingress"]
                for peer in rule["from"]
            }
            if named != MAY_REACH_TRITON:
                yield f"{', '.join(sorted(named ^ MAY_REACH_TRITON))}: wrong about reaching Triton"


def targets(objects: list[Object]) -> Iterator[str]:
    """Who calls whom: the service is there and headless, and policies let the call out and in."""
    services = {found["metadata"]["name"]: found for found in of_kind(objects, "Service")}
    for caller in workloads(objects):
        for called_by, target, name, port in _calls(objects, caller):
            where = f"{name_of(caller)}: {called_by} is {target}"
            service = services.get(name)
            if service is None or port not in [p["port"] for p in service["spec"]["ports"]]:
                yield f"{where}, and no service has that port"
                continue
            if service["spec"].get("clusterIP") != "None":
                yield f"{where}, which is not headless: calls would not be balanced"
            called = pod_labels(_chosen(objects, service["spec"]["selector"])[0])
            if not _passes(objects, pod_labels(caller), called, port, "egress"):
                yield f"{where}, and no policy lets that call out"
            if not _passes(objects, called, pod_labels(caller), port, "ingress"):
                yield f"{where}, and no policy lets that call in"


def _calls(objects: list[Object], caller: Object) -> Iterator[tuple[str, str, str, int]]:
    """What a workload calls: the setting that says so, its value, the service and its port."""
    container = main_container(caller)
    if container["command"][0] == k8s_front.PROGRAM:
        yield from k8s_front.calls(objects)
    for variable in environment(container):
        if found := _TARGET.fullmatch(literal(container, variable) or ""):
            yield variable, found[0], found[1], int(found[2])


def _passes(
    objects: list[Object], mine: dict[str, str], other: dict[str, str], port: int, way: str
) -> bool:
    """Whether a policy of the pods `mine` allows traffic with `other` on a port."""
    peers = "to" if way == "egress" else "from"
    return any(
        selects(peer.get("podSelector", {"matchLabels": {"": "nobody"}}), other)
        and {"port": port} in rule["ports"] + [{"port": port}] * ({"port": "grpc"} in rule["ports"])
        for policy in of_kind(objects, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], mine)
        for rule in policy["spec"].get(way) or ()
        for peer in rule.get(peers, ())
    )


def shutdown(objects: list[Object]) -> Iterator[str]:
    """Who answers calls drains first, and Kubernetes waits until that and the stop are over."""
    called = {
        name for caller in workloads(objects) for _, _, name, _ in _calls(objects, caller)
    } | {"hemline-gateway"}
    for workload in workloads(objects):
        container, where = main_container(workload), name_of(workload)
        if container["command"][0] == k8s_front.PROGRAM:
            yield from k8s_front.shutdown(objects, workload)
            continue
        before = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        drain_s = float(before[-1]) if before else _seconds(container, "HEMLINE_DRAIN_S")
        stop_s = STOP_S["triton" if "triton" in where else "python"]
        if workload["metadata"]["name"] in called and drain_s < 5:
            yield f"{where} does not drain before it stops"
        if pod_spec(workload).get("terminationGracePeriodSeconds", 30) <= drain_s + stop_s:
            yield f"{where} is killed before it has drained and stopped"


def _seconds(container: Container, variable: str) -> float:
    try:
        return float(literal(container, variable) or 0)
    except ValueError:
        return 0.0  # `settings` says that it is no number
