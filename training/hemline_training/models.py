"""All that is fitted on a log as of one moment, and the scores it gives: the parts of the blend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hemline.blend import PARTS
from hemline.catalogue import Catalogue
from hemline.fold_in import cf_scores_many
from hemline.user_state import MAX_HISTORY
from hemline.vectors import F32
from hemline_training.cold_items import Twins, borrow_factors, borrow_neighbours
from hemline_training.ials import IalsConfig, fit_ials, fold_in_histories
from hemline_training.interactions import I32, Histories, Interactions
from hemline_training.neighbours import NeighboursConfig, fit_neighbours, neighbour_matrix
from hemline_training.popularity import popularity, trending
from hemline_training.two_tower import Towers, TwoTowerConfig, fit_two_tower


@dataclass(frozen=True)
class ModelsConfig:
    """Hyperparameters of everything that is fitted. history_limit is in events."""

    two_tower: TwoTowerConfig = field(default_factory=TwoTowerConfig)
    ials: IalsConfig = field(default_factory=IalsConfig)
    neighbours: NeighboursConfig = field(default_factory=NeighboursConfig)
    history_limit: int = MAX_HISTORY


@dataclass(frozen=True)
class Models:
    """Fitted models over n items.

    content (n, clip_dim), item_tower (n, tower_dim), cf_factors (n, f), neighbours (n, K) twice,
    popularity (n,), trending (n,), both what was seen. twins: the items no event touched, whose
    factors and neighbours are borrowed.
    """

    content: F32
    towers: Towers
    item_tower: F32
    cf_factors: F32
    ials: IalsConfig
    neighbours_rows: I32
    neighbours_scores: F32
    popularity: F32
    trending: F32
    twins: Twins = field(default_factory=Twins.none)


def fit_models(
    log: Interactions,
    content: F32,
    catalogue: Catalogue,
    as_of_ms: int,
    config: ModelsConfig,
    validate: Callable[[Towers], float] | None = None,
    stage: Callable[[str], None] = lambda name: None,
) -> Models:
    """Fit everything on the events before as_of_ms.

    validate: as in `fit_two_tower`. stage: told what begins.
    """
    known = log.before(as_of_ms)
    histories = known.histories(limit=config.history_limit)
    stage("two towers")
    towers = fit_two_tower(known, content, config.two_tower, validate)
    stage("iALS")
    cf_factors = fit_ials(histories, config.ials)
    stage("neighbours and popularity")
    rows, scores = fit_neighbours(histories, config.neighbours)
    touched = np.bincount(known.rows, minlength=len(content)) > 0
    twins = Twins.of(content, cold=~touched, warm=np.any(cf_factors, axis=1))
    rows, scores = borrow_neighbours(rows, scores, twins)
    return Models(
        content,
        towers,
        towers.items(content),
        borrow_factors(cf_factors, twins),
        config.ials,
        rows,
        scores,
        popularity(known, catalogue),
        trending(known, catalogue, as_of_ms),
        twins,
    )


def part_scores(models: Models, histories: Histories) -> dict[str, F32]:
    """Every part of the blend for every item: PARTS -> float32 (b, n).

    NaN where a part knows nothing: tower and content without a profile, CF and neighbours without
    a history, CF for items that were touched without being liked or disliked. An item no event
    touched has the popularity of its twin.
    """
    profiles, known = histories.profiles(models.content)
    parts = {
        "tower": models.towers.users(profiles) @ models.item_tower.T,
        "content": profiles @ models.content.T,
        "cf": cf_scores_many(
            models.cf_factors, fold_in_histories(models.cf_factors, histories, models.ials)
        ),
        "neighbours": np.asarray(
            (
                histories.item_weights
                @ neighbour_matrix(models.neighbours_rows, models.neighbours_scores)
            ).todense(),
            dtype=np.float32,
        ),
    }
    nothing = histories.known_items == 0
    for name, missing in zip(parts, (~known, ~known, nothing, nothing), strict=True):
        parts[name][missing] = np.nan
    shape = (len(histories), len(models.popularity))
    twins = models.twins.rows(len(models.popularity))
    parts["popularity"] = np.broadcast_to(models.popularity[twins], shape)
    parts["trending"] = np.broadcast_to(models.trending[twins], shape)
    return {name: parts[name] for name in PARTS}
