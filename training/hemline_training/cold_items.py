"""Items nobody has touched yet: what they borrow from their twins, and how readily they are shown.

Content alone knows a new arrival; the other parts of the blend would hold its newness against it:
CF and neighbours know nothing of it, and popularity knows that it has none. So in a ranking it gets
what they say of its twin, the item with events whose content is nearest. Lists of what is popular,
which a shopper without a history is shown, stay what they claim to be. Whether that is enough is
measured: how often cold items are in people's lists, for every time their twins are. 1 is "as
readily as a warm one of equal content".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, identity

from hemline.vectors import F32
from hemline_training.interactions import I32, I64
from hemline_training.neighbours import best_of_rows, neighbour_matrix

Bools = npt.NDArray[np.bool_]
ROWS = 1024


@dataclass(frozen=True)
class Twins:
    """cold: int64 (c,), ascending. warm: int64 (c,), the nearest warm item of each. similarity:
    float32 (c,), their cosine. Empty where no item is warm.
    """

    cold: I64
    warm: I64
    similarity: F32

    @classmethod
    def of(cls, content: F32, cold: Bools, warm: Bools) -> Twins:
        """content: float32 (n, d), unit norm. cold, warm: bool (n,), disjoint.

        An item without content (zeros) has no twin and is nobody's.
        """
        described = content.any(axis=1)
        known = np.flatnonzero(warm & described)
        new = np.flatnonzero(cold & described) if len(known) else known
        nearest = np.zeros(len(new), dtype=np.int64)
        similarity = np.zeros(len(new), dtype=np.float32)
        for start in range(0, len(new), ROWS):
            part = slice(start, start + ROWS)
            cosines = content[new[part]] @ content[known].T
            best = cosines.argmax(axis=1)
            nearest[part] = known[best]
            similarity[part] = cosines[np.arange(len(best)), best]
        return cls(new, nearest, similarity)

    def rows(self, n: int) -> I32:
        """int32 (n,): every item's own row, for a cold one that of its twin."""
        rows = np.arange(n, dtype=np.int32)
        rows[self.cold] = self.warm
        return rows

    @classmethod
    def of_rows(cls, rows: I32) -> Twins:
        """The inverse of `rows`, for twins a release remembers; how alike they are it does not."""
        cold = np.flatnonzero(rows != np.arange(len(rows)))
        return cls(cold, rows[cold].astype(np.int64), np.full(len(cold), np.nan, np.float32))

    @classmethod
    def none(cls) -> Twins:
        nobody = np.zeros(0, dtype=np.int64)
        return cls(nobody, nobody, np.zeros(0, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.cold)


def borrow_factors(factors: F32, twins: Twins) -> F32:
    """`factors` (n, f) in which a cold item has those of its twin."""
    out = factors.copy()
    out[twins.cold] = factors[twins.warm]
    return out


def borrow_neighbours(rows: I32, scores: F32, twins: Twins) -> tuple[I32, F32]:
    """Neighbour lists in which a cold item has those of its twin, and stands wherever that does.

    rows, scores: as `fit_neighbours` returns them, and so is the answer, of the same width.
    """
    n = len(rows)
    ones = csr_matrix((np.ones(len(twins), np.float32), (twins.cold, twins.warm)), shape=(n, n))
    also = csr_matrix(identity(n, dtype=np.float32, format="csr") + ones)
    table = csr_matrix(also @ neighbour_matrix(rows, scores) @ also.T)
    table.sort_indices()
    return best_of_rows(table, rows.shape[1])


def exposure(ranked: I64, twins: Twins) -> dict[str, Any]:
    """How often cold items are in the lists int (cases, k), -1 padded, and how often their twins.

    {"items": cold ones, "shown": times, "twins_shown": times, "ratio": shown / twins_shown, None
    where no twin was shown, "similarity": mean cosine of twins}.
    """
    items = 1 + max(int(twins.cold.max(initial=0)), int(twins.warm.max(initial=0)))
    shown = np.bincount(ranked[ranked >= 0], minlength=items)
    own, theirs = int(shown[twins.cold].sum()), int(shown[twins.warm].sum())
    return {
        "items": len(twins),
        "shown": own,
        "twins_shown": theirs,
        "ratio": own / theirs if theirs else None,
        "similarity": float(twins.similarity.mean()) if len(twins) else None,
    }
