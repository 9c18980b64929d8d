"""Learning the blend: candidate lists as serving makes them, and weights for each history size.

The weights maximise the likelihood of a listwise softmax over real candidate lists (ListNet, Cao et
al., ICML 2007) on the validation part of the time split: convex in the weights, so the answer does
not depend on where the search starts. Weights are not negative: a part may be useless, never
perverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from tqdm import tqdm

from hemline.blend import MAX_Z, PARTS, SEGMENTS, standardise
from hemline.vectors import F32
from hemline_training import metrics
from hemline_training.interactions import I64
from hemline_training.models import Models, part_scores
from hemline_training.splits import Cases

Weights = dict[str, float]

LEAST_WEIGHT = 0.01  # of weights that sum to 1
FEWEST_CASES = 30  # a segment with fewer validation cases takes the weights of all


@dataclass(frozen=True)
class CandidatesConfig:
    """How many candidates each source contributes before duplicates are removed.

    The gateway reads these numbers from blend.json; cf is no source there.
    """

    tower: int = 200
    content: int = 150
    cf: int = 0
    neighbours: int = 100
    popularity: int = 100
    trending: int = 50

    def most(self, source: str) -> int:
        return int(getattr(self, source))


@dataclass(frozen=True)
class Ranked:
    """Lists for every case, items of the history left out.

    lists: part -> int64 (c, k), the whole catalogue ranked by that part alone; a user whom the part
    knows nothing about gets the most popular instead. candidates: int64 (c, C), rows, -1 padded.
    z: float32 (c, C, len(PARTS)), standardised within each list. hit: bool (c, C).
    """

    lists: dict[str, I64]
    candidates: I64
    z: F32
    hit: npt.NDArray[np.bool_] = field(repr=False)


def rank_cases(
    models: Models, cases: Cases, config: CandidatesConfig, k: int, chunk: int = 128
) -> Ranked:
    """Score every item for every case, chunk by chunk; see Ranked."""
    width = sum(config.most(source) for source in PARTS)
    lists = {part: np.full((len(cases), k), -1, dtype=np.int64) for part in PARTS}
    candidates = np.full((len(cases), width), -1, dtype=np.int64)
    z = np.zeros((len(cases), width, len(PARTS)), dtype=np.float32)
    starts = range(0, len(cases), chunk)
    for start in tqdm(starts, desc="ranking", unit="chunk", leave=False, disable=None):
        part = slice(start, min(start + chunk, len(cases)))
        histories = cases.histories.part(part.start, part.stop)
        scores = part_scores(models, histories)
        seen = histories.seen.nonzero()
        found = []
        for name in PARTS:
            listed = scores[name]
            if name in ("popularity", "trending"):  # a list of what is popular borrows nothing
                listed = np.broadcast_to(getattr(models, name), listed.shape)
            usable = np.where(np.isfinite(listed), listed, np.float32(-np.inf))
            usable[seen] = -np.inf
            best = metrics.top_k(usable, max(k, config.most(name)))
            lists[name][part, : best.shape[1]] = best[:, :k]
            source = best[:, : config.most(name)]
            if name == "neighbours":  # an item that neighbours nothing is no candidate
                source = np.where(np.take_along_axis(usable, source, 1) > 0, source, -1)
            found.append(source)
        union = _distinct(np.concatenate(found, axis=1))
        candidates[part, : union.shape[1]] = union
        for number, name in enumerate(PARTS):
            values = np.take_along_axis(scores[name], np.maximum(union, 0), axis=1)
            values = np.where(union >= 0, values, np.float32(np.nan))
            z[part, : union.shape[1], number] = standardise(values)
    for name in PARTS:
        nothing = (lists[name] < 0).all(axis=1)
        lists[name][nothing] = lists["popularity"][nothing]
    used = max(int((candidates >= 0).sum(axis=1).max(initial=0)), 1)
    candidates = candidates[:, :used]
    return Ranked(lists, candidates, z[:, :used], metrics.hits(candidates, cases.targets))


def fit_weights(ranked: Ranked, l2: float = 1e-3, towards: npt.ArrayLike = 0.0) -> Weights:
    """The weights under which targets are likeliest: minimise

        mean over lists (logsumexp(z w) - mean over the list's targets (z w)) + l2 |w - towards|²

    over w >= 0. Lists without a target among their candidates say nothing and are left out.
    """
    use = ranked.hit.any(axis=1)
    z = ranked.z[use].astype(np.float64)
    real = ranked.candidates[use] >= 0
    target = ranked.hit[use] / ranked.hit[use].sum(axis=1, keepdims=True)
    wanted = np.einsum("lc,lcp->lp", target, z)
    towards = np.broadcast_to(np.asarray(towards, np.float64), (len(PARTS),))

    def loss(w: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        scores = np.where(real, z @ w, -np.inf)
        top = scores.max(axis=1, keepdims=True)
        odds = np.where(real, np.exp(scores - top), 0.0)
        total = odds.sum(axis=1, keepdims=True)
        value = (top + np.log(total))[:, 0] - wanted @ w
        expected = np.einsum("lc,lcp->lp", odds / total, z)
        away = w - towards
        return value.mean() + l2 * away @ away, (expected - wanted).mean(axis=0) + 2 * l2 * away

    if not use.any():
        return dict.fromkeys(PARTS, 1.0 / len(PARTS))
    start = np.full(len(PARTS), 0.1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(PARTS))
    return {name: float(w) for name, w in zip(PARTS, found.x, strict=True)}


@dataclass(frozen=True)
class Blend:
    """Weights by segment, and how well they did on the validation cases they were learned from."""

    weights: dict[str, Weights]
    cases: dict[str, int]
    ndcg: dict[str, float]
    k: int
    candidates: CandidatesConfig

    def rank(self, ranked: Ranked, segments: I64, k: int) -> I64:
        """The blended lists int64 (c, k), -1 padded. segments: int (c,), indices of SEGMENTS."""
        w = np.array([[self.weights[name][part] for part in PARTS] for name, _ in SEGMENTS])
        scores = np.einsum("lcp,lp->lc", ranked.z, w[segments].astype(np.float32))
        scores = np.where(ranked.candidates >= 0, scores, np.float32(-np.inf))
        best = metrics.top_k(scores, k)
        rows = np.take_along_axis(ranked.candidates, np.maximum(best, 0), axis=1)
        out = np.full((len(rows), k), -1, dtype=np.int64)
        out[:, : rows.shape[1]] = np.where(best >= 0, rows, -1)
        return out

    @property
    def left_out(self) -> list[str]:
        """Parts that earned no weight worth the name for anybody: they decide nothing."""
        most = {part: max(of[part] for of in self.weights.values()) for part in PARTS}
        return [part for part in PARTS if most[part] < LEAST_WEIGHT]

    def manifest(self, log: Mapping[str, Any]) -> dict[str, Any]:
        """What blend.json says. log: what the manifest says about the event log."""
        return {
            "parts": list(PARTS),
            "max_z": MAX_Z,
            "segments": [
                {
                    "name": name,
                    "fewest_items": smallest,
                    "weights": self.weights[name],
                    "validation_cases": self.cases[name],
                    f"validation_ndcg@{self.k}": self.ndcg[name],
                }
                for name, smallest in SEGMENTS
            ],
            "left_out": self.left_out,
            "candidates": {part: self.candidates.most(part) for part in PARTS},
            "simulated": bool(log.get("simulated", False)),
        }


def fit_blend(ranked: Ranked, cases: Cases, config: CandidatesConfig, k: int = 20) -> Blend:
    """Weights for every segment, each drawn a little towards those of all users with a history.

    Scaled to sum to 1 (only their ratios matter for the order).
    """
    segments = cases.segments
    with_history = fit_weights(_only(ranked, segments > 0))
    pooled = np.array([with_history[part] for part in PARTS])
    weights: dict[str, Weights] = {}
    for number, (name, _) in enumerate(SEGMENTS):
        mine = segments == number
        if mine.sum() < FEWEST_CASES:
            fitted = with_history
        else:
            fitted = fit_weights(_only(ranked, mine), towards=pooled if number else 0.0)
        total = sum(fitted.values()) or 1.0
        weights[name] = {part: w / total for part, w in fitted.items()}
    counts = {name: int((segments == s).sum()) for s, (name, _) in enumerate(SEGMENTS)}
    blend = Blend(weights, counts, {}, k, config)
    hit = metrics.hits(blend.rank(ranked, segments, k), cases.targets)
    gain = metrics.ndcg(hit, np.diff(cases.targets.indptr), k)
    for number, (name, _) in enumerate(SEGMENTS):
        mine = segments == number
        blend.ndcg[name] = float(gain[mine].mean()) if mine.any() else 0.0
    return blend


def _only(ranked: Ranked, mask: npt.NDArray[np.bool_]) -> Ranked:
    return Ranked({}, ranked.candidates[mask], ranked.z[mask], ranked.hit[mask])


def _distinct(rows: I64) -> I64:
    """Each row's distinct non-negative values ascending, then -1; trimmed to the longest."""
    rows = np.sort(rows, axis=1)
    repeated = np.diff(rows, axis=1, prepend=-2) == 0
    big = np.iinfo(np.int64).max
    rows = np.sort(np.where(repeated | (rows < 0), big, rows), axis=1)
    longest = int((rows != big).sum(axis=1).max(initial=0))
    return np.where(rows == big, -1, rows)[:, :longest]
