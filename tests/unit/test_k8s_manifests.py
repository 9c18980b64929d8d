"""The manifests render, are what Kubernetes takes, and say nothing that the code does not have."""

from __future__ import annotations

import copy
import importlib.util
import os
import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import k8s_front
from hemline.kafka_url import PASSWORD, USERNAME, KafkaAddress, parse_kafka_url
from hemline.local.front_server import install_haproxy
from hemline.releases import RELEASE_ID
from hemline.topics import TOPICS
from hemline.updater.update import GROUP
from k8s_checks import adapter_faults, faults
from k8s_objects import (
    K8S,
    OVERLAYS,
    Container,
    Object,
    containers,
    literal,
    main_container,
    name_of,
    of_kind,
    pod_spec,
    render,
    workloads,
)

OLDEST, NEWEST = "1.29", "1.37"  # of Kubernetes
# Kinds of operators: their schemas are not Kubernetes'; the fields used were compared by hand with
# the operators' definitions, and these are the ones that may be used.
OPERATORS: dict[tuple[str, str], set[str]] = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {"jobLabel", "selector", "endpoints"},
    ("monitoring.coreos.com/v1", "PrometheusRule"): {"groups"},
    ("kafka.strimzi.io/v1", "Kafka"): {"kafka", "entityOperator"},
    ("kafka.strimzi.io/v1", "KafkaNodePool"): {"replicas", "roles", "storage", "resources"},
    ("kafka.strimzi.io/v1", "KafkaTopic"): {"partitions", "replicas", "config"},
    ("kafka.strimzi.io/v1", "KafkaUser"): {"authentication", "authorization"},
}


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    return {name: render(f"overlays/{name}") for name in OVERLAYS} | {"kafka": render("kafka")}


def everything(rendered: dict[str, list[Object]]) -> list[Object]:
    return [found for objects in rendered.values() for found in objects]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid_for_kubernetes(
    rendered: dict[str, list[Object]], version: str
) -> None:
    for found in everything(rendered):
        if (found["apiVersion"], found["kind"]) in OPERATORS:
            continue
        kubernetes_validate.validate(found, version, strict=True)


