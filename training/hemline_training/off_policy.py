"""What would another policy have earned? Estimates from impressions that a known policy logged.

For impression i the log has the reward r (clicked or not), the probability p with which the logging
policy showed that item there, and the new policy would have shown it with probability q. With a
model r̂ of the reward:

    IPS     mean(q/p r)                                     unbiased, wild where q/p is large
    SNIPS   Σ q/p r / Σ q/p                                 Swaminathan & Joachims, NeurIPS 2015
    DR      mean(Σ_a q(a) r̂(a) + q/p (r - r̂))               Dudík, Langford & Li, ICML 2011
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline.errors import InvalidInputError
from hemline_training.metrics import bootstrap_means

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Impressions:
    """Logged impressions of items in places.

    item, place: int (n,), from 0. click: 0 or 1. propensity: in (0, 1], of showing that item in
    that place. n_items, n_places: how many there are to choose from.
    """

    item: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    click: F64
    propensity: F64
    n_items: int
    n_places: int

    def __post_init__(self) -> None:
        wrong = ~((self.propensity > 0) & (self.propensity <= 1))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise InvalidInputError(
                "propensity", f"{self.propensity[row]} in impression {row} is outside (0, 1]"
            )

    def __len__(self) -> int:
        return len(self.item)

    def part(self, rows: slice) -> Impressions:
        return Impressions(
            self.item[rows],
            self.place[rows],
            self.click[rows],
            self.propensity[rows],
            self.n_items,
            self.n_places,
        )


def click_model(log: Impressions, prior: float = 100.0) -> F64:
    """r̂: click-through rates (n_items, n_places), drawn towards the item's, then everybody's.

    prior: in impressions.
    """
    overall = log.click.mean() if len(log) else 0.0
    shown = np.bincount(log.item, minlength=log.n_items)
    clicks = np.bincount(log.item, weights=log.click, minlength=log.n_items)
    by_item = (clicks + prior * overall) / (shown + prior)
    cell = log.item * log.n_places + log.place
    cells = log.n_items * log.n_places
    seen = np.bincount(cell, minlength=cells).reshape(log.n_items, -1)
    clicked = np.bincount(cell, weights=log.click, minlength=cells).reshape(log.n_items, -1)
    return np.asarray((clicked + prior * by_item[:, None]) / (seen + prior))


def softmax_policy(rates: F64, sharpness: float) -> F64:
    """q(item | place), (n_items, n_places): exp(sharpness · rate / mean rate), normalised."""
    scaled = sharpness * rates / max(float(rates.mean()), 1e-12)
    odds = np.exp(scaled - scaled.max(axis=0))
    return np.asarray(odds / odds.sum(axis=0))


def estimate(
    log: Impressions, policy: F64, model: F64, samples: int = 1000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """`estimate_chosen` of a policy that heeds the place alone: (n_items, n_places)."""
    expected = (policy * model).sum(axis=0)[log.place]
    return estimate_chosen(log, policy[log.item, log.place], expected, model, samples, seed)


def estimate_chosen(
    log: Impressions, chosen: F64, expected: F64, model: F64, samples: int = 1000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """CTR of another policy by "logged", "ips", "snips" and "dr", with 95% intervals.

    chosen: q (n,), its chance of what was shown in each impression. expected: Σ_a q(a) r̂(a) there.
    model: r̂ (n_items, n_places), learned on other impressions. Each value is {"value", "low",
    "high"}; "ess" is the effective number of impressions, (Σ w)² / Σ w². Raises InvalidInputError
    for an empty log.
    """
    if len(log) == 0:
        raise InvalidInputError("impressions", "none are left to estimate from")
    weight = chosen / log.propensity
    doubly = expected + weight * (log.click - model[log.item, log.place])
    terms = np.stack([log.click, weight * log.click, weight, doubly], axis=1)

    def values(means: F64) -> dict[str, F64]:
        logged, ips, weights, dr = means.T
        snips = np.divide(ips, weights, out=np.zeros_like(ips), where=weights > 0)
        return {"logged": logged, "ips": ips, "snips": snips, "dr": dr}

    point = values(terms.mean(axis=0, keepdims=True))
    resampled = values(bootstrap_means(terms, samples, seed))
    out = {}
    for name, value in point.items():
        low, high = np.quantile(resampled[name], [0.025, 0.975])
        out[name] = {"value": float(value[0]), "low": float(low), "high": float(high)}
    squares = float(np.square(weight).sum())
    out["ess"] = {"value": float(weight.sum() ** 2 / squares) if squares else 0.0}
    return out
