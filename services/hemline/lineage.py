"""Which log the stored states come from, and how far into it they reach.

The store, not the log, has the last word on what has been applied: a log's group remembers an
offset whatever becomes of the store. A *lineage* is one building-up of the states from one log.
The store holds one, with the next offset to apply of every partition, and each state carries the
lineage it was written in. From that follows what to do when

- the store was lost or emptied: it has no lineage, a new one begins at the log's first record;
- the store fell back to an older copy: its positions fell back with its states, go on from there;
- the log was made anew: another `EventLog.identity`; a new lineage begins at its first record and
  keeps the states of the old one, but no longer compares their offsets;
- somebody asked for a rebuild: a new lineage that keeps nothing, so every older state counts as
  empty as soon as a change is applied to it.

Ids grow with time. Who meets a state of a later lineage than its own has been overtaken.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

_RANDOM_BITS = 20  # beside 43 bits of milliseconds: below 2**63 for the next two centuries


@dataclass(frozen=True)
class Lineage:
    """id: positive, unique, growing. log: `EventLog.identity` of the log it is built from.

    kept: earlier lineages, of logs that are gone, whose states stay valid.
    """

    id: int
    log: str
    kept: tuple[int, ...] = ()

    def covers(self, lineage_id: int) -> bool:
        """Whether a state written in that lineage holds in this one."""
        return lineage_id == self.id or lineage_id in self.kept


@dataclass(frozen=True)
class Progress:
    """The store's lineage and, by partition, the offset of the next record to apply.

    A partition that is not named begins at its first record.
    """

    lineage: Lineage
    positions: Mapping[int, int]


def new_lineage_id(above: int = 0) -> int:
    """An id for a lineage that begins now, greater than `above` whatever the clock says."""
    now = (time.time_ns() // 1_000_000) << _RANDOM_BITS
    return max(now, above + 1) + secrets.randbelow(1 << _RANDOM_BITS)
