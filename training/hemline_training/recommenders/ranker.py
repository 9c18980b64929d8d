"""The second stage: candidates of several first stages, ranked by all that is known of the pair.

    network      a small MLP on the features, binary cross entropy
    lambdarank   gradient boosted trees on the ranking itself (Burges, "From RankNet to LambdaRank
                 to LambdaMART", 2010), by LightGBM

It is trained on what each user held back: the first stages are fitted without it, or the second
would learn to trust scores that have already seen the answer. A fifth of the users sets a Platt
scaling (Platt, 1999) that turns scores into the probability that the candidate is liked; being
monotone, it leaves the ranking alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.recommenders.base import I64, Feedback, Recommender, blocks
from hemline_training.recommenders.rank_features import Candidates, RankFeatures, names_of
from hemline_training.splits import hold_out

KINDS = ("network", "lambdarank")


@dataclass
class Ranker(Recommender):
    """parts: name -> a new first stage. candidates: taken from each. held: share of each user's
    likes to learn from. users: at most so many are learnt from.
    """

    parts: Mapping[str, Callable[[], Recommender]]
    kind: str = "lambdarank"
    candidates: int = 100
    held: float = 0.2
    users: int = 3_000
    rounds: int = 200  # trees, or epochs / 10 of the network
    learning_rate: float = 0.05
    seed: int = 0

    def _fit(self, feedback: Feedback) -> None:
        if self.kind not in KINDS:
            raise InvalidInputError("kind", f"is {self.kind!r}; there are {', '.join(KINDS)}")
        kept, held = hold_out(feedback.likes, self.held, self.seed)
        cases = np.flatnonzero(np.diff(held.indptr))
        if len(cases) < 5:
            raise InvalidInputError(
                "likes", f"{len(cases)} users have two likes; the ranker needs at least 5 of them"
            )
        rng = np.random.default_rng(self.seed)
        cases = rng.permutation(cases)[: self.users]
        past = feedback.keeping(kept)
        self._features = RankFeatures.of(past)
        first = {name: make().fit(past) for name, make in self.parts.items()}
        learn, calibrate = np.split(cases, [len(cases) * 4 // 5])
        self._learn(*self._examples(first, past, held, learn))
        found, liked, _ = self._examples(first, past, held, calibrate)
        self._platt(self._raw(found.features), liked)
        self._features = RankFeatures.of(feedback)
        self._first = {name: make().fit(feedback) for name, make in self.parts.items()}

    def score(self, users: npt.ArrayLike) -> F32:
        rows = np.asarray(users, dtype=np.int64)
        scores = {name: model.score(rows) for name, model in self._first.items()}
        return self._ranked(scores, self.feedback.of_users(rows))

    def fold_in(self, newcomers: Feedback) -> F32:
        scores = {name: model.fold_in(newcomers) for name, model in self._first.items()}
        return self._ranked(scores, newcomers)

    def probability(self, features: F32) -> F32:
        """That a candidate with these features is liked: (p, f) -> float32 (p,) in 0..1."""
        return np.asarray(expit(self._log_odds(features)), dtype=np.float32)

    @property
    def importance(self) -> dict[str, float]:
        """Share of the trees' gain by feature, largest first; of the network's none is known."""
        if self.kind != "lambdarank":
            return {}
        gain = np.asarray(self._model.feature_importance("gain"), dtype=np.float64)
        share = zip(names_of(self.parts), gain / max(gain.sum(), 1e-12), strict=True)
        return dict(sorted(share, key=lambda pair: -pair[1]))

    def _ranked(self, scores: dict[str, F32], histories: Feedback) -> F32:
        """Candidates by log odds, within ±15; below them all others by the mean first stage."""
        found = self._features.candidates(scores, histories, self.candidates)
        rest = np.mean([np.nan_to_num(s, neginf=0.0) for s in scores.values()], axis=0)
        out = np.asarray(np.tanh(rest / 10) - 20, dtype=np.float32)
        out[found.users, found.items] = np.clip(self._log_odds(found.features), -15, 15)
        return out

    def _examples(
        self, first: Mapping[str, Recommender], past: Feedback, held: Any, users: I64
    ) -> tuple[Candidates, npt.NDArray[np.bool_], I64]:
        """Candidates of the users, which of them were held back, and how many each user has."""
        parts: list[Candidates] = []
        for part in blocks(len(users), past.n_items):
            scores = {name: model.score(users[part]) for name, model in first.items()}
            found = self._features.candidates(scores, past.of_users(users[part]), self.candidates)
            parts.append(replace(found, users=found.users + part.start))
        owner = np.concatenate([p.users for p in parts])
        items = np.concatenate([p.items for p in parts])
        all_found = Candidates(
            owner,
            items,
            np.concatenate([p.first for p in parts]),
            np.concatenate([p.features for p in parts]),
        )
        liked = np.asarray(held[users[owner], items]).ravel() > 0
        return all_found, liked, np.bincount(owner, minlength=len(users))

    def _learn(self, found: Candidates, liked: npt.NDArray[np.bool_], sizes: I64) -> None:
        if self.kind == "network":
            self._fit_network(found.features, liked)
            return
        data = lightgbm.Dataset(found.features, liked.astype(int), group=sizes[sizes > 0])
        settings = {
            "objective": "lambdarank",
            "lambdarank_truncation_level": 30,
            "learning_rate": self.learning_rate,
            "num_leaves": 15,
            "min_data_in_leaf": 20,
            "num_threads": 1,
            "deterministic": True,
            "seed": self.seed,
            "verbosity": -1,
        }
        self._model: Any = lightgbm.train(settings, data, num_boost_round=self.rounds)

    def _fit_network(self, features: F32, liked: npt.NDArray[np.bool_]) -> None:
        torch.manual_seed(self.seed)
        self._mean, self._deviation = features.mean(axis=0), features.std(axis=0)
        width = features.shape[1]
        self._model = nn.Sequential(
            nn.Linear(width, 64),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(64, 32),
            nn.GELU(),
            nn.Linear(32, 1),
        )
        x = self._inputs(features)
        y = torch.from_numpy(liked.astype(np.float32))
        optimiser = torch.optim.AdamW(self._model.parameters(), 3e-3, weight_decay=1e-3)
        rng = np.random.default_rng(self.seed)
        self.losses: list[float] = []
        for _ in range(max(self.rounds // 10, 1)):
            total = 0.0
            for batch in np.array_split(rng.permutation(len(x)), -(-len(x) // 1024)):
                loss = F.binary_cross_entropy_with_logits(self._model(x[batch])[:, 0], y[batch])
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimiser.step()
                total += loss.item() * len(batch)
            self.losses.append(total / len(x))
        self._model.eval()

    def _log_odds(self, features: F32) -> npt.NDArray[np.float64]:
        slope, offset = self._scaling
        return slope * self._raw(features) + offset

    def _inputs(self, features: F32) -> torch.Tensor:
        """Standardised as in training; what lies far outside it is no further than 5 deviations."""
        scaled = (features - self._mean) / np.where(self._deviation > 1e-4, self._deviation, 1)
        return torch.from_numpy(np.clip(scaled, -5, 5).astype(np.float32))

    def _raw(self, features: F32) -> npt.NDArray[np.float64]:
        if not len(features):
            return np.zeros(0)
        if self.kind == "lambdarank":
            return np.asarray(self._model.predict(features, num_threads=1), dtype=np.float64)
        with torch.inference_mode():
            return np.asarray(self._model(self._inputs(features))[:, 0].numpy(), dtype=np.float64)

    def _platt(self, raw: npt.NDArray[np.float64], liked: npt.NDArray[np.bool_]) -> None:
        """Slope and offset of the logistic; 1 and 0 if the sample says nothing or the opposite."""
        self._scaling = (1.0, 0.0)
        if liked.any() and not liked.all():
            fitted = LogisticRegression(C=1e6).fit(raw[:, None], liked)
            slope = float(fitted.coef_[0, 0])
            if slope > 0:
                self._scaling = (slope, float(fitted.intercept_[0]))


def calibration_error(probability: F32, liked: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error over equally filled bins: mean |said - happened|, in 0..1."""
    order = np.argsort(probability, kind="stable")
    gaps = [
        len(part) * abs(float(probability[part].mean()) - float(liked[part].mean()))
        for part in np.array_split(order, bins)
        if len(part)
    ]
    return float(np.sum(gaps) / max(len(order), 1))
