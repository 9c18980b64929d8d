"""`hemline evaluate`: several recommenders on the same folds, every figure with its uncertainty.

For each model and fold: fit, rank the whole catalogue for every test user with what they already
have left out, and keep one row of figures a user. Means, intervals, segments and the paired
comparison of models all come from those rows, so that they can never disagree.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from hemline.blend import SEGMENTS
from hemline.vectors import F32, normalise
from hemline_training import metrics
from hemline_training.cold_items import Twins, exposure
from hemline_training.datasets import Fold
from hemline_training.interactions import I64
from hemline_training.metrics import F64
from hemline_training.recommenders import recommender
from hemline_training.recommenders.base import Recommender
from hemline_training.recommenders.blended import Blend
from hemline_training.recommenders.explicit import RatingRecommender
from hemline_training.recommenders.segmented import SegmentBlend

Stage = Callable[[str], None]


@dataclass(frozen=True)
class CompareConfig:
    """ks: cut-offs, the largest is how long a list is. samples: of the bootstrap."""

    ks: tuple[int, ...] = (5, 10, 20)
    seed: int = 0
    samples: int = 1000


@dataclass
class Measured:
    """One model over all folds. rows: metric -> float64 (cases,), a case being a user of a fold."""

    rows: dict[str, list[F64]] = field(default_factory=dict)
    cold: dict[str, list[F64]] = field(default_factory=dict)
    catalogue: dict[str, list[float]] = field(default_factory=dict)
    exposures: list[dict[str, Any]] = field(default_factory=list)  # of cold items, a fold each
    fit_seconds: float = 0.0
    fit_cpu_seconds: float = 0.0
    score_seconds: float = 0.0
    score_cpu_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    weights: list[dict[str, Any]] = field(default_factory=list)  # of a blend, a fold each
    losses: list[list[float]] = field(default_factory=list)  # by epoch, a fold each


def compare(
    folds: Sequence[Fold],
    names: Sequence[str],
    config: CompareConfig,
    make: Callable[[str, int], Recommender] = recommender,
    stage: Stage = lambda what: None,
) -> dict[str, Any]:
    """`{"models": {name: {...}}, "segments": cases, "paired": [...]}`.

    folds: at least one. Raises what the models raise (InvalidInputError where a fold lacks what one
    of them needs).
    """
    measured: dict[str, Measured] = {}
    for name in names:
        result = measured[name] = Measured()
        for number, fold in enumerate(folds):
            stage(f"{name}, fold {number + 1} of {len(folds)}")
            _measure(make(name, config.seed), fold, config, result)
            segments = np.concatenate([_segments(fold) for fold in folds])
    out: dict[str, Any] = {
        "models": {name: _summary(m, segments, len(folds), config) for name, m in measured.items()},
        "cases": {"all": len(segments)}
        | {name: int((segments == s).sum()) for s, (name, _) in enumerate(SEGMENTS)},
    }
    if len(names) > 1:
        out["paired"] = _paired(measured, f"ndcg@{max(config.ks)}", segments, config)
    return out


def _measure(model: Recommender, fold: Fold, config: CompareConfig, out: Measured) -> None:
    """Fit and rank one fold, and append to `out`."""
    _reset_peak_rss()
    began, cpu = time.perf_counter(), time.process_time()
    model.fit(fold.train)
    out.fit_seconds += time.perf_counter() - began
    out.fit_cpu_seconds += time.process_time() - cpu
    users = _cases(fold)
    began, cpu = time.perf_counter(), time.process_time()
    ranked = model.recommend(users, max(config.ks))
    out.score_seconds += time.perf_counter() - began
    out.score_cpu_seconds += time.process_time() - cpu
    out.peak_rss_mb = max(out.peak_rss_mb, peak_rss_mb())

    if isinstance(model, Blend | SegmentBlend):
        out.weights.append(model.learned)
    if model.losses:
        out.losses.append([float(loss) for loss in model.losses])
    targets = fold.test[users]
    known = np.bincount(fold.train.likes.indices, minlength=fold.train.n_items).astype(np.float64)
    figures = accuracy(ranked, targets, config.ks)
    figures |= beyond_accuracy(ranked, fold, users, known, max(config.ks))
    if isinstance(model, RatingRecommender) and fold.test_ratings is not None:
        out.catalogue.setdefault("rmse", []).append(model.rmse(fold.test_ratings))
        out.catalogue.setdefault("mae", []).append(model.mae(fold.test_ratings))
    for name, values in figures.items():
        out.rows.setdefault(name, []).append(values)
    for k in config.ks:
        share = metrics.coverage(ranked, fold.train.n_items, k)
        out.catalogue.setdefault(f"coverage@{k}", []).append(share)
    cold = csr_matrix(targets.multiply(known[None, :] == 0))
    cold.eliminate_zeros()
    some = np.diff(cold.indptr) > 0
    for name, values in accuracy(ranked[some], cold[some], config.ks).items():
        out.cold.setdefault(name, []).append(values)
    if fold.train.content is not None:
        twins = Twins.of(fold.train.content, cold=known == 0, warm=known > 0)
        out.exposures.append(exposure(ranked, twins))


def accuracy(ranked: I64, targets: csr_matrix, ks: Sequence[int]) -> dict[str, F64]:
    """Metric name with its k -> float64 (cases,). Every case has a target."""
    hit = metrics.hits(ranked, targets)
    relevant = np.diff(targets.indptr)
    out: dict[str, F64] = {}
    for k in ks:
        out[f"precision@{k}"] = metrics.precision(hit, k)
        out[f"recall@{k}"] = metrics.recall(hit, relevant, k)
        out[f"ndcg@{k}"] = metrics.ndcg(hit, relevant, k)
        out[f"map@{k}"] = metrics.average_precision(hit, relevant, k)
        out[f"hit_rate@{k}"] = metrics.hit_rate(hit, k)
        out[f"mrr@{k}"] = metrics.reciprocal_rank(hit, k)
    return out


def beyond_accuracy(ranked: I64, fold: Fold, users: I64, known: F64, k: int) -> dict[str, F64]:
    """Diversity (by content where there is some, else by common users), novelty in bits, and
    popularity bias: how many times as popular a list is as what the user had (nan: had nothing)."""
    likes = fold.train.likes
    had = np.diff(likes.indptr)[users]
    own = np.asarray(likes[users] @ known) / np.maximum(had, 1)
    shown = metrics.mean_popularity(ranked, known, k)
    ratio = np.divide(shown, own, out=np.full(len(shown), np.nan), where=own > 0)
    return {
        f"diversity@{k}": metrics.diversity(ranked, _vectors(fold), k),
        f"novelty@{k}": metrics.novelty(ranked, known, fold.train.n_users, k),
        f"popularity_bias@{k}": ratio,
    }


def _vectors(fold: Fold, dimensions: int = 64) -> F32:
    """Content vectors, or a random projection of who likes an item: its cosines are theirs, nearly
    (Johnson & Lindenstrauss), and it is the same for all models."""
    if fold.train.content is not None:
        return fold.train.content
    signs = np.random.default_rng(0).choice(
        np.array([-1, 1], dtype=np.float32), (fold.train.n_users, dimensions)
    )
    return normalise(np.asarray(fold.train.likes.T @ signs))


def _cases(fold: Fold) -> I64:
    return np.flatnonzero(np.diff(fold.test.indptr))


def _segments(fold: Fold) -> I64:
    smallest = [size for _, size in SEGMENTS]
    had = np.diff(fold.train.likes.indptr)[_cases(fold)]
    return np.asarray(np.searchsorted(smallest, had, side="right") - 1)


def _summary(m: Measured, segments: I64, folds: int, config: CompareConfig) -> dict[str, Any]:
    names = list(m.rows)
    rows = np.stack([np.concatenate(m.rows[name]) for name in names], axis=1)  # (cases, metrics)
    complete = [name for name in names if not np.isnan(rows[:, names.index(name)]).any()]
    columns = [names.index(name) for name in complete]
    resampled = metrics.bootstrap_means(rows[:, columns], config.samples, config.seed)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    out: dict[str, Any] = {
        "metrics": {name: _mean(rows[:, c]) for c, name in enumerate(names)}
        | {name: float(np.mean(values)) for name, values in m.catalogue.items()},
        "ci": {name: [float(a), float(b)] for name, a, b in zip(complete, low, high, strict=True)},
        "fit_seconds": round(m.fit_seconds / folds, 3),
        "fit_cpu_seconds": round(m.fit_cpu_seconds / folds, 3),
        "score_seconds": round(m.score_seconds / folds, 3),
        "score_cpu_seconds": round(m.score_cpu_seconds / folds, 3),
        "peak_rss_mb": round(m.peak_rss_mb, 1),
        "segments": {
            segment: {
                name: float(rows[segments == s, names.index(name)].mean()) for name in complete
            }
            for s, (segment, _) in enumerate(SEGMENTS)
            if (segments == s).any()
        },
    }
    if m.weights:
        out["weights"] = m.weights
    if m.losses:
        out["losses"] = m.losses
    if m.exposures:
        out["cold_exposure"] = m.exposures
    if folds > 1:
        out["folds"] = {name: [_mean(v) for v in m.rows[name]] for name in names}
    cold = {name: np.concatenate(values) for name, values in m.cold.items()}
    cases = len(next(iter(cold.values())))
    if cases:
        out["cold_items"] = {name: float(values.mean()) for name, values in cold.items()}
        out["cold_items"]["cases"] = cases
    return out


def _mean(values: F64) -> float | None:
    """Over the cases that have a value; None where none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _paired(
    measured: dict[str, Measured], metric: str, segments: I64, config: CompareConfig
) -> list[Any]:
    """For each pair of models how much they differ, over all cases and in every segment."""
    rows = {name: np.concatenate(m.rows[metric]) for name, m in measured.items()}
    pairs = list(combinations(rows, 2))
    groups = {"all": np.ones(len(segments), dtype=bool)}
    groups |= {name: segments == s for s, (name, _) in enumerate(SEGMENTS)}
    found: list[dict[str, Any]] = [{"models": list(pair), "metric": metric} for pair in pairs]
    for group, mask in groups.items():
        if not mask.any():
            continue
        differences = np.stack([rows[a][mask] - rows[b][mask] for a, b in pairs], axis=1)
        resampled = metrics.bootstrap_means(differences, config.samples, config.seed)
        for number, of_pair in enumerate(found):
            told = _difference(differences[:, number], resampled[:, number])
            if group == "all":
                of_pair |= told
            else:
                of_pair.setdefault("segments", {})[group] = told
    return found


