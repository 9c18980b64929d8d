"""The towers with features: each number by hand, no leak of the target, what each input buys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import normalise
from hemline_training.recommenders.base import Feedback
from hemline_training.recommenders.feature_towers import LOSSES, FeatureTowers
from hemline_training.recommenders.tower_features import (
    Events,
    ItemFeatures,
    demographics,
    standardised,
    within_groups,
)

DAY = 86_400_000


def timed(rows: list[list[int]], n_items: int) -> Feedback:
    """Users who like the items of their row, one a day from day 1 on."""
    likes = np.zeros((len(rows), n_items), np.float32)
    times = np.zeros((len(rows), n_items), np.int64)
    for user, items in enumerate(rows):
        likes[user, items] = 1
        times[user, items] = DAY * np.arange(1, len(items) + 1)
    return Feedback(csr_matrix(likes), times_ms=csr_matrix(times))


def test_a_target_sees_what_came_before_it_and_never_itself():
    events = Events.of(timed([[3, 0, 2], [1]], 4))
    assert events.items.tolist() == [3, 0, 2, 1]
    seen = events.before(np.arange(4), limit=10)
    by_owner = [seen.items[seen.owner == e].tolist() for e in range(4)]
    assert by_owner == [[], [3], [3, 0], []]
    assert seen.now_ms.tolist() == [DAY, 2 * DAY, 3 * DAY, DAY]


def test_without_times_a_target_sees_all_the_others():
    likes = csr_matrix(np.float32([[1, 0, 1, 1], [0, 1, 0, 0]]))
    seen = Events.of(Feedback(likes)).before(np.arange(4), limit=10)
    assert [seen.items[seen.owner == e].tolist() for e in range(4)] == [[2, 3], [0, 3], [0, 2], []]


def test_a_limit_keeps_the_newest():
    events = Events.of(timed([[3, 0, 2, 1]], 4))
    assert events.histories(np.array([0]), 2).items.tolist() == [2, 1]
    seen = events.before(np.array([3]), limit=2)
    assert seen.items.tolist() == [0, 2]


def test_a_users_numbers_by_hand():
    events = Events.of(timed([[0, 1, 2], []], 3))
    prices = np.float32([10, np.nan, 30])
    numbers = events.histories(np.arange(2), 10).numbers(prices, now_ms=33 * DAY)
    assert numbers[0] == pytest.approx(
        [np.log(4), np.log(41), 2 / 3, np.exp(-1), np.log(2)]  # day 3 alone is 30 days ago
    )
    assert numbers[1].tolist() == [0, 0, 0, 0, 0]


def test_an_items_price_is_compared_with_all_and_with_its_kind():
    items = pa.table(
        {"price": [10.0, 20.0, 100.0, None], "article_type": ["Belts", "Belts", "Coats", "Coats"]}
    )
    features = ItemFeatures.of(
        Feedback(csr_matrix(np.float32([[1, 1, 1, 1], [1, 0, 0, 0]])), items=items)
    )
    log = np.log1p([10, 20, 100])
    assert features.numbers[:3, 0] == pytest.approx((log - log.mean()) / log.std(), rel=1e-4)
    assert features.numbers[:, 1] == pytest.approx([-1, 1, 0, 0])
    assert features.numbers[:, 2].tolist() == [0, 0, 0, 1]
    assert features.numbers[0, 3] > 0 > features.numbers[1, 3]
    assert features.n_values == 2


def test_standardising_leaves_the_unknown_at_the_mean():
    assert standardised(np.array([1.0, np.nan, 3.0])) == pytest.approx([-1, 0, 1])
    assert standardised(np.array([np.nan, np.nan])).tolist() == [0, 0]
    assert within_groups(np.array([1.0, 5.0, 3.0]), ["a", None, "a"]).tolist() == [-1, 0, 1]


def test_an_unknown_segment_is_number_nought():
    known: dict[tuple[str, str], int] = {}
    one = Feedback(csr_matrix((2, 1)), users=pa.table({"age_group": ["18-24", None]}))
    assert demographics(one, known, learn=True).tolist() == [[1, 0], [0, 0]]
    other = Feedback(csr_matrix((1, 1)), users=pa.table({"age_group": ["90+"]}))
    assert demographics(other, known, learn=False).tolist() == [[0, 0]]


def swapped_world() -> Feedback:
    """Whoever starts with kind c goes on to like kind c + 1; content shows the kind alone."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(8, 8)))[0][:4]
    content = normalise(np.repeat(centres, 6, axis=0) + 0.05 * rng.normal(size=(24, 8)))
    rows = []
    for user in range(160):
        kind = user % 4
        rows.append([kind * 6 + rng.integers(6), (kind + 1) % 4 * 6 + rng.integers(6)])
    return replace(timed([[int(i) for i in row] for row in rows], 24), content=content)


