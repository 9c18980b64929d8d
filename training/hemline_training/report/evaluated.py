"""What `hemline evaluate` and `hemline train` measured, read back into one shape.

Files of one data set, split and seed are one evaluation, so that models may be measured one process
each. A release's own figures, from its manifest, are an evaluation like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemline.errors import DataError
from hemline_training.evaluation import MODEL_NAMES

Interval = tuple[float, float]
Figures = dict[str, float]  # metric with its k ("ndcg@20") -> value


@dataclass(frozen=True)
class Model:
    """One model of an evaluation. None and empty mean: not recorded.

    ci: 95% intervals. segments: by how many items were known of a user. cold: over targets that are
    items nobody had touched, of so many cold_cases. weights: of a blend's parts, by segment or for
    "all", as learned for the first fold. losses: of each epoch, one
    list a fold.
    """

    name: str
    metrics: Figures
    ci: dict[str, Interval] = field(default_factory=dict)
    segments: dict[str, Figures] = field(default_factory=dict)
    segment_ci: dict[str, dict[str, Interval]] = field(default_factory=dict)
    fit_seconds: float | None = None
    peak_rss_mb: float | None = None
    cold: Figures = field(default_factory=dict)
    cold_cases: int = 0
    weights: dict[str, Figures] = field(default_factory=dict)
    losses: list[list[float]] = field(default_factory=list)


@dataclass
class Evaluation:
    """Models on the same split of the same data. cases: users to predict for, by segment."""

    name: str
    split: str
    seed: int | None
    models: list[Model]
    cases: dict[str, int] = field(default_factory=dict)
    users: int | None = None
    items: int | None = None
    events: int | None = None
    paired: list[dict[str, Any]] = field(default_factory=list)
    off_policy: dict[str, Any] = field(default_factory=dict)
    simulated: bool = False
    sources: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def k(self) -> int:
        """The longest list that was measured."""
        ks = [_k_of(name) for model in self.models for name in model.metrics]
        return max(ks, default=0)

    def ranked(self, metric: str) -> list[Model]:
        """The models that have it, best first."""
        having = [model for model in self.models if metric in model.metrics]
        return sorted(having, key=lambda model: -model.metrics[metric])


def read_evaluations(paths: Sequence[Path]) -> list[Evaluation]:
    """The evaluations of several JSON files, in the order of the first file of each.

    Raises DataError, naming the file, for one that is no JSON of `hemline evaluate`.
    """
    found: dict[tuple[str, str, int | None], Evaluation] = {}
    for path in paths:
        one = _read(path)
        first = found.setdefault((one.name, one.split, one.seed), one)
        if first is not one:
            _merge(first, one)
    return list(found.values())


def of_release(manifest: Mapping[str, Any]) -> Evaluation | None:
    """The release's own models, measured when it was trained; None where it holds no figures."""
    metrics = manifest.get("metrics") or {}
    if not metrics.get("models"):
        return None
    models = []
    for name, groups in metrics["models"].items():
        every = groups["all"]
        segments = {group: of for group, of in groups.items() if group != "all"}
        models.append(
            Model(
                MODEL_NAMES.get(name, name),
                {metric: _mean(of) for metric, of in every.items()},
                _intervals(every),
                {
                    group: {metric: _mean(v) for metric, v in of.items()}
                    for group, of in segments.items()
                },
                {group: _intervals(of) for group, of in segments.items()},
            )
        )
    log = manifest.get("log", {})
    return Evaluation(
        f"The shop's catalogue ({manifest.get('catalogue', 'unnamed')})",
        "time",
        log.get("seed"),
        models,
        dict(metrics.get("cases", {})),
        log.get("users"),
        manifest.get("items"),
        log.get("events"),
        simulated=bool(metrics.get("simulated")),
        sources=[f"release {manifest.get('id', '')}"],
    )


def _read(path: Path) -> Evaluation:
    try:
        data = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("models"), dict):
        raise DataError(f'{path} has no "models": it is not what `hemline evaluate --json` writes')
    about = data.get("data", {})
    try:
        models = [_model(name, of) for name, of in data["models"].items()]
        return Evaluation(
            _data_name(about, path),
            str(data.get("split", "unknown")),
            data.get("seed"),
            models,
            {name: int(count) for name, count in data.get("cases", {}).items()},
            about.get("users"),
            about.get("items"),
            about.get("events"),
            list(data.get("paired", [])),
            dict(data.get("off_policy", {})),
            bool(data.get("simulated", about.get("simulated", False))),
            [path.name],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not what `hemline evaluate --json` writes: {error!r}"
        ) from error


def _model(name: str, of: Mapping[str, Any]) -> Model:
    cold = dict(of.get("cold_items", {}))
    cold_cases = int(cold.pop("cases", 0))
    ci = {metric: (float(low), float(high)) for metric, (low, high) in of.get("ci", {}).items()}
    return Model(
        name,
        _known(of["metrics"]),
        ci,
        {group: _known(figures) for group, figures in of.get("segments", {}).items()},
        {},
        of.get("fit_seconds"),
        of.get("peak_rss_mb"),
        _known({name: value for name, value in cold.items() if "@" in name}),
        cold_cases,
        _weights(of.get("weights", [])),
        [list(map(float, fold)) for fold in of.get("losses", [])],
    )


def _merge(into: Evaluation, other: Evaluation) -> None:
    known = {model.name for model in into.models}
    for model in other.models:
        if model.name in known:
            into.notes.append(
                f"{model.name} is also in {other.sources[0]}; the figures of "
                f"{into.sources[0]} are shown."
            )
        else:
            into.models.append(model)
    if into.cases != other.cases:
        into.notes.append(
            f"{other.sources[0]} was measured on other users than {into.sources[0]}: its models "
            "are not strictly comparable."
        )
    into.paired += other.paired
    into.sources += other.sources
    into.off_policy = into.off_policy or other.off_policy


def _data_name(about: Mapping[str, Any], path: Path) -> str:
    folder = Path(str(about.get("path", "")))
    return folder.name or folder.parent.name or path.stem


def _weights(folds: Sequence[Mapping[str, Any]]) -> dict[str, Figures]:
    """A blend has one weight a part, or such weights for each segment."""
    if not folds:
        return {}
    first = folds[0]
    if all(isinstance(of, Mapping) for of in first.values()):
        return {segment: _known(of) for segment, of in first.items()}
    return {"all": _known(first)}


def _known(figures: Mapping[str, float | None]) -> Figures:
    return {name: float(value) for name, value in figures.items() if value is not None}


def _mean(value: float | Mapping[str, float]) -> float:
    return float(value["mean"]) if isinstance(value, Mapping) else float(value)


def _intervals(figures: Mapping[str, Any]) -> dict[str, Interval]:
    return {
        name: (float(of["low"]), float(of["high"]))
        for name, of in figures.items()
        if isinstance(of, Mapping)
    }


def _k_of(metric: str) -> int:
    _, _, k = metric.partition("@")
    return int(k) if k.isdigit() else 0
