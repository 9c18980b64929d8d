"""How training went: the curves of all that was trained epoch by epoch."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from hemline.encoders.clip_folder import CURVE
from hemline.releases import Release
from hemline_training.report.charts import COLOURS, Line, lines
from hemline_training.report.elements import Html, element, join, paragraph
from hemline_training.report.evaluated import Evaluation
from hemline_training.report.page import Section, absent

TITLE = "Did training go well?"


def losses(evaluations: Sequence[Evaluation], release: Release | None) -> Section:
    parts = [curves for of in evaluations if (curves := _of_models(of)) is not None]
    if release is not None:
        parts = [*_of_towers(release), *_of_encoder(release), *parts]
    if not parts:
        return absent(
            "losses",
            TITLE,
            "No training losses are recorded. They are in the JSON of `hemline evaluate` for "
            "models that learn epoch by epoch (lightgcn, towers, graphsage, ncf-bce …), and in "
            "releases trained since they are kept: train again with `hemline train`.",
        )
    lead = (
        "The loss says how wrong a model still is on what it learns from. A curve that falls fast "
        "and then flattens has learned what it can. Whether that helps with what it has not seen "
        "is another question: where it was measured on held-out people or products, that is drawn "
        "too. Models that are solved in one go (EASE, item neighbours, iALS, graph filters) have "
        "no such curve."
    )
    return Section("losses", TITLE, lead, join(*parts))


def _of_towers(release: Release) -> list[Html]:
    history = release.manifest.get("tower_history") or []
    if not history:
        return [
            element("h3", "Two-tower model of the release"),
            paragraph(
                f"Release {release.id} was trained before its losses were kept; "
                "`hemline train` records them.",
                class_="absent",
            ),
        ]
    chosen = release.manifest.get("tower_epochs")
    loss = lines([Line("loss", [epoch["loss"] for epoch in history])], "epoch", "loss")
    panels = [element("div", loss)]
    seen = [epoch["validation"] for epoch in history if epoch.get("validation") is not None]
    if len(seen) == len(history):
        found = lines(
            [Line("recall", seen)], "epoch", "share found, held-out people", from_zero=True
        )
        panels.append(element("div", found))
    what = (
        "First the loss, then the share of what held-out people went on to like that is among 20 "
        f"items. Serving uses as many epochs as were best there: {chosen or 'none, the start'}."
    )
    return [
        element("h3", "Two-tower model of the release"),
        paragraph(what),
        element("div", *panels, class_="panels"),
    ]


def _of_encoder(release: Release) -> list[Html]:
    columns = _read_curve(release.folder / "clip" / CURVE)
    if not columns.get("loss"):
        return []
    epochs = "epoch"
    panels = [element("div", lines([Line("loss", columns["loss"])], epochs, "loss"))]
    names = {"zero_shot": "names the article type", "recall_10": "finds the photo by its title"}
    found = [
        Line(label, columns[name])
        for name, label in names.items()
        if any(map(math.isfinite, columns.get(name, [])))
    ]
    if found:
        panels.append(
            element("div", lines(found, epochs, "share right, held-out products", from_zero=True))
        )
    return [
        element("h3", "The encoder of photos and words (CLIP)"),
        paragraph(
            "A jump in the middle is where the pictures' size was changed, if the encoder's model "
            "card says so. Epochs without a measurement are left out of the second chart."
        ),
        element("div", *panels, class_="panels"),
    ]


def _read_curve(path: Path) -> dict[str, list[float]]:
    """Column -> its values, NaN where the file has none; empty without a file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return {}
    return {name: [float(row[name]) if row[name] else math.nan for row in rows] for name in rows[0]}


def _of_models(evaluation: Evaluation) -> Html | None:
    """One chart for all models: losses of different kinds, each as a share of its first."""
    having = [model for model in evaluation.models if any(model.losses)]
    if not having:
        return None
    series = []
    for model in having[:COLOURS]:
        longest = max(len(fold) for fold in model.losses)
        folds = [fold for fold in model.losses if len(fold) == longest]
        mean = [sum(values) / len(folds) for values in zip(*folds, strict=True)]
        start = mean[0] or 1.0
        series.append(Line(model.name, [100 * value / start for value in mean]))
    parts = [
        element("h3", f"Models on {evaluation.name}"),
        paragraph(
            "Losses of different models are not comparable, so each is drawn in per cent of its "
            "own first epoch: only the shape says something."
        ),
        lines(series, "epoch", "loss, % of the first epoch's"),
    ]
    left_out = [model.name for model in having[COLOURS:]]
    if left_out:
        parts.append(paragraph(f"Not drawn: {', '.join(left_out)}.", class_="note"))
    return join(*parts)
