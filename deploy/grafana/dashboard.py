"""The Grafana dashboard as code: python deploy/grafana/dashboard.py writes dashboards/hemline.json.

A row a question, from the shopper inwards: are they served, how quickly, how well, how fresh, and
at what price. Most panels show a recording rule, so that dashboard and alerts never disagree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parent / "dashboards" / "hemline.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # of Grafana's grid

RECOMMEND = '{method="hemline.v1.RecommenderService/Recommend"}'


@dataclass(frozen=True)
class Panel:
    """queries: PromQL by legend. unit: Grafana's name of it. limit: drawn as a red line."""

    title: str
    unit: str
    queries: dict[str, str]
    meaning: str
    limit: float | None = None
    kind: str = "timeseries"


ROWS: dict[str, list[Panel]] = {
    "Promises to shoppers": [
        Panel(
            "Recommend answered",
            "percentunit",
            {"failed": 'hemline:broken:ratio_rate1h{promise="recommend-answered"}'},
            "Share of Recommends without an answer, over an hour; 0.1% of a month may fail.",
            0.001,
        ),
        Panel(
            "Recommend within 100 ms",
            "percentunit",
            {"slow": 'hemline:broken:ratio_rate1h{promise="recommend-quick"}'},
            "Share of Recommends that took longer, over an hour; 1% of a month may.",
            0.01,
        ),
        Panel(
            "Event visible within 250 ms",
            "percentunit",
            {"late": 'hemline:broken:ratio_rate1h{promise="event-visible"}'},
            "Share of events that took longer to reach the shopper's state; 1% of a month may.",
            0.01,
        ),
    ],
    "Requests": [
        Panel(
            "Requests by method",
            "reqps",
            {"{{method}}": "sum by (method) (hemline:requests:rate5m)"},
            "What shops ask of the gateway.",
        ),
        Panel(
            "Answers other than OK",
            "reqps",
            {"{{method}} {{code}}": 'hemline:requests:rate5m{code!="OK"}'},
            "By gRPC status. INVALID_ARGUMENT is the caller's mistake, the others are ours.",
        ),
        Panel(
            "Recommend, time in the gateway",
            "s",
            {
                "p50": f"hemline:request_seconds:p50_5m{RECOMMEND}",
                "p90": f"hemline:request_seconds:p90_5m{RECOMMEND}",
                "p99": f"hemline:request_seconds:p99_5m{RECOMMEND}",
            },
            "Interpolated within the histogram's buckets.",
            0.1,
        ),
        Panel(
            "In flight",
            "short",
            {"{{job}}": "sum by (job) (hemline_requests_in_flight)"},
            "Calls being answered at this moment.",
        ),
    ],
    "Stages of an answer": [
        Panel(
            "p50 by stage",
            "s",
            {"{{stage}}": "hemline:stage_seconds:p50_5m"},
            "Half of the stages' runs take at most this long.",
        ),
        Panel(
            "p99 by stage",
            "s",
            {"{{stage}}": "hemline:stage_seconds:p99_5m"},
            "One run in a hundred takes longer.",
        ),
        Panel(
            "Degraded answers by stage",
            "percentunit",
            {"{{stage}}: {{reason}}": "hemline:degraded:ratio_rate5m"},
            "Share of answers that did without a stage, and why.",
            0.01,
        ),
        Panel(
            "Candidates scored",
            "short",
            {"mean": "hemline:candidates:mean5m"},
            "Items from all sources that the reranker scores for one answer.",
        ),
    ],
    "Events": [
        Panel(
            "Acknowledged to visible",
            "s",
            {
                "p50": "hemline:event_to_visible_seconds:p50_5m",
                "p99": "hemline:event_to_visible_seconds:p99_5m",
            },
            "From the gateway's acknowledgement to the stored user state.",
            0.25,
        ),
        Panel(
            "Lag",
            "short",
            {"records": "hemline:event_lag:sum"},
            "Records of the log the updaters have not applied yet.",
        ),
        Panel(
            "Events accepted and applied",
            "eps",
            {
                "accepted": "hemline:events_accepted:rate5m",
                "{{outcome}}": "hemline:events_applied:rate5m",
            },
            "duplicate: harmless repeats. dead_letter: could not be read, set aside.",
        ),
        Panel(
            "Set aside, collided, lost",
            "eps",
            {
                "state conflicts": "sum(rate(hemline_update_conflicts_total[5m]))",
                "without vector: {{reason}}": (
                    "sum by (reason) (rate(hemline_user_vectors_skipped_total[5m]))"
                ),
                "exposures lost": "sum(rate(hemline_exposures_lost_total[5m]))",
                "refused: {{field}}": "sum by (field) (rate(hemline_events_rejected_total[5m]))",
            },
            "All of it should be zero, or nearly.",
        ),
    ],
    "Models and retrieval": [
        Panel(
            "Triton: time in the queue",
            "s",
            {"{{model}}": "hemline:triton_queue_seconds:mean5m"},
            "Mean over the calls of a model.",
            0.02,
        ),
        Panel(
            "Triton: batch size",
            "short",
            {"{{model}}": "hemline:triton_batch_size:mean5m"},
            "Rows a model computes at once.",
        ),
        Panel(
            "Triton: calls failed",
            "percentunit",
            {"{{model}}": "hemline:triton_failures:ratio_rate5m"},
            "Share of a model's calls.",
            0.01,
        ),
        Panel(
            "Calls to Triton, p99",
            "s",
            {
                "{{model}}": (
                    "histogram_quantile(0.99, "
                    "sum by (model, le) (rate(hemline_encoder_seconds_bucket[5m])))"
                )
            },
            "As gateway and updater see them, the way there and back included.",
        ),
        Panel(
            "Vector searches",
            "s",
            {
                "p99 of a batch": (
                    "histogram_quantile(0.99, "
                    "sum by (le) (rate(hemline_search_seconds_bucket[5m])))"
                )
            },
            "Time of one batch of vector queries in the index.",
        ),
        Panel(
            "Vector queries",
            "reqps",
            {"{{space}}": "sum by (space) (rate(hemline_search_queries_total[5m]))"},
            "By vector space.",
        ),
    ],
    "Price and state": [
        Panel(
            "Processor time per request",
            "s",
            {"all processes": "hemline:cpu_seconds_per_request:rate5m"},
            "Of all server processes, Triton included, over all requests of the gateway.",
            0.005,
        ),
        Panel(
            "Cores in use",
            "short",
            {"{{process}}": "hemline:cpu_seconds:rate5m"},
            "By process.",
        ),
        Panel(
            "Memory",
            "bytes",
            {
                "{{process}}": "hemline_process_resident_bytes",
                "{{job}} (itself)": 'process_resident_memory_bytes{job=~"hemline-.+"}',
            },
            "Resident; by the supervisor on one machine, by the processes themselves elsewhere.",
        ),
        Panel(
            "Release",
            "none",
            {"{{job}}": "max by (job) (hemline_release_version > 0)"},
            "Served by each process; they differ only while a release is rolled out.",
            kind="stat",
        ),
        Panel(
            "Items in the index",
            "short",
            {"{{job}}": "max by (job) (hemline_index_items > 0)"},
            "In each process that searches.",
            kind="stat",
        ),
        Panel(
            "Up",
            "none",
            {"{{job}}": 'min by (job) (up{job=~"hemline-.+"})'},
            "1 when every instance answers its metrics.",
            kind="stat",
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana's JSON model (schema 38, Grafana 10 and newer)."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place})
        y += 1
        across = 3 if len(row) % 3 == 0 else 4
        width, height = WIDTH // across, 8
        for i, panel in enumerate(row):
            line, column = divmod(i, across)
            place = {"x": column * width, "y": y + line * height, "w": width, "h": height}
            panels.append(_panel(len(panels) + 1, panel, place))
        y += height * -(-len(row) // across)
    return {
        "uid": "hemline",
        "title": "Hemline",
        "description": "From the shopper inwards. What each alert asks of you: docs/runbook.md",
        "schemaVersion": 38,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "type": "datasource",
                    "query": "prometheus",
                    "label": "Prometheus",
                }
            ]
        },
        "annotations": {"list": [_alerts()]},
        "panels": panels,
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.limit is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.limit}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend}
            for i, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Hemline.+",alertstate="firing"}',
        "titleFormat": "{{alertname}}",
    }


if __name__ == "__main__":
    DASHBOARD.write_text(json.dumps(dashboard(), indent=2) + "\n")
