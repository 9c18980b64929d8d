"""What changed since the release, once that is much: it gets indexes too, made beside the searches.

Slots are never rewritten, so indexes of the first m of them stay right while more are filled. A
search asks these for the slots that are alive and match, and scores only the later ones one by one.
When the later ones have become many, a thread makes new indexes of all, and puts them in place in
one step; searches go on with what there is.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from hemline import metrics, one_core
from hemline.changed_items import ChangedColumns
from hemline.retrieval.kinds import IndexSettings
from hemline.retrieval.space_indexes import SpaceIndexes

logger = logging.getLogger(__name__)

FOLD_AFTER = 10_000  # slots: scoring so many takes as long as a search of a hundred thousand items
_EXACT = IndexSettings("exact")


@dataclass(frozen=True, eq=False)
class Folded:
    """Indexes of the first `slots` slots of one generation of changed items."""

    generation: object
    slots: int
    indexes: SpaceIndexes


class Folding:
    """Keeps the indexes of changed items; for any number of threads.

    fold_after: so many slots without indexes, and half as many as have some, are too many.
    """

    def __init__(self, fold_after: int = FOLD_AFTER) -> None:
        self._fold_after = fold_after
        self._folded: Folded | None = None
        self._one_at_a_time = threading.Lock()

    def of(self, changed: ChangedColumns) -> Folded | None:
        """The indexes of some of these slots, if there are any; more are made when it is time."""
        folded = self._folded
        if folded is not None and folded.generation is not changed.generation:
            folded = None  # the slots were written anew: these are others
        done = folded.slots if folded else 0
        due = len(changed) - done > max(self._fold_after, done // 2)
        if due and self._one_at_a_time.acquire(blocking=False):
            threading.Thread(target=self._fold, args=(changed,), name="fold", daemon=True).start()
        # A view older than the indexes knows fewer slots than they have.
        return folded if folded is not None and folded.slots <= len(changed) else None

    @property
    def memory_bytes(self) -> int:
        """Of the indexes, beside the vectors."""
        folded = self._folded
        return folded.indexes.bytes_beside_vectors if folded else 0

    def _fold(self, changed: ChangedColumns) -> None:
        try:
            one_core.unbound()
            indexes = SpaceIndexes(changed.vectors, _EXACT)
            self._folded = Folded(changed.generation, len(changed), indexes)
            metrics.LIVE_FOLDS.labels("done").inc()
        except Exception:
            metrics.LIVE_FOLDS.labels("failed").inc()
            logger.exception("%d changed items could not be indexed", len(changed))
        finally:
            self._one_at_a_time.release()
