"""Cold items: their twins, what they borrow of them, and that they are shown as readily."""

from __future__ import annotations

import numpy as np
import pytest

from hemline.blend import PARTS
from hemline.catalogue import Catalogue, Item, items_table
from hemline.vectors import normalise
from hemline_training.cold_items import Twins, borrow_factors, borrow_neighbours, exposure
from hemline_training.ials import IalsConfig
from hemline_training.interactions import KINDS, Interactions
from hemline_training.models import ModelsConfig, fit_models, part_scores
from hemline_training.neighbours import NeighboursConfig
from hemline_training.two_tower import TwoTowerConfig

DAY = 86_400_000


def test_a_twin_is_the_warm_item_of_nearest_content():
    content = normalise(np.float32([[1, 0], [0, 1], [0.9, 0.1], [0.2, 1], [0, 0]]))
    warm = np.array([True, True, False, False, False])
    twins = Twins.of(content, cold=~warm, warm=warm)
    assert twins.cold.tolist() == [2, 3]  # the fifth has no content, so no twin
    assert twins.warm.tolist() == [0, 1]
    assert twins.similarity[0] == pytest.approx(0.9 / np.hypot(0.9, 0.1))


def test_where_nothing_is_warm_nobody_has_a_twin():
    content = np.eye(3, dtype=np.float32)
    twins = Twins.of(content, cold=np.ones(3, bool), warm=np.zeros(3, bool))
    assert len(twins) == 0
    assert exposure(np.array([[0, 1]]), twins)["ratio"] is None
    factors = np.ones((3, 2), np.float32)
    assert np.array_equal(borrow_factors(factors, twins), factors)


def pair_of_twins(cold: int, warm: int) -> Twins:
    return Twins(np.array([cold]), np.array([warm]), np.float32([0.9]))


def test_a_cold_item_gets_its_twins_factors():
    factors = np.float32([[1, 2], [3, 4], [0, 0]])
    assert borrow_factors(factors, pair_of_twins(2, 1)).tolist() == [[1, 2], [3, 4], [3, 4]]


def test_a_cold_item_has_its_twins_neighbours_and_stands_beside_it_in_their_lists():
    rows = np.int32([[1, -1], [0, -1], [-1, -1]])
    scores = np.float32([[0.5, 0], [0.5, 0], [0, 0]])
    rows, scores = borrow_neighbours(rows, scores, pair_of_twins(2, 1))
    assert rows.tolist() == [[1, 2], [0, -1], [0, -1]]
    assert scores.tolist() == [[0.5, 0.5], [0.5, 0], [0.5, 0]]


def test_exposure_counts_cold_items_against_their_twins():
    found = exposure(np.array([[2, 0], [1, 2], [1, -1]]), pair_of_twins(2, 1))
    assert found == {
        "items": 1,
        "shown": 2,
        "twins_shown": 2,
        "ratio": 1.0,
        "similarity": pytest.approx(0.9),
    }


GROUPS, PER_GROUP = 4, 10
COLD = np.arange(GROUPS) * PER_GROUP  # the first of each group was never touched


@pytest.fixture(scope="module")
def fashion() -> tuple[Interactions, np.ndarray, Catalogue]:
    """Groups of items that look alike; people keep to one group, and never touch its first item."""
    n = GROUPS * PER_GROUP
    rng = np.random.default_rng(3)
    content = np.repeat(np.eye(GROUPS, 8), PER_GROUP, axis=0) + 0.05 * rng.normal(size=(n, 8))
    content[COLD] = content[COLD + 1]  # of equal content
    users, rows, times = [], [], []
    for user in range(120):
        group = user % GROUPS
        for step, item in enumerate(rng.choice(np.arange(1, PER_GROUP), 5, replace=False)):
            users.append(user)
            rows.append(group * PER_GROUP + item)
            times.append((user + step) * DAY // 10)
    log = Interactions.sorted(
        np.array(users),
        np.array(rows),
        np.full(len(users), KINDS.index("purchase"), np.int8),
        np.array(times),
        np.zeros(len(users), np.int32),
        [f"u{user}" for user in range(120)],
        n,
        {},
    )
    items = [
        Item(item_id=f"i{row}", title=f"item {row}", article_type="Shirts") for row in range(n)
    ]
    return log, normalise(content.astype(np.float32)), Catalogue.from_table(items_table(items))


def test_what_is_fitted_says_of_a_cold_item_what_it_says_of_its_twin(fashion):
    log, content, catalogue = fashion
    config = ModelsConfig(TwoTowerConfig(epochs=1), IalsConfig(factors=8), NeighboursConfig(k=20))
    models = fit_models(log, content, catalogue, 20 * DAY, config)
    assert models.twins.cold.tolist() == COLD.tolist()
    assert models.twins.warm.tolist() == (COLD + 1).tolist()
    scores = part_scores(models, log.histories())
    for part in PARTS:
        assert scores[part][:, COLD] == pytest.approx(scores[part][:, COLD + 1], abs=1e-5), part
    for part in ("popularity", "trending"):  # a list of what is popular claims nothing of it
        assert (getattr(models, part)[COLD] < getattr(models, part)[COLD + 1]).all(), part


def test_nothing_is_taken_from_a_warm_item():
    factors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert np.array_equal(borrow_factors(factors, pair_of_twins(4, 0))[:4], factors[:4])
