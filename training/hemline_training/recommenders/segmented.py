"""A blend whose weights depend on how much is known of a user, learned on windows of time.

Who is new takes what everybody takes; who comes back has seen that, and what they had says a little
more. One set of weights would be wrong for both. So each segment of `hemline.blend` has its own,

    w_s = (n_s ŵ_s + prior ŵ) / (n_s + prior)

ŵ_s the best for the n_s cases of the segment, ŵ for all cases, every segment counting as much as
any other: few cases say little by themselves. Cases come from several windows, cut one after
another off the end of what may be learned from: all parts are fitted on what was known before a
window and asked for what was liked in it, as they will be of the time to come. One window alone
would choose what was right in that season.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from hemline.blend import SEGMENTS
from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.metrics import F64
from hemline_training.recommenders.base import I64, Feedback, Recommender, blocks
from hemline_training.recommenders.baselines import (
    MostPopular,
    RecentPopular,
    ReturningPopular,
    Rising,
)
from hemline_training.recommenders.blended import (
    Factories,
    Pool,
    coordinate_search,
    standardise,
)
from hemline_training.recommenders.ease import Ease
from hemline_training.recommenders.low_rank import Ials
from hemline_training.recommenders.memory_cf import ItemNeighbours, Rp3Beta

Weights = dict[str, float]


def cold_parts(seed: int = 0) -> Factories:
    """For shops most of whose customers are new: what is popular, with whom and since when, beside
    everything that says something from one item.

    Chosen on windows of the train part of Rent the Runway's time split (training/LOG.md).
    """
    return {
        "popular": MostPopular,
        "recent-14": lambda: RecentPopular(14.0),
        "recent-30": lambda: RecentPopular(30.0),
        "recent-60": lambda: RecentPopular(60.0),
        "returning-30": lambda: ReturningPopular(30.0),
        "returning-90": lambda: ReturningPopular(90.0),
        "rising": Rising,
        "ease": lambda: Ease(regularisation=50.0),
        "rp3beta": lambda: Rp3Beta(k=1000, alpha=0.6, beta=0.3),
        "item-knn": lambda: ItemNeighbours(k=400, power=0.3, user_power=0.5),
        "ials": lambda: Ials(factors=64, regularisation=0.003, seed=seed),
    }


@dataclass
class SegmentBlend(Recommender):
    """parts: name -> a new model. windows of `share` of all likes each are learned from; k is of
    the metric. users: at most so many cases of a segment and window. candidates: of each part.
    prior: see above, in cases. weights: by segment and part, instead of learning them.
    """

    parts: Factories
    weights: dict[str, Weights] | None = None
    k: int = 10
    windows: int = 4
    share: float = 0.1
    users: int = 2_000
    candidates: int = 60
    prior: float = 1_000.0
    keep_below: float = 0.01
    seed: int = 0
    learned: dict[str, Weights] = field(default_factory=dict, init=False)

    def _fit(self, feedback: Feedback) -> None:
        self.learned = self._learn(feedback) if self.weights is None else self.weights
        used = [
            part
            for part in self.parts
            if any(of[part] > self.keep_below for of in self.learned.values())
        ]
        self._fitted = {name: self.parts[name]().fit(feedback) for name in used}

    def fold_in(self, newcomers: Feedback) -> F32:
        parts = {name: model.fold_in(newcomers) for name, model in self._fitted.items()}
        return self._sum(parts, newcomers.likes)

    def score(self, users: npt.ArrayLike) -> F32:
        parts = {name: model.score(users) for name, model in self._fitted.items()}
        return self._sum(parts, self.feedback.likes[np.asarray(users)])

    def _sum(self, parts: dict[str, F32], histories: csr_matrix) -> F32:
        segments = segments_of(histories)
        total = np.zeros(histories.shape, dtype=np.float32)
        for name, scores in parts.items():
            weight = np.array([self.learned[segment][name] for segment, _ in SEGMENTS])
            standardise(scores, histories)
            scores *= weight[segments].astype(np.float32)[:, None]
            total += scores
        return total

    def _learn(self, feedback: Feedback) -> dict[str, Weights]:
        pools: list[list[Pool]] = [[] for _ in SEGMENTS]
        for past, wanted in time_windows(feedback, self.windows, self.share):
            fitted = {name: make().fit(past) for name, make in self.parts.items()}
            users = np.flatnonzero(np.diff(wanted.indptr))
            segments = segments_of(past.likes[users])
            for number, of_segment in enumerate(pools):
                mine = self._some(users[segments == number])
                for part in blocks(len(mine), feedback.n_items, 32 << 20):
                    rows = mine[part]
                    scores = {n: _ready(m, rows, past) for n, m in fitted.items()}
                    of_segment.append(Pool.of(scores, wanted[rows], self.candidates))
        return self._weights(pools)

    def _some(self, users: I64) -> I64:
        if len(users) <= self.users:
            return users
        return np.sort(np.random.default_rng(self.seed).choice(users, self.users, replace=False))

    def _weights(self, pools: list[list[Pool]]) -> dict[str, Weights]:
        def best_for(groups: list[list[Pool]]) -> F64:
            """For the mean over groups of the mean over a group's cases."""

            def gain(weights: F64) -> float:
                of_groups = [[pool.gains(weights, self.k) for pool in group] for group in groups]
                return float(np.mean([np.concatenate(gains).mean() for gains in of_groups]))

            return coordinate_search(gain, len(self.parts), self.seed)

        overall = best_for([of_segment for of_segment in pools if of_segment])
        out = {}
        for (name, _), of_segment in zip(SEGMENTS, pools, strict=True):
            cases = sum(len(pool.hit) for pool in of_segment)
            best = best_for([of_segment]) if of_segment else overall
            drawn = (cases * best + self.prior * overall) / (cases + self.prior)
            out[name] = dict(zip(self.parts, drawn.tolist(), strict=True))
        return out


