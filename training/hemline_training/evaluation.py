"""How good is each model, on the test part of the time split, by how much is known of the user."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from hemline.blend import SEGMENTS
from hemline_training import metrics
from hemline_training.blend import Blend, Ranked
from hemline_training.cold_items import Twins, exposure
from hemline_training.interactions import I64
from hemline_training.splits import Cases

MODEL_NAMES = {
    "random": "random",
    "popularity": "most popular",
    "trending": "trending",
    "content": "CLIP mean",
    "neighbours": "item-CF",
    "cf": "iALS",
    "tower": "two-tower",
    "blend": "blend",
}

SIMULATED_NOTE = (
    "SIMULATED log: these figures compare models with each other, not with any real shop"
)


def evaluate(
    ranked: Ranked, cases: Cases, blend: Blend, twins: Twins, k: int = 20, seed: int = 0
) -> dict[str, Any]:
    """Metrics of every model, overall and by segment, with 95% bootstrap intervals over users.

    All models rank the whole catalogue, items of the history left out; the blend ranks the union of
    its candidates, as it is served. A personal model falls back to most popular for a user without
    a profile. twins: the cold items as of the cases' moment; "cold_items" tells how they fare.
    """
    lists = {"random": _random(cases, k, seed), **ranked.lists}
    lists["blend"] = blend.rank(ranked, cases.segments, k)
    relevant = np.diff(cases.targets.indptr)
    groups = {"all": np.ones(len(cases), dtype=bool)}
    groups |= {name: cases.segments == s for s, (name, _) in enumerate(SEGMENTS)}
    models: dict[str, Any] = {}
    cold_items: dict[str, Any] = {}
    is_cold = np.zeros(cases.targets.shape[1], dtype=np.float32)
    is_cold[twins.cold] = 1
    cold_targets = csr_matrix(cases.targets.multiply(is_cold[None, :]))
    cold_targets.eliminate_zeros()
    wants_cold = np.flatnonzero(np.diff(cold_targets.indptr))
    for name in MODEL_NAMES:
        hit = metrics.hits(lists[name], cases.targets)
        per_case = {
            f"recall@{k}": metrics.recall(hit, relevant, k),
            f"ndcg@{k}": metrics.ndcg(hit, relevant, k),
            f"hit_rate@{k}": metrics.hit_rate(hit, k),
            f"mrr@{k}": metrics.reciprocal_rank(hit, k),
        }
        models[name] = {
            group: {metric: _summary(values[mask]) for metric, values in per_case.items()}
            for group, mask in groups.items()
            if mask.any()
        }
        models[name]["all"][f"coverage@{k}"] = metrics.coverage(
            lists[name], cases.targets.shape[1], k
        )
        cold_hit = metrics.hits(lists[name][wants_cold], cold_targets[wants_cold])
        cold_recall = metrics.recall(cold_hit, np.diff(cold_targets[wants_cold].indptr), k)
        cold_items[name] = {
            f"recall@{k}": float(cold_recall.mean()) if len(wants_cold) else None,
            "cases": len(wants_cold),
            "exposure": exposure(lists[name], twins),
        }
    found = ranked.hit.sum(axis=1) / relevant
    return {
        "k": k,
        "protocol": "global time split, full ranking, seen items left out",
        "cases": {group: int(mask.sum()) for group, mask in groups.items()},
        "candidate_recall": {g: float(found[m].mean()) for g, m in groups.items() if m.any()},
        "models": models,
        "cold_items": cold_items,
    }


def print_table(result: dict[str, Any], title: str, simulated: bool, console: Console) -> None:
    """NDCG@k by segment, then the other metrics overall; ± is half the bootstrap interval."""
    k = result["k"]
    note = (
        f"NDCG@{k} by distinct items known, then other metrics of all; ± half of the 95% interval"
    )
    table = Table(title=title, caption=f"{note}\n{SIMULATED_NOTE}" if simulated else note)
    table.add_column("model", no_wrap=True)
    groups = [group for group, count in result["cases"].items() if count]
    for group in groups:
        table.add_column(f"{group}\nn={result['cases'][group]}", justify="right", no_wrap=True)
    others = ("recall", "hit_rate", "mrr")
    for metric in (*others, "coverage"):
        table.add_column(f"{metric.replace('_', ' ')}\n@{k}", justify="right", no_wrap=True)
    for name, label in MODEL_NAMES.items():
        scores = result["models"][name]
        cells = [_with_interval(scores[group][f"ndcg@{k}"]) for group in groups]
        cells += [f"{scores['all'][f'{metric}@{k}']['mean']:.3f}" for metric in others]
        table.add_row(label, *cells, f"{scores['all'][f'coverage@{k}']:.3f}")
    console.print(table)
    cold = result["cold_items"]["blend"]
    shown = cold["exposure"]
    if shown["ratio"] is not None:
        console.print(
            f"{shown['items']:,} items without events: the blend shows them {shown['ratio']:.2f} "
            "times as often as the items with events whose content is nearest"
        )


def _summary(values: metrics.F64) -> dict[str, float]:
    low, high = metrics.bootstrap_interval(values)
    return {"mean": float(values.mean()), "low": low, "high": high}


def _with_interval(summary: dict[str, float]) -> str:
    half = (summary["high"] - summary["low"]) / 2
    return f"{summary['mean']:.3f} ±{half:.3f}".replace("±0.", "±.")


def _random(cases: Cases, k: int, seed: int) -> I64:
    """Uniformly drawn lists without the items of the history."""
    rng = np.random.default_rng(seed)
    n = cases.targets.shape[1]
    out = np.full((len(cases), k), -1, dtype=np.int64)
    seen = cases.histories.seen
    for case in range(len(cases)):
        touched = seen.indices[seen.indptr[case] : seen.indptr[case + 1]]
        drawn = rng.choice(n, size=min(k + len(touched), n), replace=False)
        fresh = drawn[~np.isin(drawn, touched)][:k]
        out[case, : len(fresh)] = fresh
    return out
