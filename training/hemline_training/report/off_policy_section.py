"""What would have been clicked had another model chosen? Estimates from logged impressions."""

from __future__ import annotations

from collections.abc import Sequence

from hemline_training.report.charts import Bar, bars
from hemline_training.report.elements import Html, details, element, join, paragraph, table
from hemline_training.report.evaluated import Evaluation, Model
from hemline_training.report.page import Section, absent

TITLE = "What would have been clicked?"
_ESTIMATORS = {"ctr_ips": "IPS", "ctr_snips": "SNIPS", "ctr_dr": "doubly robust"}
_DRAWN = "ctr_dr"


def off_policy(evaluations: Sequence[Evaluation]) -> Section:
    usable = [of for of in evaluations if of.off_policy and of.ranked(_DRAWN)]
    if not usable:
        return absent(
            "clicks",
            TITLE,
            "No logged impressions. Where the data says what was shown with which probability, "
            "`hemline evaluate --data DIR --json out.json` estimates the click-through rate of "
            "each model (a .csv of the Open Bandit Dataset, or events with a propensity).",
        )
    lead = (
        "A shop once showed items by a rule whose chances are known, and noted the clicks. That "
        "is enough to estimate how often people would have clicked had a model chosen, without "
        "ever showing its choices. The thin line is the 95% interval; where it holds the rate that "
        "was logged, the model may be no better than the old rule."
    )
    return Section("clicks", TITLE, lead, join(*(_one(of) for of in usable)))


def _one(evaluation: Evaluation) -> Html:
    about = evaluation.off_policy
    ranked = evaluation.ranked(_DRAWN)
    logged = about["logged"]
    interval = (float(logged["low"]), float(logged["high"]))
    old = Bar("as it was logged", float(logged["value"]), _percent(logged["value"]), interval)
    drawn = [_bar(model, model is ranked[0]) for model in ranked]
    rows = [
        [
            model.name,
            *(_figure(model, estimator) for estimator in _ESTIMATORS),
            f"{model.metrics.get('ess', 0.0):,.0f}",
        ]
        for model in ranked
    ]
    learned = about["learned_from"]
    return join(
        element("h3", evaluation.name),
        paragraph(
            f"{about['impressions']:,} impressions with {about['clicks']:,} clicks to judge from; "
            f"the models learned from {learned['clicks']:,} clicks on {learned['impressions']:,} "
            "earlier ones.",
            class_="note",
        ),
        bars([old, *drawn], what=f"Estimated clicks per impression on {evaluation.name}"),
        paragraph(
            "Drawn: the doubly robust estimate, in clicks per 100 impressions.", class_="note"
        ),
        details(
            "The numbers, all estimators",
            table(["model", *_ESTIMATORS.values(), "effective impressions"], rows),
        ),
    )


def _bar(model: Model, best: bool) -> Bar:
    value = model.metrics[_DRAWN]
    return Bar(model.name, value, _percent(value), model.ci.get(_DRAWN), strong=best)


def _figure(model: Model, estimator: str) -> str:
    if estimator not in model.metrics:
        return ""
    low, high = model.ci.get(estimator, (0.0, 0.0))
    return f"{_percent(model.metrics[estimator])} ({_percent(low)} to {_percent(high)})"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f}%"
