"""How good each model is for people of whom nothing, little or much is known."""

from __future__ import annotations

from collections.abc import Sequence

from hemline.blend import SEGMENTS
from hemline_training.report.charts import Bar, bars
from hemline_training.report.elements import Html, details, element, join, paragraph, table
from hemline_training.report.evaluated import Evaluation, Model
from hemline_training.report.page import Section, absent

TITLE = "Does it work for people it hardly knows?"
DRAWN = 8  # models in the charts; all are in the table

_HEADINGS = {
    "0": "New: nothing known",
    "1": "1 item known",
    "2-4": "2 to 4 items known",
    "5-19": "5 to 19 items known",
    "20+": "20 or more items known",
}


def segments(evaluations: Sequence[Evaluation]) -> Section:
    usable = [of for of in evaluations if any(model.segments for model in of.models)]
    if not usable:
        return absent(
            "segments",
            TITLE,
            "No figures by how much is known of a shopper: they are in every JSON that "
            "`hemline evaluate --json` writes, and in a release that `hemline train` made.",
        )
    lead = (
        "The same measure (NDCG), apart for people of whom the models knew nothing, one item, a "
        "few, or many. The charts of one data set share one scale, so their bars can be compared. "
        f"The {DRAWN} models that are best over all people are drawn, in that order."
    )
    return Section("segments", TITLE, lead, join(*(_one(of) for of in usable)))


def _one(evaluation: Evaluation) -> Html:
    metric = f"ndcg@{evaluation.k}"
    ranked = [model for model in evaluation.ranked(metric) if model.segments]
    names = [name for name, _ in SEGMENTS if any(name in model.segments for model in ranked)]
    drawn = ranked[:DRAWN]
    top = max(_top(model, name, metric) for model in drawn for name in names) or 1.0
    panels = []
    for name in names:
        having = [model for model in drawn if metric in model.segments.get(name, {})]
        best = max(having, key=lambda model: model.segments[name][metric], default=None)
        rows = [
            Bar(
                model.name,
                model.segments[name][metric],
                f"{model.segments[name][metric]:.4f}",
                model.segment_ci.get(name, {}).get(metric),
                strong=model is best,
            )
            for model in having
        ]
        people = evaluation.cases.get(name)
        heading = _HEADINGS.get(name, name) + (f" ({people:,} people)" if people else "")
        panels.append(
            element("div", element("h4", heading), bars(rows, top, f"{metric}, {heading}"))
        )
    panels += _new_items(evaluation.models, metric)
    numbers = table(
        ["model", *(_HEADINGS.get(name, name) for name in names)],
        [
            [
                model.name,
                *(
                    f"{model.segments[name][metric]:.4f}"
                    if metric in model.segments.get(name, {})
                    else ""
                    for name in names
                ),
            ]
            for model in ranked
        ],
    )
    parts = [element("h3", evaluation.name), element("div", *panels, class_="panels")]
    few = [_HEADINGS[n] for n in names if 0 < evaluation.cases.get(n, 100) < 100]
    if few:
        parts.append(
            paragraph(f"Fewer than 100 people, so read with care: {', '.join(few)}.", class_="note")
        )
    return join(*parts, details("The numbers, all models", numbers))


def _new_items(models: Sequence[Model], metric: str) -> list[Html]:
    """A panel for items that nobody had touched, on a scale of its own, the best at it first; none
    where there were no such items."""
    having = [model for model in models if metric in model.cold]
    having.sort(key=lambda model: -model.cold[metric])
    if not having:
        return []
    rows = [
        Bar(model.name, model.cold[metric], f"{model.cold[metric]:.4f}", strong=model is having[0])
        for model in having[:DRAWN]
    ]
    heading = f"New items, touched by nobody ({having[0].cold_cases:,} people; own scale)"
    return [element("div", element("h4", heading), bars(rows, what=f"{metric}, {heading}"))]


def _top(model: Model, segment: str, metric: str) -> float:
    value = model.segments.get(segment, {}).get(metric, 0.0)
    return max(value, model.segment_ci.get(segment, {}).get(metric, (0.0, 0.0))[1])
