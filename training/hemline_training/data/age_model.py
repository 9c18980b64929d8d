"""Ages that a source does not give, predicted from what else it says about the user.

A ridge regression over hashed one-hot attributes: linear, so that a few hundred known ages suffice
and a rare attribute moves little. It is used only where it beats the median on users held out;
either way the user's row names `age` and `age_group` among its imputed columns.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hemline_training.data.ages import OLDEST, YOUNGEST

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

SAMPLE = 20_000  # users the model is fitted on, drawn evenly from all with an age
FEWEST = 50  # with fewer known ages none is predicted
_HELD_OUT = 0.2
_FEATURES = 2048
_MOST_FEATURES = 40


class KnownAges:
    """An even sample of bounded size of the users whose age is known (reservoir sampling)."""

    def __init__(self, size: int = SAMPLE, seed: int = 0) -> None:
        self._size = size
        self._random = random.Random(seed)
        self._seen = 0
        self.sample: list[tuple[list[str], int]] = []

    def learn(self, user: Mapping[str, Any]) -> None:
        """Adds a user with an `age`."""
        self._seen += 1
        place = len(self.sample)
        if place >= self._size:
            place = self._random.randrange(self._seen)
            if place >= self._size:
                return
            self.sample[place] = (features(user), user["age"])
        else:
            self.sample.append((features(user), user["age"]))


@dataclass(frozen=True)
class AgeModel:
    """Predicts ages; `error` and `median_error` are mean absolute errors in years on users held
    out, of the model and of guessing the median. `uses_attributes`: whether the former is used."""

    median: int
    ridge: Ridge
    error: float
    median_error: float

    @property
    def uses_attributes(self) -> bool:
        return self.error < self.median_error

    @classmethod
    def fit(cls, known: KnownAges, seed: int = 0) -> AgeModel | None:
        """A model of the known ages, None when they are fewer than FEWEST."""
        if len(known.sample) < FEWEST:
            return None
        from sklearn.linear_model import Ridge

        ages = np.array([age for _, age in known.sample], np.float64)
        matrix = _matrix([words for words, _ in known.sample])
        held_out = np.random.default_rng(seed).random(len(ages)) < _HELD_OUT
        median = float(np.median(ages[~held_out]))
        trial = Ridge(alpha=3.0).fit(matrix[~held_out], ages[~held_out])
        guesses = trial.predict(matrix[held_out])
        return cls(
            median=round(float(np.median(ages))),
            ridge=Ridge(alpha=3.0).fit(matrix, ages),
            error=float(np.abs(guesses - ages[held_out]).mean()),
            median_error=float(np.abs(median - ages[held_out]).mean()),
        )

    def predict(self, users: Sequence[Mapping[str, Any]]) -> list[int]:
        """Ages in years. A user of whom nothing is known gets the median."""
        words = [features(user) for user in users]
        if not self.uses_attributes or not words:
            return [self.median] * len(users)
        guesses = np.clip(np.rint(self.ridge.predict(_matrix(words))), YOUNGEST, OLDEST)
        return [int(g) if w else self.median for g, w in zip(guesses, words, strict=True)]


def features(user: Mapping[str, Any]) -> list[str]:
    """What is known of a user but the age: "gender=female", "city=vienna", "attributes.fn=1"."""
    words = [
        f"{name}={str(value).casefold()}"
        for name in ("gender", "city", "region")
        if (value := user.get(name)) is not None
    ]
    if (postal_code := user.get("postal_code")) is not None:
        words.append(f"postal_code={postal_code[:2]}")
    if (attributes := user.get("attributes")) is not None:
        words += [f"attributes.{k}={v}".casefold() for k, v in json.loads(attributes).items()]
    return words[:_MOST_FEATURES]


def _matrix(words: Sequence[list[str]]) -> Any:
    from sklearn.feature_extraction import FeatureHasher

    hasher = FeatureHasher(_FEATURES, input_type="string", dtype=np.float64)
    return hasher.transform(words)
