"""A blend of recommenders whose weights are learned on a hold-out of the feedback it is given.

    s(u, i) = Σ_m w_m (s_m(u, i) - mean_j s_m(u, j)) / std_j s_m(u, j)        j: not in u's history

Standardising each user's scores makes models comparable whose scores are not. The weights are those
with the best recall@k + NDCG@k on a tenth of some people's likes, held out before any part is
fitted; then all parts are fitted anew on everything. The test part of a split is never looked at.
(Some people's only: were everybody's history thinned out, the parts would look worse than they are,
and not all alike.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training import metrics
from hemline_training.metrics import F64
from hemline_training.recommenders.base import Feedback, Recommender, blocks
from hemline_training.recommenders.ease import Ease
from hemline_training.recommenders.graph_filters import bspm
from hemline_training.recommenders.low_rank import Ials
from hemline_training.recommenders.memory_cf import ItemNeighbours, Rp3Beta, UserNeighbours
from hemline_training.recommenders.sequences import SequentialNeighbours
from hemline_training.splits import hold_out

Factories = Mapping[str, Callable[[], Recommender]]

PADDING = -1e6  # below every standardised score


def linear_parts(seed: int = 0) -> Factories:
    """What the blend is made of for pure interactions: a spectral filter, a walk, a factorisation.

    Chosen on the last fifth of every line of Gowalla's training part (training/LOG.md).
    """
    return {
        "bspm": lambda: bspm(seed),
        "rp3beta": lambda: Rp3Beta(k=1000, alpha=0.6, beta=0.3),
        "ials": lambda: Ials(factors=256, unobserved=0.1, regularisation=0.0003, seed=seed),
    }


def ordered_parts(seed: int = 0) -> Factories:
    """For data whose order is known: the same with the latest likes counting most, what people like
    who lately liked alike, and what stands next to what in histories.

    Chosen on the last fifth of every line of Gowalla's training part (training/LOG.md).
    """
    return {
        "bspm": lambda: bspm(seed, recency=0.5),
        "rp3beta": lambda: Rp3Beta(k=1000, alpha=0.6, beta=0.3, recency=0.5),
        "ials": lambda: Ials(recency=0.8, seed=seed),
        "user-knn": lambda: UserNeighbours(k=500, item_power=1.0, recency=0.3),
        "near": lambda: SequentialNeighbours(window=30, decay=0.5, recency=0.5),
        "next": lambda: SequentialNeighbours(
            window=10, decay=1.0, backward=0.0, to_power=0.3, recency=0.8
        ),
    }


def sparse_parts(seed: int = 0) -> Factories:
    """The same for data of few events a user, where walks and filters lift noise from rare items.

    Chosen on hold-outs of Amazon Baby's training part (training/LOG.md).
    """
    from hemline_training.recommenders.lightgcn import LightGCN  # torch

    return {
        "ease": lambda: Ease(regularisation=500.0, user_power=0.5, item_power=0.2),
        "user-knn": lambda: UserNeighbours(k=3000, item_power=0.5, power=0.3, shrinkage=1.0),
        "item-knn": lambda: ItemNeighbours(
            k=1000, power=0.7, to_power=0.2, user_power=0.5, shrinkage=20.0
        ),
        "item-knn-2": lambda: ItemNeighbours(
            k=1000, power=0.3, user_power=1.0, shrinkage=5.0, hops=2
        ),
        "ials": lambda: Ials(
            factors=64, unobserved=0.03, regularisation=0.01, frequency=0.5, seed=seed
        ),
        "lightgcn": lambda: LightGCN(epochs=20, seed=seed),
    }


@dataclass
class Blend(Recommender):
    """parts: name -> a new model. weights: by name; None to learn them, which fits all parts twice.

    held: share of each user's likes. latest: hold out the latest of them, not any; for tests that
    come after what is learned from. users: how many lose some, and are scored. rounds: hold-outs of
    other users, whose weights are averaged: one alone is mostly luck. candidates: of each
    part, among which the weights are learned. keep_below: parts whose weight is smaller are dropped
    before the final fit.
    """

    parts: Factories
    weights: Mapping[str, float] | None = None
    k: int = 20
    held: float = 0.1
    latest: bool = False
    users: int = 5_000
    rounds: int = 1
    candidates: int = 150
    keep_below: float = 0.01
    seed: int = 0
    learned: dict[str, float] = field(default_factory=dict, init=False)

    def _fit(self, feedback: Feedback) -> None:
        chosen = dict(self.weights) if self.weights is not None else self._learn(feedback)
        self.learned = {name: w for name, w in chosen.items() if w > self.keep_below}
        self._fitted = {name: self.parts[name]().fit(feedback) for name in self.learned}

    def fold_in(self, newcomers: Feedback) -> F32:
        parts = (model.fold_in(newcomers) for model in self._fitted.values())
        return self._sum(parts, newcomers.likes)

    def score(self, users: npt.ArrayLike) -> F32:
        parts = (model.score(users) for model in self._fitted.values())
        return self._sum(parts, self.feedback.likes[np.asarray(users)])

    def _sum(self, parts: Iterable[F32], histories: csr_matrix) -> F32:
        total = np.zeros(histories.shape, dtype=np.float32)
        for weight, scores in zip(self.learned.values(), parts, strict=True):
            standardise(scores, histories)
            scores *= weight
            total += scores
        return total

    def _learn(self, feedback: Feedback) -> dict[str, float]:
        if self.latest and feedback.places is None:
            raise InvalidInputError("places", "to hold out the latest likes, their order is needed")
        of_rounds = [self._learn_once(feedback, self.seed + n) for n in range(self.rounds)]
        return {name: float(np.mean([w[name] for w in of_rounds])) for name in self.parts}

    def _learn_once(self, feedback: Feedback, seed: int) -> dict[str, float]:
        places = feedback.places if self.latest else None
        kept, held = hold_out(feedback.likes, self.held, seed, places, self.users)
        past = feedback.keeping(kept)
        cases = np.flatnonzero(np.diff(held.indptr))
        histories = kept[cases]
        scores = {}
        for name, make in self.parts.items():
            model = make().fit(past)
            scores[name] = np.concatenate(
                [
                    _without_seen(model.score(cases[part]), histories[part]).astype(np.float16)
                    for part in blocks(len(cases), feedback.n_items)
                ]
            )
        return learn_weights(scores, held[cases], self.k, self.candidates, seed)


def standardise(scores: F32, histories: csr_matrix) -> None:
    """Each row less its mean, over its deviation, both without the history; in place."""
    count = np.maximum(scores.shape[1] - np.diff(histories.indptr), 1)[:, None]
    rows, columns = histories.nonzero()
    seen = np.zeros((len(scores), 2))
    of_seen = scores[rows, columns].astype(np.float64)
    mean_all = scores.mean(axis=1, dtype=np.float64)
    scores -= mean_all[:, None].astype(np.float32)  # first, so that the squares keep their digits
    of_seen -= mean_all[rows]
    np.add.at(seen, rows, np.stack([of_seen, of_seen**2], axis=1))
    mean = -seen[:, :1] / count  # the centred row sums to 0
    squares = np.einsum("bn,bn->b", scores, scores, dtype=np.float64)[:, None] - seen[:, 1:]
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    scores -= mean.astype(np.float32)
    scores /= np.maximum(deviation, 1e-12).astype(np.float32)


def learn_weights(
    scores: Mapping[str, npt.NDArray[np.float16]],
    wanted: csr_matrix,
    k: int = 20,
    candidates: int = 150,
    seed: int = 0,
) -> dict[str, float]:
    """Weights that sum to 1 with the best recall@k + NDCG@k on `wanted`, CSR (cases, n_items).

    scores: name -> standardised (cases, n_items), -inf where the user has the item. Only the union
    of each part's best candidates is looked at: nothing else can reach the first k of a blend
    unless all parts place it below `candidates`.
    """
    pool = Pool.of(scores, wanted, candidates)
    weights = coordinate_search(lambda w: pool.gains(w, k).mean(), len(scores), seed)
    return {name: float(w) for name, w in zip(scores, weights, strict=True)}


@dataclass(frozen=True)
class Pool:
    """What the parts say of some candidates of some cases.

    z: float32 (cases, C, parts), PADDING where a list is shorter or the user has the item. hit:
    bool (cases, C). relevant: int (cases,), targets of the case, among the candidates or not.
    """

    z: F32
    hit: npt.NDArray[np.bool_]
    relevant: npt.NDArray[np.integer]

    @classmethod
    def of(
        cls, scores: Mapping[str, npt.NDArray[np.float16]], wanted: csr_matrix, candidates: int
    ) -> Pool:
        """The union of each part's best; arguments as those of `learn_weights`."""
        near = min(candidates, wanted.shape[1] - 1)
        # Block by block: a partition of all cases would hold eight bytes for every score.
        best_of_each = [
            np.concatenate(
                [np.argpartition(-s[part], near, axis=1)[:, :near] for part in blocks(*s.shape)]
            )
            for s in scores.values()
        ]
        pool = np.concatenate(best_of_each, axis=1)
        pool.sort(axis=1)
        pool[np.diff(pool, axis=1, prepend=-1) == 0] = wanted.shape[1]
        pool.sort(axis=1)
        pool = pool[:, : int((pool < wanted.shape[1]).sum(axis=1).max(initial=1))]
        padding = pool == wanted.shape[1]
        pool[padding] = -1
        z: F32 = np.stack(
            [np.take_along_axis(s, np.maximum(pool, 0), axis=1) for s in scores.values()], axis=2
        ).astype(np.float32)
        z[padding | np.isneginf(z).any(axis=2)] = PADDING
        return cls(z, metrics.hits(pool, wanted), np.diff(wanted.indptr))

    def gains(self, weights: F64, k: int) -> F64:
        """recall@k + NDCG@k of every case under these weights, float64 (cases,)."""
        best = metrics.top_k(self.z @ weights.astype(np.float32), k)
        found = np.take_along_axis(self.hit, best, axis=1)
        return np.asarray(
            metrics.recall(found, self.relevant, k) + metrics.ndcg(found, self.relevant, k)
        )


def coordinate_search(gain: Callable[[F64], float], parts: int, seed: int = 0) -> F64:
    """Non-negative weights summing to 1: one weight at a time made larger or smaller by a factor
    while that helps, then by a smaller factor; the metric is a step function without gradient."""
    rng = np.random.default_rng(seed)
    weights = np.full(parts, 1.0 / parts)
    best, step = gain(weights), 0.5
    while step >= 0.02:
        improved = False
        for part in rng.permutation(parts):
            for factor in (1.0 + step, 1.0 / (1.0 + step), 0.0 if weights[part] < 0.01 else 1.0):
                tried = weights.copy()
                tried[part] *= factor
                if factor == 1.0 or not tried.any():
                    continue
                tried /= tried.sum()
                found = gain(tried)
                if found > best:
                    best, weights, improved = found, tried, True
        if not improved:
            step /= 2
    return weights


def _without_seen(scores: F32, histories: csr_matrix) -> F32:
    standardise(scores, histories)
    scores[histories.nonzero()] = -np.inf
    return scores
