"""The promoted release as it is now, laid out for answering: orders, masks, scratch arrays."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hemline.contracts import Rows
from hemline.distinct import FirstPlaces
from hemline.filters import AllOf, Filter, InStock, Mask, mentions_stock
from hemline.gateway.candidates import Candidates, Merger
from hemline.gateway.tenants import own_items
from hemline.live_items import LiveItems
from hemline.live_view import LiveView
from hemline.releases import Release


class Shelf:
    """Everything that answers need and that stays the same until an item changes.

    Scratch arrays included: it belongs to the thread of the event loop. before: the last one of the
    same release, whose orders are still right.
    """

    def __init__(self, items: LiveView | Release, before: Shelf | None = None) -> None:
        self.release = LiveItems(items).view if isinstance(items, Release) else items
        self._before = before._first if before else None
        self.variants: npt.NDArray[np.int32] = self.release.variant_group
        self.candidate_counts: Mapping[str, int] = (
            before.candidate_counts if before else self.release.json("blend")["candidates"]
        )
        self._merger = Merger(len(self.release))
        self.first_of_variants = FirstPlaces(int(self.variants.max(initial=0)) + 1)

    @cached_property
    def by_popularity(self) -> Rows:
        """All rows, most popular first: the last resort, always at hand."""
        return self._order("popularity")

    @cached_property
    def by_trend(self) -> Rows:
        """All rows, those rising most first."""
        return self._order("trending")

    def hard_filter(self, condition: Filter | None) -> Filter:
        """The caller's filter, limited to items that it may see, and to those in stock unless it
        speaks of stock itself."""
        parts = own_items()
        if not mentions_stock(condition):
            parts += (InStock(),)
        if condition is not None:
            parts += (condition,)
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def eligible(self, condition: Filter | None, exclude: Rows) -> Mask:
        """Which items may be shown at all: bool (n,); read-only where nothing is excluded."""
        mask = self.release.mask(self.hard_filter(condition))
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

    @property
    def _first(self) -> Shelf:
        """The shelf of the release as it was made."""
        return self._before or self

    def _order(self, name: str) -> Rows:
        """Rows by falling values of a release's array; items that came later are the last."""
        if self._before is None:
            return _descending(self.release.release.array(name))
        known = self._before.by_popularity if name == "popularity" else self._before.by_trend
        later = np.arange(len(known), len(self.release), dtype=np.int32)
        return np.concatenate((known, later)) if later.size else known


class Shelves:
    """The shelf of the moment: `stages.shelf()`. A new one is laid out after items changed."""

    def __init__(self, items: LiveItems) -> None:
        self._items = items
        self._shelf = Shelf(items.view)

    def __call__(self) -> Shelf:
        if self._shelf.release is not self._items.view:
            self._shelf = Shelf(self._items.view, self._shelf)
        return self._shelf


def _descending(scores: npt.NDArray[np.float32]) -> Rows:
    return np.argsort(-np.asarray(scores), kind="stable").astype(np.int32)
