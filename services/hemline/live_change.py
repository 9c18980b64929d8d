"""An item's new state, or its end: what the topic of vectors brings and live items take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemline.catalogue import Item
from hemline.contracts import Space
from hemline.vectors import F32

UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Change:
    """An item's new state; item None: it was deleted.

    content, tower: float32 (dim,), unit norm. image, text: the same, of its photo and its words
    alone; image None: it has no photo; text None: content stands for both. order: changes of one
    item with a smaller one are older and come to nothing; UNKNOWN: this one is the newest.
    """

    item_id: str
    item: Item | None
    content: F32 | None = None
    tower: F32 | None = None
    order: int = UNKNOWN
    image: F32 | None = None
    text: F32 | None = None

    def vectors(self) -> dict[Space, F32]:
        """In every space there may be."""
        assert self.content is not None and self.tower is not None
        image, text = self.image, self.text
        if text is None:
            image = text = self.content
        elif image is None:
            image = np.zeros_like(text)
        assert image is not None
        return {"tower": self.tower, "content": self.content, "image": image, "text": text}
