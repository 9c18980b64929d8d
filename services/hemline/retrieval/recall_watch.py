"""Recall, watched live: a sample of the answers is worked out again, plainly, and compared.

Off the hot path, on a thread of its own, every item is scored in float32 and every filter evaluated
anew: no index, no cached mask. A result is

    found        it belongs among the k best
    missed       one of the k best that the answer did not hold
    ghost        an item that is deleted, or that the release never had
    mismatched   an item that the filter or the exclusions forbid
    stale        scored by vectors the item has no longer

Items change while an answer is made: what was right just before or just after it is right.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hemline import metrics
from hemline.contracts import Hits, VectorQuery
from hemline.filters import Mask, filter_mask
from hemline.live_columns import RowVectors
from hemline.live_view import LiveView
from hemline.vectors import F32

logger = logging.getLogger(__name__)

BUSY_SHARE = 0.02  # of the time, at most
TIE = 1e-4  # scores this near are the same: sums of float32 differ in their order
OUTCOMES = ("found", "missed", "ghost", "mismatched", "stale")
for _outcome in OUTCOMES:  # shown from the start: the first one must be an increase
    metrics.SEARCH_WATCHED.labels(_outcome)


class RecallWatch:
    """share: of the searches, to be looked at; fewer are when that would take too long."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recall watch")
        self._busy = False
        self._free_at = 0.0

    def offer(
        self,
        before: LiveView,
        after: LiveView,
        queries: Sequence[VectorQuery],
        hits: Sequence[Hits],
    ) -> None:
        """Look at this answer, perhaps. before, after: the items as they were then."""
        if random.random() >= self._share or self._busy or time.monotonic() < self._free_at:
            return
        place = random.randrange(len(queries))
        self._busy = True
        self._thread.submit(self._look, before, after, queries[place], hits[place])

    def close(self) -> None:
        self._thread.shutdown()

    def _look(self, before: LiveView, after: LiveView, query: VectorQuery, hits: Hits) -> None:
        began = time.monotonic()
        try:
            for outcome, number in judge(query, hits, before, after).items():
                metrics.SEARCH_WATCHED.labels(outcome).inc(number)
                if outcome not in ("found", "missed"):
                    logger.error("an answer held %d items that are %s: %s", number, outcome, query)
        except Exception:
            logger.exception("an answer could not be looked at")
        finally:
            took = time.monotonic() - began
            self._free_at = time.monotonic() + took * (1 / BUSY_SHARE - 1)
            self._busy = False


def judge(
    query: VectorQuery, hits: Hits, before: LiveView, after: LiveView, tie: float = TIE
) -> Counter[str]:
    """How many results are what, see above; the kinder of the two moments counts. tie: scores this
    near are the same."""
    verdicts = [
        _judged(query, hits, view, tie) for view in {id(v): v for v in (before, after)}.values()
    ]
    return min(verdicts, key=lambda found: (sum(found.values()) - found["found"], -found["found"]))


def _judged(query: VectorQuery, hits: Hits, view: LiveView, tie: float) -> Counter[str]:
    found: Counter[str] = Counter()
    scores, allowed = _scores(query, view), _allowed(query, view)
    there = hits.rows[hits.rows < len(view)]
    there = there[view.alive[there]]
    found["ghost"] = len(hits.rows) - len(there)
    if query.collapse_variants:
        allowed = _best_of_groups(scores, allowed, view)
    wanted = min(query.k, int(np.count_nonzero(allowed)))
    if len(there) == len(hits.rows):
        found["stale"] = int(np.count_nonzero(np.abs(scores[there] - hits.scores) > tie))
    eligible = _allowed(query, view)
    found["mismatched"] = int(np.count_nonzero(~eligible[there]))
    if wanted:
        kth = np.partition(scores[allowed], -wanted)[-wanted]
        right = there[eligible[there] & (scores[there] >= kth - tie)]
        found["found"] = min(len(set(right.tolist())), wanted)
        found["missed"] = wanted - found["found"]
    return +found


def _scores(query: VectorQuery, view: LiveView) -> F32:
    """Of every row, by its newest vector: float32 (rows,)."""
    scores: F32 = np.zeros(len(view), dtype=np.float32)
    for space, vector in query.scaled:
        of_release, vectors = view.release.vectors(space), view.vectors(space)
        of_space: F32 = np.full(len(view), -np.inf, dtype=np.float32)
        of_space[: len(of_release)] = of_release @ vector
        if isinstance(vectors, RowVectors):
            changed = np.flatnonzero(view.slot_of >= 0)
            of_space[changed] = vectors[changed] @ vector
        scores += of_space
    return scores


def _allowed(query: VectorQuery, view: LiveView) -> Mask:
    """bool (rows,): what the query may find."""
    allowed = np.array(view.alive)
    if query.filter is not None:
        matches = np.zeros(len(view), dtype=bool)
        catalogue = view.release.catalogue
        matches[: len(catalogue)] = filter_mask(query.filter, catalogue)
        changed = np.flatnonzero(view.slot_of >= 0)
        matches[changed] = filter_mask(query.filter, view.changed)[view.slot_of[changed]]
        allowed &= matches
    allowed[query.exclude[query.exclude < len(view)]] = False
    return allowed


def _best_of_groups(scores: F32, allowed: Mask, view: LiveView) -> Mask:
    """bool (rows,): of what is allowed, the best of each variant group."""
    rows = np.flatnonzero(allowed)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    _, first = np.unique(view.variant_group[rows], return_index=True)
    best = np.zeros(len(view), dtype=bool)
    best[rows[first]] = True
    return best
