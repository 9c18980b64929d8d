"""Write the two files of front/ that come from the code: HAProxy's settings and how it is scraped.

    python deploy/k8s/front_files.py

The settings are those of `hemline up --gateways N`, but for where the gateways are: DNS knows the
pods that are ready. What Prometheus makes of HAProxy's counters is `hemline.front_metrics`. A test
holds that both files are current.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from hemline.front_config import front_config
from hemline.front_metrics import RELABELLED

HERE = Path(__file__).resolve().parent
FRONTS = 2  # pods, as in front/front.yaml: they share what is let in
MOST_GATEWAYS = 24  # more than base/autoscaling.yaml makes, and those of a rolling update
DRAIN_S = 15  # as the other pods
RESOLVERS = """\
resolvers cluster
    parse-resolv-conf
    accepted_payload_size 8192
    timeout resolve 1s
    timeout retry 1s
    # While DNS is away, gateways stay where they were; those that died are found out all the same.
    hold nx 10s
    hold refused 1h
    hold timeout 1h
    hold other 1h

"""


def settings() -> str:
    """haproxy.cfg."""
    name = '"hemline-gateway.${NAMESPACE}.svc.cluster.local:7100"'
    found = "resolvers cluster resolve-prefer ipv4 init-addr none"
    return front_config(
        "*:7100",
        "*:7200",
        [f"server-template gateway 1-{MOST_GATEWAYS} {name} {found}"],
        fronts=FRONTS,
        drain_s=DRAIN_S,
        resolvers=RESOLVERS,
    )


def monitor() -> str:
    """The ServiceMonitor as YAML: the base's does not relabel."""
    relabelled = [{_camel(key): value for key, value in rule.items()} for rule in RELABELLED]
    endpoint = {
        "port": "metrics",
        "interval": "15s",
        "scrapeTimeout": "10s",
        "metricRelabelings": relabelled,
    }
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": "hemline-front"},
        "spec": {
            "jobLabel": "app.kubernetes.io/name",
            "selector": {"matchLabels": {"app.kubernetes.io/name": "hemline-front"}},
            "endpoints": [endpoint],
        },
    }
    head = "# Made by ../front_files.py from hemline.front_metrics; change that.\n"
    return head + yaml.safe_dump(made, sort_keys=False, width=100)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


FILES = {HERE / "front" / "haproxy.cfg": settings, HERE / "front" / "monitoring.yaml": monitor}

if __name__ == "__main__":
    for target, made in FILES.items():
        target.write_text(made())
        print(f"wrote {target.relative_to(HERE.parents[1])}")
