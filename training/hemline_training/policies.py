"""Recommenders as policies: what click-through rate would each have had on logged impressions?

A model learns from the clicks of the first half of the time and becomes a policy for the rest:

    q(item | user) = softmax of sharpness · (score - mean) / deviation     over the items ever shown

which the estimators of `off_policy` then judge on impressions that another policy chose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.comparison import peak_rss_mb
from hemline_training.interactions import I64
from hemline_training.logged_impressions import Logged
from hemline_training.off_policy import F64, Impressions, click_model, estimate_chosen
from hemline_training.recommenders.base import Feedback, Recommender, blocks

LEARN_SHARE = 0.5  # of the impressions, the oldest
SHARPNESS = 1.0
ESTIMATORS = ("ips", "snips", "dr")


def evaluate_policies(
    logged: Logged,
    names: Sequence[str],
    make: Callable[[str, int], Recommender],
    seed: int = 0,
    samples: int = 1000,
    stage: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """`{"models": {name: {"metrics": {"ctr_ips": …}, "ci": …, …}}, "off_policy": {…}}`.

    "ess" is the effective number of impressions an estimate rests on. Raises InvalidInputError
    where the older half has no click to learn from, and what the models raise.
    """
    log = logged.log
    cut = int(len(log) * LEARN_SHARE)
    past, rest = log.part(slice(0, cut)), log.part(slice(cut, len(log)))
    clicks = int(past.click.sum())
    if not clicks:
        raise InvalidInputError(
            "impressions", f"none of the first {cut} was clicked: nothing to learn a policy from"
        )
    feedback = _feedback(logged, cut)
    rates = click_model(past)
    models: dict[str, Any] = {}
    for name in names:
        stage(f"{name}, as a policy")
        began = time.perf_counter()
        model = make(name, seed).fit(feedback)
        fitted = time.perf_counter() - began
        chosen, expected = _choices(model, logged.users[cut:], rest, log.item, rates)
        found = estimate_chosen(rest, chosen, expected, rates, samples, seed)
        models[name] = {
            "metrics": {f"ctr_{e}": found[e]["value"] for e in ESTIMATORS}
            | {"ess": found["ess"]["value"]},
            "ci": {f"ctr_{e}": [found[e]["low"], found[e]["high"]] for e in ESTIMATORS},
            "fit_seconds": round(fitted, 3),
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }
    about = {
        "impressions": len(rest),
        "clicks": int(rest.click.sum()),
        "learned_from": {"impressions": cut, "clicks": clicks},
        "sharpness": SHARPNESS,
        "logged": found["logged"],
    }
    return {"models": models, "off_policy": about}


def _feedback(logged: Logged, cut: int) -> Feedback:
    """The clicks before impression `cut`; an item clicked twice is liked once, as of the last."""
    rows = np.flatnonzero(logged.log.click[:cut])
    pair = logged.users[rows] * logged.log.n_items + logged.log.item[rows]
    _, last = np.unique(pair[::-1], return_index=True)
    rows = rows[::-1][last]
    at = logged.users[rows], logged.log.item[rows]
    shape = (logged.n_users, logged.log.n_items)
    return Feedback(
        csr_matrix((np.ones(len(rows), np.float32), at), shape=shape),
        times_ms=csr_matrix((logged.times_ms[rows], at), shape=shape),
        users=logged.user_table,
        items=logged.item_table,
        now_ms=int(logged.times_ms[cut - 1]),
    )


def _choices(
    model: Recommender, users: I64, log: Impressions, shown: I64, rates: F64
) -> tuple[F64, F64]:
    """For each impression: the policy's chance of the logged item, and its expected r̂ there."""
    offered = np.unique(shown)
    chosen, expected = np.zeros(len(log)), np.zeros(len(log))
    distinct, owner = np.unique(users, return_inverse=True)
    for part in blocks(len(distinct), log.n_items):
        policy = np.zeros((len(distinct[part]), log.n_items))
        policy[:, offered] = softmax(model.score(distinct[part])[:, offered])
        mine = np.flatnonzero((owner >= part.start) & (owner < part.stop))
        row = owner[mine] - part.start
        chosen[mine] = policy[row, log.item[mine]]
        expected[mine] = (policy @ rates)[row, log.place[mine]]
    return chosen, expected


def softmax(scores: F32, sharpness: float = SHARPNESS) -> F64:
    """q, float64 (users, items): see above. Scores that are all equal give the uniform policy."""
    x = scores.astype(np.float64)
    x -= x.mean(axis=1, keepdims=True)
    deviation = x.std(axis=1, keepdims=True)
    z = np.divide(x, deviation, out=np.zeros_like(x), where=deviation > 1e-12)
    odds = np.exp(sharpness * (z - z.max(axis=1, keepdims=True)))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def print_policies(report: dict[str, Any], to: Console) -> None:
    """The table for people."""
    about = report["off_policy"]
    title = (
        f"estimated click-through rate on {about['impressions']:,} impressions with "
        f"{about['clicks']:,} clicks; logged {about['logged']['value']:.4f}"
    )
    table = Table(title=title, caption="± half of the 95% interval")
    table.add_column("model", no_wrap=True)
    for head in ("IPS", "SNIPS", "doubly robust", "effective impressions"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, model in report["models"].items():
        cells = []
        for estimator in ESTIMATORS:
            low, high = model["ci"][f"ctr_{estimator}"]
            value = model["metrics"][f"ctr_{estimator}"]
            cells.append(f"{value:.4f} ±{(high - low) / 2:.4f}")
        table.add_row(name, *cells, f"{model['metrics']['ess']:,.0f}")
    to.print(table)
