"""Write base/prometheus-rules.yaml: deploy/prometheus/rules as one PrometheusRule.

    python deploy/k8s/prometheus_rules.py

Kustomize cannot embed a file's content as YAML, so the operator's object is made here from the
rule files that promtool tests; a test holds that it is current.
"""

from __future__ import annotations

from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
RULES = HERE.parent / "prometheus" / "rules"
TARGET = HERE / "base" / "prometheus-rules.yaml"


def prometheus_rule() -> str:
    """The object as YAML, its groups in the order of the files' names."""
    groups = [
        group
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "hemline"},
        "spec": {"groups": groups},
    }
    head = "# Made by prometheus_rules.py from deploy/prometheus/rules; change those.\n"
    return head + yaml.safe_dump(rule, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    TARGET.write_text(prometheus_rule())
    print(f"wrote {TARGET.relative_to(HERE.parents[1])}")
