"""Content: how much an item looks and reads like what the user likes.

An item is its image and its text vector side by side, [√w · image ; √(1 - w) · text], so that the
cosine of two items is w times that of their images plus 1 - w times that of their texts. A user is
the mean of the liked items' vectors, weighted by the likes. Nothing is fitted: an item nobody ever
touched is recommended as readily as any other of equal content.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hemline.errors import InvalidInputError
from hemline.vectors import F32, normalise
from hemline_training.recommenders.base import Feedback, Recommender


@dataclass
class ContentCosine(Recommender):
    """image, text: float32 (n_items, any dimension), rows of zeros where an item has none; without
    both, `Feedback.content` is used. image_weight: w above, in 0..1.
    """

    image: F32 | None = field(default=None, repr=False)
    text: F32 | None = field(default=None, repr=False)
    image_weight: float = 0.5

    def _fit(self, feedback: Feedback) -> None:
        if self.image is not None and self.text is not None:
            vectors = concatenated(self.image, self.text, self.image_weight)
        else:
            given = next(
                (v for v in (self.image, self.text, feedback.content) if v is not None), None
            )
            if given is None:
                raise InvalidInputError("content", "the model needs item vectors and got none")
            vectors = normalise(given)
        if len(vectors) != feedback.n_items:
            raise InvalidInputError("content", f"{len(vectors)} rows for {feedback.n_items} items")
        self.vectors = vectors

    def fold_in(self, newcomers: Feedback) -> F32:
        profile = normalise(newcomers.likes.astype(np.float32) @ self.vectors)
        return np.asarray(profile @ self.vectors.T, dtype=np.float32)


def concatenated(image: F32, text: F32, image_weight: float) -> F32:
    """[√w · image ; √(1 - w) · text] with unit rows: float32 (n, image dim + text dim).

    An item that lacks one of the two is described by the other alone. Raises InvalidInputError for
    a weight outside 0..1 or different numbers of rows.
    """
    if not 0 <= image_weight <= 1:
        raise InvalidInputError("image_weight", f"is {image_weight}; it lies in 0..1")
    if len(image) != len(text):
        raise InvalidInputError("text", f"{len(text)} rows for {len(image)} images")
    parts = [np.sqrt(image_weight) * normalise(image), np.sqrt(1 - image_weight) * normalise(text)]
    return normalise(np.concatenate(parts, axis=1))