def _difference(differences: F64, resampled: F64) -> dict[str, Any]:
    """Mean difference, its 95% interval, and the two-sided bootstrap p."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    tail = min((resampled <= 0).mean(), (resampled >= 0).mean())
    return {
        "difference": float(differences.mean()),
        "ci": [float(low), float(high)],
        "p": float(min(1.0, 2 * max(tail, 1 / len(resampled)))),
    }


def print_comparison(report: dict[str, Any], k: int, to: Console) -> None:
    """The table for people; ± is half of the 95% interval, segments are NDCG@k by known items."""
    groups = [name for name, _ in SEGMENTS if report["cases"][name]]
    table = Table(title=f"{report['split']} split, {report['cases']['all']:,} cases")
    table.add_column("model", no_wrap=True)
    for head in (f"recall@{k}", f"ndcg@{k}", f"coverage@{k}", *groups, "fit s", "score s", "MB"):
        table.add_column(head, justify="right", no_wrap=True)
    rated = any("rmse" in model["metrics"] for model in report["models"].values())
    if rated:
        table.add_column("RMSE", justify="right")
    for name, model in report["models"].items():
        low, high = model["ci"][f"ndcg@{k}"]
        cells = [
            f"{model['metrics'][f'recall@{k}']:.4f}",
            f"{model['metrics'][f'ndcg@{k}']:.4f} ±{(high - low) / 2:.4f}",
            f"{model['metrics'][f'coverage@{k}']:.3f}",
            *(f"{model['segments'][group][f'ndcg@{k}']:.4f}" for group in groups),
            f"{model['fit_seconds']:.1f}",
            f"{model['score_seconds']:.1f}",
            f"{model['peak_rss_mb']:.0f}",
        ]
        if rated:
            cells.append(f"{model['metrics'].get('rmse', float('nan')):.4f}")
        table.add_row(name, *cells)
    to.print(table)


def peak_rss_mb() -> float:
    """The most memory this process held since `_reset_peak_rss`, in MiB (Linux' VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _reset_peak_rss() -> None:
    """Start VmHWM anew; where the kernel forbids it, later models inherit the earlier peak."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        if os.environ.get("HEMLINE_DEBUG"):
            raise
