"""The comparison: which model puts what people went on to like highest, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence

from hemline_training.report.charts import Bar, bars
from hemline_training.report.elements import Html, details, element, join, paragraph, table
from hemline_training.report.evaluated import Evaluation, Model
from hemline_training.report.page import Section, absent
from hemline_training.report.published import Published, published

TITLE = "Which model is best?"


def comparison(evaluations: Sequence[Evaluation]) -> Section:
    if not evaluations:
        return absent(
            "comparison",
            TITLE,
            "No evaluation was given. Make one with `hemline evaluate --data DIR --model "
            "popular,ease --json out.json` and name it with --evaluation out.json.",
        )
    lead = (
        "Each model made a list for people whose later likes were kept from it. A longer bar means "
        "that it put more of what they went on to like near the top (NDCG: 1 would be a perfect "
        "list). The thin line is the 95% interval: bars whose lines overlap widely may well be "
        "equally good."
    )
    return Section("comparison", TITLE, lead, join(*(_one(of) for of in evaluations)))


def in_short(evaluation: Evaluation) -> str:
    """One sentence: the winner, by how much, and whether chance explains it."""
    metric = f"ndcg@{evaluation.k}"
    ranked = evaluation.ranked(metric)
    if not ranked:
        return f"{evaluation.name}: no ranking was measured."
    best = ranked[0]
    text = f"{evaluation.name}: {best.name} is best of {len(ranked)} ({_short(metric)} "
    text += f"{best.metrics[metric]:.4f})"
    plain = next((m for m in ranked if m.name in ("popular", "most popular")), None)
    if plain is not None and plain is not best and plain.metrics[metric] > 0:
        text += f", {best.metrics[metric] / plain.metrics[metric]:.1f} times most popular"
    if len(ranked) > 1:
        text += f"; {_against(evaluation, best, ranked[1])}"
    return text + "."


def _against(evaluation: Evaluation, best: Model, second: Model) -> str:
    for pair in evaluation.paired:
        if set(pair["models"]) == {best.name, second.name}:
            low, high = sorted(abs(end) for end in pair["ci"])
            if pair["ci"][0] * pair["ci"][1] > 0:
                return f"its lead over {second.name} is more than chance ({low:.4f} to {high:.4f})"
            return f"its lead over {second.name} may be chance"
    return f"next is {second.name}"


def _one(evaluation: Evaluation) -> Html:
    metric = f"ndcg@{evaluation.k}"
    ranked = evaluation.ranked(metric)
    known = published(evaluation)
    size = [
        f"{count:,} {what}"
        for count, what in (
            (evaluation.users, "users"),
            (evaluation.items, "items"),
            (evaluation.events, "events"),
            (evaluation.cases.get("all"), "people to recommend to"),
        )
        if count
    ]
    parts = [element("h3", evaluation.name)]
    if evaluation.simulated:
        parts.append(
            paragraph(
                "The events are SIMULATED: the figures compare models with each other, not with "
                "any real shop.",
                class_="warning",
            )
        )
    parts.append(paragraph(f"Split: {evaluation.split}. {', '.join(size)}.", class_="note"))
    if not ranked:
        parts.append(paragraph("No ranking was measured here.", class_="absent"))
        return join(*parts)
    parts.append(
        bars(
            [
                Bar(
                    m.name,
                    m.metrics[metric],
                    _with_interval(m, metric),
                    m.ci.get(metric),
                    strong=m is ranked[0],
                )
                for m in ranked
            ],
            what=f"{_short(metric)} of each model on {evaluation.name}",
        )
    )
    parts.append(_table(evaluation, ranked, known))
    if known is not None:
        whose, figures = known.best
        parts.append(
            paragraph(
                f"Best published without side data on {known.data}: {whose}, {_figures(figures)}. "
                "A published figure is of that paper's own recipe, tuning and random draw.",
                class_="note",
            )
        )
    parts += [paragraph(note, class_="note") for note in evaluation.notes]
    parts += [
        details(f"What {model.name} is made of", _made_of(model))
        for model in ranked
        if model.weights
    ]
    parts.append(details("Every figure that was measured", _every_figure(ranked)))
    return join(*parts)


def _table(evaluation: Evaluation, ranked: Sequence[Model], known: Published | None) -> Html:
    k = evaluation.k
    columns = [f"recall@{k}", f"ndcg@{k}"]
    columns += ["ndcg@10", f"hit_rate@{k}", f"coverage@{k}", "rmse"]
    columns = list(dict.fromkeys(columns))
    columns = [name for name in columns if any(name in model.metrics for model in ranked)]
    costs = any(m.fit_seconds is not None or m.peak_rss_mb is not None for m in ranked)
    head = ["model", *(_short(name) for name in columns)]
    head += ["fit, s", "peak memory, MB"] if costs else []
    head += ["published"] if known is not None else []
    rows = []
    for model in ranked:
        cells = [model.name, *(_value(model, name) for name in columns)]
        if costs:
            cells.append("" if model.fit_seconds is None else f"{model.fit_seconds:,.1f}")
            cells.append("" if model.peak_rss_mb is None else f"{model.peak_rss_mb:,.0f}")
        if known is not None:
            cells.append(_published_cell(model.name, known, columns))
        rows.append(cells)
    caption = f"All models, {evaluation.name}"
    if not costs:
        caption += " (`hemline evaluate` measures time and memory of each model alone)"
    return table(head, rows, caption, class_="models" if known is not None else None)


def _published_cell(name: str, known: Published, columns: Sequence[str]) -> str:
    """Whose, and those of the figures that the table has a column for."""
    if name not in known.by_model:
        return ""
    whose, figures = known.by_model[name]
    return f"{whose}: {_figures({c: figures[c] for c in columns if c in figures})}"


def _made_of(model: Model) -> Html:
    """The weight of each part, by how many items are known of a person where the blend heeds it."""
    segments = list(model.weights)
    names = dict.fromkeys(part for weights in model.weights.values() for part in weights)
    head = ["weight"] if segments == ["all"] else [f"{name} known" for name in segments]
    rows = [[part, *(f"{model.weights[s].get(part, 0.0):.3f}" for s in segments)] for part in names]
    return table(["part", *head], rows)


def _every_figure(ranked: Sequence[Model]) -> Html:
    names = list(dict.fromkeys(name for model in ranked for name in model.metrics))
    rows = [[_short(name), *(_value(model, name) for model in ranked)] for name in names]
    return table(["figure", *(model.name for model in ranked)], rows)


def _value(model: Model, metric: str) -> str:
    if metric not in model.metrics:
        return ""
    return f"{model.metrics[metric]:.4f}"


def _with_interval(model: Model, metric: str) -> str:
    value = f"{model.metrics[metric]:.4f}"
    if metric not in model.ci:
        return value
    low, high = model.ci[metric]
    return f"{value} ±{(high - low) / 2:.4f}"


def _figures(figures: dict[str, float]) -> str:
    return ", ".join(f"{_short(name)} {value:.4g}" for name, value in figures.items())


def _short(metric: str) -> str:
    """ "hit_rate@20" -> "hit rate@20", "ndcg@20" -> "NDCG@20"."""
    name, at, k = metric.partition("@")
    if name in ("ndcg", "map", "mrr", "rmse", "mae"):
        name = name.upper()
    return name.replace("_", " ") + at + k
