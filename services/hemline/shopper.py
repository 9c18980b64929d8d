"""What is known of a shopper, in the terms of one release.

The updater and the gateway both read a stored state through `read_shopper`, so that the vector in
the store and the one a Recommend would compute are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemline.contracts import NO_ROWS, Rows
from hemline.live_view import Served
from hemline.user_profile import profile_vector, profile_weights
from hemline.user_state import UserState
from hemline.vectors import F32

# History from other platforms counts like this much weight at most (two purchases), so that a
# shopper with a long past elsewhere still sees the next answer move with each click here.
IMPORT_WEIGHT_CAP = 10.0


@dataclass(frozen=True)
class Shopper:
    """A history restricted to the release's items, oldest first, and the taste it adds up to.

    rows: int32 (h,); kinds: (h,); weights: float32 (h,), by `profile_weights`.
    profile: float32 (clip_dim,), unit norm, or None for a shopper without anything to like.
    imported_items: items from other platforms that count in the profile.
    stale_import: imported items exist but were encoded by another CLIP, so they do not count.
    """

    rows: Rows
    kinds: tuple[str, ...]
    weights: F32
    profile: F32 | None
    imported_items: int
    stale_import: bool

    @property
    def known_items(self) -> int:
        """Distinct items known, imported ones included; picks the blend weights."""
        return len(set(self.rows.tolist())) + self.imported_items


NEWCOMER = Shopper(NO_ROWS, (), np.zeros(0, np.float32), None, 0, False)


def read_shopper(state: UserState | None, release: Served, context_rows: Rows = NO_ROWS) -> Shopper:
    """The shopper behind a stored state; `context_rows` count as viewed just now.

    Items of the history that the release does not have are left out.
    """
    row_of, rows_known = release.catalogue.row_of, len(release.catalogue)
    known = [
        (row, event.kind, event.occurred_ms)
        for event in (state.history if state else ())
        if (row := row_of.get(event.item_id, rows_known)) < rows_known
    ]
    newest_ms = known[-1][2] if known else 0
    known += [(row, "view", newest_ms) for row in context_rows.tolist()]
    rows = np.array([row for row, _, _ in known], dtype=np.int32)
    kinds = tuple(kind for _, kind, _ in known)
    weights = profile_weights(kinds, [occurred_ms for _, _, occurred_ms in known])

    vectors, vector_weights = release.item_content[rows], weights
    imported = state.imported if state else None
    usable = imported is not None and imported.encoder_id == release.encoder_id
    if imported is not None and usable and imported.weight > 0:
        mean = imported.vector / np.float32(imported.weight)
        vectors = np.concatenate([vectors, mean[None]])
        vector_weights = np.append(weights, np.float32(min(imported.weight, IMPORT_WEIGHT_CAP)))
    return Shopper(
        rows=rows,
        kinds=kinds,
        weights=weights,
        profile=profile_vector(vectors, vector_weights),
        imported_items=imported.items if imported is not None and usable else 0,
        stale_import=imported is not None and not usable,
    )