def test_objects_of_operators_use_the_fields_that_were_compared(
    rendered: dict[str, list[Object]],
) -> None:
    seen = set()
    for found in everything(rendered):
        allowed = OPERATORS.get((found["apiVersion"], found["kind"]))
        if allowed is not None:
            seen.add((found["apiVersion"], found["kind"]))
            assert set(found["spec"]) <= allowed, name_of(found)
    assert seen == set(OPERATORS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_and_code_agree(rendered: dict[str, list[Object]], overlay: str) -> None:
    assert faults(rendered[overlay]) == []


def test_the_six_processes_are_there_and_what_is_in_front_of_them(
    rendered: dict[str, list[Object]],
) -> None:
    names = {workload["metadata"]["name"].split("-")[1] for workload in workloads(rendered["cpu"])}
    assert names == {"front", "gateway", "retrieval", "reranker", "updater", "indexer", "triton"}


def test_the_front_is_left_out_by_leaving_its_component_out(
    rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    overlay = (K8S / "overlays" / "cpu" / "kustomization.yaml").read_text()
    without = overlay.replace("components: [../../front]\n", "")
    assert without != overlay
    base = os.path.relpath(K8S / "base", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(without.replace("../../base", base))
    objects = render(str(tmp_path))
    assert faults(objects) == []
    named = {name_of(found) for found in rendered["cpu"]} - {name_of(found) for found in objects}
    assert all("hemline-front" in name for name in named) and len(named) == 7
    assert spec_of(objects, "Service", "hemline")["selector"] == {
        "app.kubernetes.io/name": "hemline-gateway"
    }


def test_the_front_s_files_are_those_that_the_code_makes() -> None:
    for path, made in script("front_files").FILES.items():
        assert path.read_text() == made(), "run python deploy/k8s/front_files.py"


def test_the_fronts_share_what_is_let_in_and_know_all_gateways(
    rendered: dict[str, list[Object]],
) -> None:
    objects = rendered["cpu"]
    assert (
        spec_of(objects, "Deployment", "hemline-front")["replicas"] == script("front_files").FRONTS
    )
    most = spec_of(objects, "HorizontalPodAutoscaler", "hemline-gateway")["maxReplicas"]
    surge = spec_of(objects, "Deployment", "hemline-gateway")["strategy"]["rollingUpdate"][
        "maxSurge"
    ]
    assert k8s_front.most_gateways(objects) >= most + surge


def test_haproxy_takes_the_front_s_settings() -> None:
    """The one that this machine has; the image's is newer."""
    done = subprocess.run(
        [install_haproxy(), "-c", "-f", K8S / "front" / "haproxy.cfg"],
        env={**os.environ, "NAMESPACE": "hemline"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr


def test_only_the_gpu_overlay_asks_for_a_gpu(rendered: dict[str, list[Object]]) -> None:
    for overlay, wanted in (("cpu", None), ("gpu", "1")):
        triton = workload_of(rendered[overlay], "hemline-triton")
        limits = main_container(triton)["resources"]["limits"]
        assert limits.get("nvidia.com/gpu") == wanted
        models = pod_spec(triton)["initContainers"][1]["command"]
        device = literal(main_container(triton), "HEMLINE_DEVICE")
        assert device == overlay and ("--device=gpu" in models) == (overlay == "gpu")


def test_the_release_of_every_process_is_one(rendered: dict[str, list[Object]]) -> None:
    release = next(
        found
        for found in of_kind(rendered["cpu"], "ConfigMap")
        if found["metadata"]["name"].startswith("hemline-release")
    )
    assert RELEASE_ID.fullmatch(release["data"]["id"])
    for workload in workloads(rendered["cpu"]):
        if workload["metadata"]["name"] == k8s_front.NAME:
            continue  # it knows of no release
        fetch = pod_spec(workload)["initContainers"][0]
        source = {v["name"]: v["valueFrom"] for v in fetch["env"]}["RELEASE_ID"]
        assert source["configMapKeyRef"] == {"name": release["metadata"]["name"], "key": "id"}


def test_an_overlay_of_a_shop_sets_the_release_as_the_readme_says(tmp_path: Path) -> None:
    readme = (K8S.parent / "README.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    example = textwrap.dedent(example).replace("../..", os.path.relpath(K8S, tmp_path))
    (tmp_path / "kustomization.yaml").write_text(f"namespace: hemline\n{example}")
    maps = of_kind(render(str(tmp_path)), "ConfigMap")
    (data,) = (m["data"] for m in maps if m["metadata"]["name"].startswith("hemline-release"))
    assert (data["url"], data["id"]) == ("s3://my-bucket/releases", "r0003-5be1c2d4")
    assert data["aws-region"] == "us-east-1", "what is not named stays"


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (K8S.parent / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert len(links) > 10
    for link in links:
        assert (K8S.parent / link).exists(), link


def test_the_prometheus_rule_is_the_rule_files() -> None:
    made = script("prometheus_rules").prometheus_rule()
    current = (K8S / "base" / "prometheus-rules.yaml").read_text()
    assert current == made, "run python deploy/k8s/prometheus_rules.py"


def script(name: str) -> Any:
    """A script of deploy/k8s, as a module."""
    spec = importlib.util.spec_from_file_location(name, K8S / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_topics_are_those_that_hemline_would_make(rendered: dict[str, list[Object]]) -> None:
    replicas = address(rendered).replication_factor
    found = {
        topic["metadata"]["name"]: (
            topic["spec"]["partitions"],
            topic["spec"]["replicas"],
            {name: str(value) for name, value in topic["spec"]["config"].items()},
        )
        for topic in of_kind(rendered["kafka"], "KafkaTopic")
    }
    assert found == {
        name: (wanted.partitions, replicas, wanted.configs(replicas))
        for name, wanted in TOPICS.items()
    }


def test_the_log_is_reached_as_the_kafka_cluster_lets_in(rendered: dict[str, list[Object]]) -> None:
    (cluster,) = of_kind(rendered["kafka"], "Kafka")
    (user,) = of_kind(rendered["kafka"], "KafkaUser")
    (listener,) = cluster["spec"]["kafka"]["listeners"]
    log = address(rendered)
    bootstrap = f"{cluster['metadata']['name']}-kafka-bootstrap"  # Strimzi's name for the service
    assert log.servers == (f"{bootstrap}:{listener['port']}",)
    assert log.security["security_protocol"] == "SASL_SSL" and listener["tls"]
    assert log.security["sasl_mechanism"].lower() == listener["authentication"]["type"]
    assert stores(rendered)["kafka-username"] == user["metadata"]["name"]
    acls = user["spec"]["authorization"]["acls"]
    allowed = {
        (acl["resource"]["type"], acl["resource"].get("name")): set(acl["operations"])
        for acl in acls
    }
    for topic in TOPICS:
        assert {"Read", "Write", "Describe"} <= allowed["topic", topic]
    assert "Read" in allowed["group", GROUP]


def stores(rendered: dict[str, list[Object]]) -> dict[str, str]:
    """The config map that says where the stores are."""
    maps = of_kind(rendered["cpu"], "ConfigMap")
    (found,) = (m["data"] for m in maps if m["metadata"]["name"].startswith("hemline-stores"))
    return dict(found)


def address(rendered: dict[str, list[Object]]) -> KafkaAddress:
    return parse_kafka_url(stores(rendered)["log"], {USERNAME: "a name", PASSWORD: "a password"})


def test_the_adapter_reads_metrics_that_triton_has() -> None:
    text = (K8S / "prometheus-adapter.yaml").read_text()
    assert list(adapter_faults(text)) == []
    wrong = text.replace("nv_inference_queue_duration_us{<<", "nv_inference_queue_us{<<")
    assert list(adapter_faults(wrong)) == [
        "hemline_triton_queue_seconds reads nv_inference_queue_us, which Triton does not have"
    ]


# What a hand may do to a manifest, and the sentence that must come of it.


def workload_of(objects: list[Object], name: str) -> Object:
    return next(found for found in workloads(objects) if found["metadata"]["name"] == name)


def object_of(objects: list[Object], kind: str, name: str) -> Object:
    return next(found for found in of_kind(objects, kind) if found["metadata"]["name"] == name)


def spec_of(objects: list[Object], kind: str, name: str) -> Any:
    return object_of(objects, kind, name)["spec"]


def gateway(objects: list[Object]) -> Container:
    found: Container = pod_spec(workload_of(objects, "hemline-gateway"))["containers"][0]
    return found


def front(objects: list[Object]) -> Container:
    found: Container = pod_spec(workload_of(objects, k8s_front.NAME))["containers"][0]
    return found


def change_settings(objects: list[Object], old: str, new: str) -> None:
    """Of the front, in place."""
    for found in of_kind(objects, "ConfigMap"):
        text = found["data"].get("haproxy.cfg", "")
        if text:
            assert old in text
            found["data"]["haproxy.cfg"] = text.replace(old, new)


def set_env(container: Container, name: str, **value: Any) -> None:
    others = [variable for variable in container["env"] if variable["name"] != name]
    container["env"] = [*others, {"name": name, **value}]


def fetch(objects: list[Object]) -> Container:
    found: Container = pod_spec(workload_of(objects, "hemline-gateway"))["initContainers"][0]
    return found


def drop_object(objects: list[Object], kind: str, name: str) -> None:
    objects.remove(object_of(objects, kind, name))


MISTAKES: dict[str, tuple[Callable[[list[Object]], Any], str]] = {
    "a setting misspelt": (
        lambda o: set_env(gateway(o), "HEMLINE_RETREIVAL", value="x"),
        "hemline.gateway has no setting HEMLINE_RETREIVAL",
    ),
    "a setting left out": (
        lambda o: gateway(o)["env"].remove(
            next(v for v in gateway(o)["env"] if v["name"] == "HEMLINE_LOG")
        ),
        "hemline.gateway needs HEMLINE_LOG",
    ),
    "a word for a number": (
        lambda o: set_env(gateway(o), "HEMLINE_DRAIN_S", value="15s"),
        "HEMLINE_DRAIN_S is '15s', which is no number",
    ),
    "a port nobody listens on": (
        lambda o: gateway(o)["ports"][0].update(containerPort=7109),
        "port grpc is 7109, the process listens on 7100",
    ),
    "a service to another port": (
        lambda o: spec_of(o, "Service", "hemline-retrieval")["ports"][0].update(port=7102),
        "Service hemline-retrieval: grpc 7102 is not open",
    ),
    "a call to a port that is not served": (
        lambda o: set_env(gateway(o), "HEMLINE_RERANKER", value="dns:///hemline-reranker:7101"),
        "HEMLINE_RERANKER is dns:///hemline-reranker:7101, and no service has that port",
    ),
    "a call that no policy lets in": (
        lambda o: drop_object(o, "NetworkPolicy", "hemline-reranker"),
        "and no policy lets that call in",
    ),
    "a service that hides its pods": (
        lambda o: spec_of(o, "Service", "hemline-triton").pop("clusterIP"),
        "is not headless",
    ),
    "a probe of no health service": (
        lambda o: gateway(o)["livenessProbe"]["grpc"].update(service="hemline.v1.Gateway"),
        "asks for the health of 'hemline.v1.Gateway', unknown there",
    ),
    "liveness that readiness can fail": (
        lambda o: gateway(o)["livenessProbe"]["grpc"].pop("service"),
        "the liveness probe may fail because of another process",
    ),
    "no readiness probe": (
        lambda o: gateway(o).pop("readinessProbe"),
        "Deployment hemline-gateway has no readinessProbe",
    ),
    "a module that is not there": (
        lambda o: gateway(o).update(command=["python", "-m", "hemline.gatway"]),
        "there is no module hemline.gatway",
    ),
    "a flag that is not there": (
        lambda o: fetch(o)["command"].append("--force"),
        "unrecognized arguments: --force",
    ),
    "a variable that is not set": (
        lambda o: fetch(o)["env"].pop(0),
        "$(RELEASE_URL) is not set",
    ),
    "an image without a version": (
        lambda o: gateway(o).update(image="registry.example.com/hemline:latest"),
        "is not pinned",
    ),
    "no memory limit": (
        lambda o: gateway(o)["resources"]["limits"].pop("memory"),
        "has no memory in its limits",
    ),
    "a root file system that can be written": (
        lambda o: gateway(o)["securityContext"].pop("readOnlyRootFilesystem"),
        "can write to its root file system",
    ),
    "a password written down": (
        lambda o: set_env(gateway(o), "HEMLINE_REDIS_PASSWORD", value="hunter2"),
        "HEMLINE_REDIS_PASSWORD is not taken from a secret",
    ),
    "a secret nobody knows of": (
        lambda o: set_env(
            gateway(o),
            "HEMLINE_USERS",
            valueFrom={"secretKeyRef": {"name": "hemline-redis", "key": "uri"}},
        ),
        "refers to uri of secret hemline-redis",
    ),
    "a file that is not mounted": (
        lambda o: set_env(gateway(o), "HEMLINE_API_KEYS", value="/etc/keys.json"),
        "HEMLINE_API_KEYS is /etc/keys.json, and nothing is mounted there",
    ),
    "a budget for nobody": (
        lambda o: spec_of(o, "PodDisruptionBudget", "hemline-updater").update(
            selector={"matchLabels": {"app": "updater"}}
        ),
        "Deployment hemline-updater has 0 disruption budgets",
    ),
    "an autoscaler of nothing": (
        lambda o: spec_of(o, "HorizontalPodAutoscaler", "hemline-retrieval")[
            "scaleTargetRef"
        ].update(kind="Deployment"),
        "scales Deployment hemline-retrieval, which does not exist",
    ),
    "an autoscaler's metric that nobody makes": (
        lambda o: spec_of(o, "HorizontalPodAutoscaler", "hemline-triton")["metrics"][0]["pods"][
            "metric"
        ].update(name="triton_queue"),
        "no rule makes triton_queue",
    ),
    "a scrape of a port that is not there": (
        lambda o: spec_of(o, "ServiceMonitor", "hemline")["endpoints"][0].update(port="http"),
        "has no port http to scrape",
    ),
    "no default of denying": (
        lambda o: drop_object(o, "NetworkPolicy", "hemline-deny-all"),
        "no policy denies by default",
    ),
    "one more who reaches Triton": (
        lambda o: spec_of(o, "NetworkPolicy", "hemline-triton")["ingress"][0]["from"].append(
            {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "hemline-reranker"}}}
        ),
        "hemline-reranker: wrong about reaching Triton",
    ),
    "no drain": (
        lambda o: set_env(gateway(o), "HEMLINE_DRAIN_S", value="0"),
        "Deployment hemline-gateway does not drain before it stops",
    ),
    "killed while it drains": (
        lambda o: workload_of(o, "hemline-gateway")["spec"]["template"]["spec"].update(
            terminationGracePeriodSeconds=15
        ),
        "is killed before it has drained and stopped",
    ),
    "a front that listens elsewhere": (
        lambda o: change_settings(o, "bind *:7100", "bind *:7101"),
        "Deployment hemline-front: port grpc is 7100, the process listens on 7101",
    ),
    "a front that asks for gateways by another name": (
        lambda o: change_settings(o, '"hemline-gateway.', '"hemline-gateways.'),
        "server-template is hemline-gateways.${NAMESPACE}.svc.cluster.local:7100, and no service",
    ),
    "a front that no policy lets out": (
        lambda o: drop_object(o, "NetworkPolicy", "hemline-front"),
        "and no policy lets that call out",
    ),
    "a front that dies with the gateways": (
        lambda o: front(o)["livenessProbe"]["httpGet"].update(path="/ready"),
        "Deployment hemline-front: the livenessProbe may fail because of another process",
    ),
    "a front that is ready without gateways": (
        lambda o: front(o)["readinessProbe"]["httpGet"].update(path="/alive"),
        "Deployment hemline-front: the readinessProbe may fail",
    ),
    "a front asked for a page it does not have": (
        lambda o: front(o)["startupProbe"]["httpGet"].update(path="/healthz"),
        "startupProbe asks for /healthz, which is no page of HAProxy's",
    ),
    "a front that does not drain": (
        lambda o: change_settings(o, "grace 15s", "grace 1s"),
        "Deployment hemline-front does not drain before it stops",
    ),
    "a front that is killed while calls end": (
        lambda o: change_settings(o, "hard-stop-after 30s", "hard-stop-after 300s"),
        "Deployment hemline-front is killed before it has drained and stopped",
    ),
    "a way past the front": (
        lambda o: spec_of(o, "NetworkPolicy", "hemline-gateway")["ingress"][0]["from"].append(
            {"namespaceSelector": {"matchLabels": {"hemline.dev/callers": "true"}}}
        ),
        "NetworkPolicy hemline-gateway lets callers past the front",
    ),
    "a service past the front": (
        lambda o: spec_of(o, "Service", "hemline").update(
            selector={"app.kubernetes.io/name": "hemline-gateway"}
        ),
        "Service hemline leads past the front",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(rendered: dict[str, list[Object]], mistake: str) -> None:
    objects = copy.deepcopy(rendered["cpu"])
    make, sentence = MISTAKES[mistake]
    make(objects)
    found = faults(objects)
    assert any(sentence in fault for fault in found), found


def test_a_field_that_kubernetes_does_not_have_is_found(rendered: dict[str, list[Object]]) -> None:
    deployment = copy.deepcopy(workload_of(rendered["cpu"], "hemline-gateway"))
    deployment["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(deployment, NEWEST, strict=True)


def test_the_example_of_secrets_holds_none() -> None:
    for found in yaml.safe_load_all((K8S / "examples" / "secrets.yaml").read_text()):
        kubernetes_validate.validate(found, NEWEST, strict=True)
        for key, value in found["stringData"].items():
            assert value == "CHANGE-ME" or key == "url", f"{name_of(found)} {key}"


def test_every_container_is_looked_at(rendered: dict[str, list[Object]]) -> None:
    assert len(list(containers(rendered["cpu"]))) == 7 + 6 + 1  # one each, fetches, the models
