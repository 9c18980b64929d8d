"""The retrieval process of a soak, as it is or with a planted defect: soak_server.py DEFECT …

The rest of the command line is that of `python -m hemline.retrieval`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence

import numpy as np

from hemline import live_matching
from hemline.live_change import Change
from hemline.live_following import Follower
from hemline.live_items import LiveItems
from hemline.process import read_config, run_process
from hemline.retrieval.__main__ import Config, main
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.space_indexes import SpaceIndexes

RELEASE_ITEMS = 120


def forget_some_deletions() -> None:
    """Every third deletion is applied to nothing."""
    honest, number = LiveItems.apply, itertools.count()

    def apply(self: LiveItems, changes: Sequence[Change]) -> int:
        kept = [c for c in changes if c.item is not None or next(number) % 3]
        return honest(self, kept)

    LiveItems.apply = apply  # type: ignore[method-assign]


def ignore_filters_of_changed_items() -> None:
    """Changed items match every filter."""
    live_matching.filter_mask = lambda condition, changed: np.ones(len(changed), bool)


def keep_superseded_vectors() -> None:
    """Old states of changed items stay in the answers."""

    def still_newest(slots, rows, slot_of, alive):  # type: ignore[no-untyped-def]
        return slots[alive[rows[slots]]]

    live_matching.still_newest = still_newest


def forget_that_items_left_the_release() -> None:
    """Masks are carried to the next view as they are: what changed or went stays in them."""
    live_matching.cleared = lambda mask, places: (mask.copy(), 0)


def answer_with_the_current_release() -> None:
    """Whatever release is asked for."""
    FlatRetrieval._of = lambda self, release_id: self._current  # type: ignore[method-assign]


def save_too_far_ahead() -> None:
    """Snapshots claim records that were not applied: a restart loses them."""
    honest = Follower.save

    async def save(self: Follower) -> None:
        true = self._offsets
        self._offsets = {partition: offset + 40 for partition, offset in true.items()}
        await honest(self)
        self._offsets = true

    Follower.save = save  # type: ignore[method-assign]


def forget_what_became_of_folded_items() -> None:
    """All slots that have indexes are found, whatever became of their items."""
    honest = SpaceIndexes.search

    def search(self, parts, k, allowed, matching):  # type: ignore[no-untyped-def]
        if len(allowed) != RELEASE_ITEMS:
            allowed = np.ones_like(allowed)
        return honest(self, parts, k, allowed, int(allowed.sum()))

    SpaceIndexes.search = search  # type: ignore[method-assign]


DEFECTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "ghosts": forget_some_deletions,
    "filters": ignore_filters_of_changed_items,
    "superseded": keep_superseded_vectors,
    "masks": forget_that_items_left_the_release,
    "release": answer_with_the_current_release,
    "snapshots": save_too_far_ahead,
    "folds": forget_what_became_of_folded_items,
}

if __name__ == "__main__":
    DEFECTS[sys.argv.pop(1)]()
    run_process(main, read_config(Config, "retrieval"))
