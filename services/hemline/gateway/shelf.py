"""The promoted release, laid out for answering: orders, masks, and items ready to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hemline.contracts import Rows
from hemline.distinct import FirstPlaces
from hemline.filters import AllOf, Filter, FilterMasks, InStock, Mask, mentions_stock
from hemline.gateway.candidates import Candidates, Merger
from hemline.releases import Release


class Shelf:
    """Everything about one release that answers need and that does not change between them.

    Scratch arrays included: it belongs to the thread of the event loop.
    """

    def __init__(self, release: Release) -> None:
        self.release = release
        self.variants: npt.NDArray[np.int32] = release.catalogue.variant_group
        self.candidate_counts: Mapping[str, int] = release.json("blend")["candidates"]
        self._masks = FilterMasks(release.catalogue)
        self._merger = Merger(len(release.catalogue))
        self.first_of_variants = FirstPlaces(int(self.variants.max(initial=0)) + 1)

    @cached_property
    def by_popularity(self) -> Rows:
        """All rows, most popular first: the last resort, always at hand."""
        return _descending(self.release.array("popularity"))

    @cached_property
    def by_trend(self) -> Rows:
        """All rows, those rising most first."""
        return _descending(self.release.array("trending"))

    def hard_filter(self, condition: Filter | None) -> Filter:
        """The caller's filter, limited to items in stock unless it speaks of stock itself."""
        if condition is None:
            return InStock()
        return condition if mentions_stock(condition) else AllOf((InStock(), condition))

    def eligible(self, condition: Filter | None, exclude: Rows) -> Mask:
        """Which items may be shown at all: bool (n,); read-only where nothing is excluded."""
        mask = self._masks.mask(self.hard_filter(condition))
        if exclude.size:
            mask = mask.copy()
            mask[exclude] = False
        return mask

    def merge(self, brought: Mapping[str, Rows], eligible: Mask) -> Candidates:
        """See `Merger.merge`."""
        return self._merger.merge(brought, eligible)

    def distinct(self, rows: Rows) -> int:
        """How many different products (variant groups) these items are."""
        return len(self.first_of_variants(self.variants[rows]))

    def distinct_eligible(self, eligible: Mask, count: int) -> Rows:
        """The most popular eligible items, no two of one variant group; at most `count`."""
        rows = self.by_popularity[eligible[self.by_popularity]]
        return rows[self.first_of_variants(self.variants[rows])[:count]]


def _descending(scores: npt.NDArray[np.float32]) -> Rows:
    return np.argsort(-np.asarray(scores), kind="stable").astype(np.int32)
