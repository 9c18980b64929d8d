"""Fills what a catalogue leaves unsaid about its items, from their photos, each with a confidence.

    filler = AttributeFiller(AttributeModel.load(folder))
    for filled in filler.fill_missing(items, images):
        filled.item, filled.confidence   # {"season": 0.93}: what was filled, and how sure

What the catalogue says is never changed. A value is filled only above a set confidence, and only
where it agrees with what is known: a known article type allows only its own categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from hemline.catalogue import Item
from hemline.errors import BadImageError
from hemline.vectors import F32
from hemline_training.attributes.labels import HEADS
from hemline_training.attributes.network import AttributeModel

CONFIDENT = 0.8  # measured per head in the model card: accuracy of what is filled above it


@dataclass(frozen=True)
class Filled:
    """An item after filling.

    confidence: attribute -> probability in 0..1, for the attributes that were filled.
    unsure: attributes that stay unknown because no answer was confident enough.
    """

    item: Item
    confidence: Mapping[str, float]
    unsure: tuple[str, ...] = ()


class AttributeFiller:
    """Fills missing attributes with one trained model. at_least: the least confidence, in 0..1."""

    def __init__(self, model: AttributeModel, at_least: float = CONFIDENT) -> None:
        if not 0 < at_least <= 1:
            raise ValueError(f"at_least is {at_least}; a confidence lies above 0 and up to 1")
        self.model = model
        self.at_least = at_least

    def fill_missing(self, items: Sequence[Item], images: Sequence[bytes | None]) -> list[Filled]:
        """The items in order, missing attributes filled; images[i] is that of items[i].

        An item without a readable photo stays as it is, all it lacks listed in `unsure`. Costs
        about 5 ms of one core an item that lacks something, nothing for the others.
        """
        if len(items) != len(images):
            raise ValueError(f"{len(images)} images for {len(items)} items")
        out = [Filled(item, {}, missing(item)) for item in items]
        wanted = [at for at, filled in enumerate(out) if filled.unsure and images[at]]
        for start in range(0, len(wanted), 256):
            self._fill_some(out, wanted[start : start + 256], images)
        return out

    def _fill_some(
        self, out: list[Filled], places: Sequence[int], images: Sequence[bytes | None]
    ) -> None:
        readable, pixels = [], []
        for at in places:
            try:
                pixels.append(self.model.pixels([images[at] or b""]))
            except BadImageError:
                continue
            readable.append(at)
        if not readable:
            return

        probabilities = self.model.probabilities(torch.cat(pixels))
        for row, at in enumerate(readable):
            out[at] = self._fill(out[at].item, {h: probabilities[h][row] for h in HEADS})

    def _fill(self, item: Item, probabilities: Mapping[str, F32]) -> Filled:
        labels = self.model.labels
        known = {head: getattr(item, head) for head in HEADS if getattr(item, head)}
        confidence: dict[str, float] = {}
        unsure = []
        for head in missing(item):  # from fine to coarse: a filled article type binds the others
            p = np.where(labels.allowed(head, known), probabilities[head], 0)
            best = int(p.argmax())
            sure = float(p[best] / p.sum()) if p.sum() > 0 else 0.0
            if sure >= self.at_least:
                known[head] = labels.classes[head][best]
                confidence[head] = sure
            else:
                unsure.append(head)
        return Filled(
            replace(item, **{head: known[head] for head in confidence}), confidence, tuple(unsure)
        )


def missing(item: Item) -> tuple[str, ...]:
    """The attributes a photo can tell that the item lacks, in the order of HEADS."""
    return tuple(head for head in HEADS if not getattr(item, head))
