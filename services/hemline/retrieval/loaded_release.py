"""One release in memory: an index of its own items in each space, and what changed since beside it.

A query takes the present view once. It asks the index for the best of the items that are as the
release has them, scores the changed and new ones one by one in float32, and merges the two: exact
for fresh items from the moment they are there, and never an item that was deleted or superseded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from hemline import metrics
from hemline.contracts import NO_ROWS, Hits, Rows, Space, VectorQuery
from hemline.errors import InvalidInputError
from hemline.filters import Mask
from hemline.live_items import LiveItems, LiveView, Matching
from hemline.retrieval.approximate import ApproximateIndex
from hemline.retrieval.exact import ExactIndex
from hemline.retrieval.spectral import SpectralIndex, head_of
from hemline.retrieval.spectral_batch import Search, SpectralBatch
from hemline.vectors import F32

_NO_SCORES = np.zeros(0, np.float32)

# A scan of so few items takes half a millisecond, and handing it to a thread a tenth: it runs where
# it is asked for, and alone.
BRIEF = 100_000

# exact: the faster of the two exact ones for these vectors. hnsw, ivf: approximate, above BRIEF.
IndexKind = Literal["exact", "spectral", "int8", "hnsw", "ivf"]
KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
AnyIndex = ExactIndex | SpectralIndex | ApproximateIndex


@dataclass(frozen=True, eq=False)
class _Plan:
    """A query, what it is asked of, and how many items it will get."""

    query: VectorQuery
    view: LiveView
    matching: Matching
    wanted: int
    vector: F32


class LoadedRelease:
    """The indexes of one release and its live items. Searches run on any number of threads."""

    def __init__(self, items: LiveItems, kind: IndexKind = "exact") -> None:
        self.items = items
        self.release = items.release
        self.kind = kind
        self._indexes: dict[Space, AnyIndex] = {
            "tower": _index_of(self.release.item_tower, kind),
            "content": _index_of(self.release.item_content, kind),
        }
        self._batches: dict[Space, SpectralBatch] = {
            space: SpectralBatch(index)
            for space, index in self._indexes.items()
            if isinstance(index, SpectralIndex) and index.items > BRIEF
        }

    def dim(self, space: Space) -> int:
        """Length of the vectors of a space."""
        return self._indexes[space].dim

    def memory_bytes(self) -> int:
        """Bytes of vectors and codes held."""
        changed = self.items.view.changed
        indexes = sum(index.memory_bytes for index in self._indexes.values())
        indexes += sum(batch.memory_bytes for batch in self._batches.values())
        return indexes + changed.content.nbytes + changed.tower.nbytes

    def search(self, query: VectorQuery) -> Hits:
        """The true k best of the items that match; the query must have been checked."""
        return self._answer(self._plan(query, self.items.view))

    def search_all(self, queries: Sequence[VectorQuery]) -> list[Hits]:
        """`search` of each query, those of one space in one pass over the items."""
        if len(queries) == 1 or not self._batches:
            return [self.search(query) for query in queries]
        view = self.items.view
        plans = [self._plan(query, view) for query in queries]
        of_release: dict[_Plan, tuple[Rows, F32]] = {}
        for space, batch in self._batches.items():
            suited = [
                plan
                for plan in plans
                if plan.query.space == space and batch.suits(plan.wanted, plan.matching.base_count)
            ]
            if len(suited) > 1:
                searches = [
                    Search(
                        plan.vector,
                        min(plan.wanted, plan.matching.base_count),
                        plan.matching.base,
                        plan.matching.base_count,
                    )
                    for plan in suited
                ]
                of_release |= zip(suited, batch.search(searches), strict=True)
        return [self._answer(plan, of_release.get(plan)) for plan in plans]

    def _plan(self, query: VectorQuery, view: LiveView) -> _Plan:
        metrics.SEARCH_QUERIES.labels(query.space).inc()
        matching = _without(view.matching(query.filter), query.exclude, view)
        vector = np.ascontiguousarray(query.vector, dtype=np.float32)
        return _Plan(query, view, matching, min(query.k, matching.count), vector)

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
        space, vector, matching, view = plan.query.space, plan.vector, plan.matching, plan.view
        rows, scores = NO_ROWS, _NO_SCORES
        if of_release is not None:
            rows, scores = of_release
        elif matching.base_count:
            most = min(k, matching.base_count)
            index = self._indexes[space]
            rows, scores = index.search(vector, most, matching.base, matching.base_count)
        if not len(matching.slots):
            return rows, scores
        changed = view.changed.tower if space == "tower" else view.changed.content
        rows = np.concatenate((rows, view.changed.rows[matching.slots]))
        scores = np.concatenate((scores, _scores(changed, matching.slots, vector)))
        if len(rows) > 8 * k:
            nearest = np.argpartition(scores, -k)[-k:]
            rows, scores = rows[nearest], scores[nearest]
        order = np.argsort(-scores, kind="stable")[:k]
        return rows[order], scores[order]


def check_kind(kind: str) -> IndexKind:
    """Raises InvalidInputError for a kind of index that there is none of."""
    if kind not in KINDS:
        raise InvalidInputError("index", f"{kind!r} is not one of {', '.join(KINDS)}")
    return kind


def _index_of(vectors: F32, kind: IndexKind) -> AnyIndex:
    if kind == "int8":
        return ExactIndex(vectors)
    head = head_of(vectors)
    # The faster of two exact indexes: one reads few dimensions, the other few bits.
    few_directions = 2 * head.shape[1] <= vectors.shape[1]
    exact = (
        SpectralIndex(vectors, head)
        if few_directions or kind == "spectral"
        else ExactIndex(vectors)
    )
    if kind in ("hnsw", "ivf") and len(vectors) > BRIEF:
        return ApproximateIndex(vectors, kind, exact)
    return exact


def _without(matching: Matching, exclude: Rows, view: LiveView) -> Matching:
    """What is left of the matching items without some rows, whether these match or not."""
    exclude = exclude[exclude < len(view)]
    if not exclude.size:
        return matching
    base: Mask = matching.base.copy()
    base[exclude[exclude < len(base)]] = False
    slots = matching.slots
    if slots.size:
        slots = slots[~np.isin(view.changed.rows[slots], exclude)]
    return Matching(base, int(np.count_nonzero(base)), slots)


def _scores(changed: F32, slots: Rows, vector: F32) -> F32:
    """Inner products of some slots, gathered only where these are few."""
    if 2 * len(slots) < len(changed):
        return np.asarray(changed[slots] @ vector)
    return np.asarray((changed @ vector)[slots])
