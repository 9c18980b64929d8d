"""One release in memory: an index of its own items in each space, and what changed since beside it.

A query takes the present view once. It asks the index for the best of the items that are as the
release has them, scores the changed and new ones one by one in float32 (when they are many, those
that have indexes of their own by these, see `folding`), and merges the two: exact for fresh items
from the moment they are there, and never an item that was deleted or superseded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemline import metrics
from hemline.contracts import NO_ROWS, Hits, Rows, Space, VectorQuery
from hemline.filters import Mask
from hemline.live_items import LiveItems
from hemline.live_matching import Matching, cleared
from hemline.live_view import LiveView
from hemline.retrieval.folding import FOLD_AFTER, Folding
from hemline.retrieval.interface import Search
from hemline.retrieval.kinds import IndexSettings
from hemline.retrieval.space_indexes import SpaceIndexes
from hemline.vectors import F32

_NO_SCORES = np.zeros(0, np.float32)
_BY_SIZE = IndexSettings()


@dataclass(frozen=True, eq=False)
class _Plan:
    """A query, what it is asked of, and how many items it will get."""

    query: VectorQuery
    view: LiveView
    matching: Matching
    wanted: int
    parts: list[tuple[Space, F32]]


class LoadedRelease:
    """The indexes of one release and its live items. Searches run on any number of threads, but
    where the index is on a GPU on one.

    indexes: from `checked_settings`. fold_after: see `Folding`.
    """

    def __init__(
        self,
        items: LiveItems,
        indexes: IndexSettings = _BY_SIZE,
        fold_after: int = FOLD_AFTER,
    ) -> None:
        self.items = items
        self.release = items.release
        vectors = {space: self.release.vectors(space) for space in self.release.spaces}
        self._indexes = SpaceIndexes(vectors, indexes)
        self._folding = Folding(fold_after)

    def dim(self, space: Space) -> int:
        """Length of the vectors of a space."""
        return self._indexes.dim(space)

    def memory_bytes(self) -> int:
        """Bytes of vectors and codes held."""
        changed = self.items.view.changed
        indexes = self._indexes.memory_bytes + self._folding.memory_bytes
        return indexes + sum(vectors.nbytes for vectors in changed.vectors.values())

    def search(self, query: VectorQuery, view: LiveView | None = None) -> Hits:
        """The true k best of the items that match; the query must have been checked. view: of the
        items, to be answered from; None: as they are now."""
        return self._answer(self._plan(query, self.items.view if view is None else view))

    def search_all(
        self, queries: Sequence[VectorQuery], view: LiveView | None = None
    ) -> list[Hits]:
        """`search` of each query, those of one space in one pass over the items."""
        view = self.items.view if view is None else view
        if len(queries) == 1 or not self._indexes.batches:
            return [self.search(query, view) for query in queries]
        plans = [self._plan(query, view) for query in queries]
        of_release: dict[_Plan, tuple[Rows, F32]] = {}
        for space, batch in self._indexes.batches.items():
            suited = [
                plan
                for plan in plans
                if plan.query.space == space
                and len(plan.parts) == 1
                and batch.suits(plan.wanted, plan.matching.base_count)
            ]
            if len(suited) > 1:
                searches = [
                    Search(
                        plan.parts[0][1],
                        min(plan.wanted, plan.matching.base_count),
                        plan.matching.base,
                        plan.matching.base_count,
                    )
                    for plan in suited
                ]
                of_release |= zip(suited, batch.search_batch(searches), strict=True)
        return [self._answer(plan, of_release.get(plan)) for plan in plans]

    def _plan(self, query: VectorQuery, view: LiveView) -> _Plan:
        parts = query.scaled
        metrics.SEARCH_QUERIES.labels(query.space if len(parts) == 1 else "blended").inc()
        matching = _without(view.matching(query.filter), query.exclude, view)
        return _Plan(query, view, matching, min(query.k, matching.count), parts)

    def _answer(self, plan: _Plan, of_release: tuple[Rows, F32] | None = None) -> Hits:
        """of_release: what `_best` would get from the index for `plan.wanted`, if known already."""
        query, view, matching, wanted = plan.query, plan.view, plan.matching, plan.wanted
        if wanted == 0:
            return Hits(NO_ROWS, _NO_SCORES, matching=0)
        if not query.collapse_variants:
            rows, scores = self._best(plan, wanted, of_release)
            return Hits(rows, scores, matching.count)
        # Fetch deeper until k distinct variant groups are found or nothing is left.
        depth = wanted
        while True:
            rows, scores = self._best(plan, depth, of_release if depth == wanted else None)
            _, first = np.unique(view.variant_group[rows], return_index=True)
            best = np.sort(first)
            if len(best) >= wanted or depth >= matching.count:
                return Hits(rows[best[:wanted]], scores[best[:wanted]], matching.count)
            depth = min(4 * depth, matching.count)

    def _best(self, plan: _Plan, k: int, of_release: tuple[Rows, F32] | None) -> tuple[Rows, F32]:
        """The k best of what matches, best first; k is at most their number."""
        matching, view = plan.matching, plan.view
        rows, scores = NO_ROWS, _NO_SCORES
        if of_release is not None:
            rows, scores = of_release
        elif matching.base_count:
            most = min(k, matching.base_count)
            rows, scores = self._indexes.search(
                plan.parts, most, matching.base, matching.base_count
            )
        if not len(matching.slots):
            return rows, scores
        slots, of_changed = self._best_of_changed(plan, k)
        rows = np.concatenate((rows, view.changed.rows[slots]))
        scores = np.concatenate((scores, of_changed))
        if len(rows) > 8 * k:
            nearest = np.argpartition(scores, -k)[-k:]
            rows, scores = rows[nearest], scores[nearest]
        order = np.argsort(-scores, kind="stable")[:k]
        return rows[order], scores[order]

    def _best_of_changed(self, plan: _Plan, k: int) -> tuple[Rows, F32]:
        """Slots that match, the k best of them included, in no order, and their scores."""
        changed, slots = plan.view.changed, plan.matching.slots
        best, best_scores = NO_ROWS, _NO_SCORES
        folded = self._folding.of(changed)
        if folded is not None:
            indexed = int(np.searchsorted(slots, folded.slots))
            if indexed:
                allowed: Mask = np.zeros(folded.slots, dtype=bool)
                allowed[slots[:indexed]] = True
                best, best_scores = folded.indexes.search(
                    plan.parts, min(k, indexed), allowed, indexed
                )
            slots = slots[indexed:]
        scores: F32 = np.zeros(len(slots), dtype=np.float32)
        for space, vector in plan.parts:
            scores += _scores(changed.vectors[space], slots, vector)
        return np.concatenate((best, slots)), np.concatenate((best_scores, scores))


def _without(matching: Matching, exclude: Rows, view: LiveView) -> Matching:
    """What is left of the matching items without some rows, whether these match or not."""
    if not exclude.size:
        return matching
    base, excluded = cleared(matching.base, np.ascontiguousarray(exclude, dtype=np.int32))
    slots = matching.slots
    if slots.size:
        slots = slots[~np.isin(view.changed.rows[slots], exclude)]
    return Matching(base, matching.base_count - excluded, slots)


def _scores(changed: F32, slots: Rows, vector: F32) -> F32:
    """Inner products of some slots, which come last, gathered only where these are few."""
    if len(slots):
        changed, slots = changed[slots[0] :], slots - slots[0]
    if 2 * len(slots) < len(changed):
        return np.asarray(changed[slots] @ vector)
    return np.asarray((changed @ vector)[slots])
