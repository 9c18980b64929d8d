"""What is popular and what is trending, for every item, the untouched ones too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.catalogue import Catalogue
from hemline.user_profile import MS_PER_DAY
from hemline.vectors import F32
from hemline_training.interactions import Interactions

TRENDING_HALF_LIFE_DAYS = 7.0

# Weight of the category's mean, in units of one observation of the item itself.
PRIOR = 0.1


def popularity(log: Interactions, catalogue: Catalogue) -> F32:
    """log1p of the smoothed demand for each item, float32 (n,).

    A user counts once per item, with their strongest event's grade; dislikes count nothing.
    """
    return _smoothed_log(_demand(log, np.ones(len(log))), catalogue)


def trending(
    log: Interactions,
    catalogue: Catalogue,
    as_of_ms: int,
    half_life_days: float = TRENDING_HALF_LIFE_DAYS,
) -> F32:
    """As `popularity`, every event decayed by its age at as_of_ms. float32 (n,)."""
    age_days = (as_of_ms - log.occurred_ms) / MS_PER_DAY
    return _smoothed_log(_demand(log, 0.5 ** (age_days / half_life_days)), catalogue)


def _demand(log: Interactions, factor: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Σ over users of their highest grade x factor on each item, float64 (n,)."""
    value = np.maximum(log.grades, 0.0) * factor
    pair = log.users.astype(np.int64) * log.n_items + log.rows
    order = np.lexsort((-value, pair))
    first = order[np.diff(pair[order], prepend=-1) != 0]
    demand = np.bincount(log.rows[first], weights=value[first], minlength=log.n_items)
    return demand.astype(np.float64)


def _smoothed_log(demand: npt.NDArray[np.float64], catalogue: Catalogue) -> F32:
    """log1p of the gamma-Poisson posterior mean (d + PRIOR m) / (1 + PRIOR), m the mean demand of
    the item's article type: an item nobody has seen yet stands a little below its kind."""
    kind = catalogue.codes("article_type") + 1
    count = np.bincount(kind)
    mean = np.bincount(kind, weights=demand) / np.maximum(count, 1)
    return np.log1p((demand + PRIOR * mean[kind]) / (1 + PRIOR)).astype(np.float32)