CONFIG = dict(dim=8, hidden=32, epochs=15, batch_size=64, uniform_negatives=24, learning_rate=0.01)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_falls_and_learns_what_content_cannot_know(loss):
    world = swapped_world()
    model = FeatureTowers(loss=loss, **CONFIG).fit(world)
    assert model.losses[-1] < model.losses[0]
    probe = csr_matrix(np.float32(np.eye(24)))  # strangers who like one item each
    best = model.fold_in(Feedback(probe)).argmax(axis=1)
    assert (best // 6 == (np.arange(24) // 6 + 1) % 4).mean() > 0.6  # by content alone: 0


def test_untrained_towers_rank_by_content():
    world = swapped_world()
    model = FeatureTowers(**{**CONFIG, "epochs": 0}).fit(world)
    scores = model.fold_in(Feedback(csr_matrix(np.float32(np.eye(24)))))
    assert (scores.argmax(axis=1) // 6 == np.arange(24) // 6).all()


def test_frozen_content_stays_and_free_content_moves():
    world = swapped_world()
    frozen, free = (
        FeatureTowers(**{**CONFIG, "epochs": 2}, freeze_content=f).fit(world) for f in (True, False)
    )
    assert np.array_equal(frozen._pair.content.detach().numpy(), world.content)
    assert np.abs(free._pair.content.detach().numpy() - world.content).max() > 1e-3


def test_strangers_are_told_apart_by_their_demographics():
    rng = np.random.default_rng(0)
    content = normalise(np.repeat(np.eye(2, 6), 5, axis=0) + 0.05 * rng.normal(size=(10, 6)))
    likes = np.zeros((80, 10), np.float32)
    for user in range(80):
        likes[user, user % 2 * 5 + rng.choice(5, 2, replace=False)] = 1
    ages = ["18-24" if user % 2 == 0 else "55+" for user in range(80)]
    world = Feedback(csr_matrix(likes), users=pa.table({"age_group": ages}), content=content)
    # No history at all for half of what is learnt: the first of two events has none before it.
    times = csr_matrix(likes.astype(np.int64))
    times.data = np.tile([DAY, 2 * DAY], 80)
    model = FeatureTowers(**CONFIG).fit(replace(world, times_ms=times))
    nobody = Feedback(
        csr_matrix((2, 10), dtype=np.float32), users=pa.table({"age_group": ["18-24", "55+"]})
    )
    scores = model.fold_in(nobody)
    assert scores[0].argmax() < 5 <= scores[1].argmax()


def test_items_without_content_are_known_by_their_attributes_or_refused():
    world = swapped_world()
    kinds = [f"kind {row // 6}" for row in range(24)]
    bare = replace(world, content=None, items=pa.table({"article_type": kinds}))
    model = FeatureTowers(**CONFIG).fit(bare)
    best = model.fold_in(Feedback(csr_matrix(np.float32(np.eye(24))))).argmax(axis=1)
    assert (best // 6 == (np.arange(24) // 6 + 1) % 4).mean() > 0.9
    with pytest.raises(InvalidInputError, match="items: the towers need content vectors or"):
        FeatureTowers().fit(replace(world, content=None))
    with pytest.raises(InvalidInputError, match="loss: is 'hinge'; there are softmax, bce, mse"):
        FeatureTowers(loss="hinge").fit(world)


def test_vectors_have_unit_norm_and_dropout_is_off_when_asked():
    model = FeatureTowers(**{**CONFIG, "epochs": 1, "dropout": 0.5}).fit(swapped_world())
    assert np.linalg.norm(model.item_vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(model.score([1, 2]), model.score([1, 2]))
    assert torch.is_tensor(model._pair.content)