def time_windows(
    feedback: Feedback, windows: int, share: float
) -> Iterator[tuple[Feedback, csr_matrix]]:
    """What was known at some moments, latest first, and what was liked from there to the next one.

    share: of all likes in each window. The second is float32 CSR (n_users, n_items).
    Raises InvalidInputError where likes have no time, or nothing would be left to learn from.
    """
    times = feedback.times_ms
    if times is None or times.nnz < feedback.likes.nnz:
        raise InvalidInputError("times_ms", "to learn on windows of time, each like needs its time")
    if not 0 < windows * share < 1:
        raise InvalidInputError("windows", f"{windows} of {share} leave nothing to learn from")
    edges = np.quantile(times.data, [1 - share * n for n in range(windows + 1)], method="lower")
    end = int(times.data.max(initial=0)) + 1
    for start in edges[1:].astype(np.int64):
        before, within = times.copy(), times.copy()
        before.data = (times.data < start).astype(np.float32)
        within.data = ((times.data >= start) & (times.data < end)).astype(np.float32)
        before.eliminate_zeros()
        within.eliminate_zeros()
        if not before.nnz or not within.nnz:
            raise InvalidInputError("times_ms", "too many likes share one time to cut windows")
        yield replace(feedback.keeping(before), now_ms=int(start)), within
        end = int(start)


def segments_of(histories: csr_matrix) -> I64:
    """int64 (b,): index into `hemline.blend.SEGMENTS` by the number of likes."""
    smallest = [size for _, size in SEGMENTS]
    return np.asarray(np.searchsorted(smallest, np.diff(histories.indptr), side="right") - 1)


def _ready(model: Recommender, users: I64, past: Feedback) -> npt.NDArray[np.float16]:
    """Standardised scores, -inf at what the user has."""
    scores = model.score(users)
    histories = past.likes[users]
    standardise(scores, histories)
    scores[histories.nonzero()] = -np.inf
    return np.clip(scores, -np.inf, 6e4).astype(np.float16)
