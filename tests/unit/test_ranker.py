"""The second stage: its features by hand, what it learns beyond its first stages, calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import normalise
from hemline_training.recommenders.base import Feedback
from hemline_training.recommenders.baselines import MostPopular
from hemline_training.recommenders.content import ContentCosine
from hemline_training.recommenders.rank_features import RankFeatures, names_of
from hemline_training.recommenders.ranker import KINDS, Ranker, calibration_error

PARTS = {"popular": MostPopular, "content": ContentCosine}


def priced_world(users: int = 240, items: int = 60, seed: int = 0) -> Feedback:
    """Everybody likes what is cheap, or what is dear, of any kind; no first stage sees prices."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 4, items)
    prices = np.where(rng.random(items) < 0.5, 10.0, 200.0) * rng.uniform(0.8, 1.2, items)
    content = normalise(np.eye(4, 6)[kinds] + 0.2 * rng.normal(size=(items, 6)))
    likes = np.zeros((users, items), np.float32)
    for user in range(users):
        mine = np.flatnonzero((prices > 50) == (user % 2 == 1))
        likes[user, rng.choice(mine, 8, replace=False)] = 1
    table = pa.table({"price": prices, "article_type": [f"kind {kind}" for kind in kinds]})
    return Feedback(csr_matrix(likes), items=table, content=content)


@pytest.fixture(scope="module", params=KINDS)
def ranker(request) -> Ranker:
    return Ranker(PARTS, kind=request.param, candidates=30, rounds=100).fit(priced_world())


def right_price(feedback: Feedback, lists: np.ndarray) -> float:
    dear = np.array(feedback.items["price"].to_pylist()) > 50
    return float((dear[lists] == (np.arange(len(lists)) % 2 == 1)[:, None]).mean())


def test_it_learns_what_no_first_stage_knows(ranker):
    world = priced_world()
    users = np.arange(world.n_users)
    alone = max(
        right_price(world, make().fit(world).recommend(users, 5)) for make in PARTS.values()
    )
    assert right_price(world, ranker.recommend(users, 5)) > 0.9 > 0.7 > alone


def test_its_probabilities_happen_as_often_as_they_say(ranker):
    """On another draw of the same world, users and likes that it never saw."""
    other = priced_world(seed=0)
    hidden = np.zeros(other.likes.shape, np.float32)
    rng = np.random.default_rng(5)
    for user in range(other.n_users):
        hidden[user, rng.choice(other.likes[user].indices, 2, replace=False)] = 1
    known = replace(other, likes=csr_matrix(other.likes.toarray() - hidden))
    scores = {name: model.fold_in(known) for name, model in ranker._first.items()}
    found = ranker._features.candidates(scores, known, 30)
    happened = hidden[found.users, found.items] > 0
    said = ranker.probability(found.features)
    assert ((said >= 0) & (said <= 1)).all()
    assert calibration_error(said, happened) < 0.5 * happened.mean()
    assert said[happened].mean() > 1.5 * said[~happened].mean()


def test_what_is_no_candidate_comes_after_every_candidate():
    world = priced_world()
    model = Ranker(PARTS, candidates=5, rounds=10).fit(world)
    scores = model.score([0, 1])
    assert np.isfinite(scores).all()
    candidates = scores >= -15
    assert (candidates.sum(axis=1) <= 10).all() and candidates.any(axis=1).all()
    assert (scores[~candidates] <= -19).all()


def test_a_newcomer_is_ranked_by_their_history_and_nobody_by_popularity(ranker):
    world = priced_world()
    histories = world.of_users([0, 1])
    assert ranker.fold_in(histories) == pytest.approx(ranker.score([0, 1]), abs=1e-5)
    nobody = Feedback(csr_matrix((1, world.n_items), dtype=np.float32))
    assert np.isfinite(ranker.fold_in(nobody)).all()


def test_the_cross_features_by_hand():
    items = pa.table({"price": [9.0, 99.0, None], "colour": ["Red", "Red", "Blue"]})
    content = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
    feedback = Feedback(csr_matrix(np.float32([[1, 0, 0]])), items=items, content=content)
    scores = {"popular": np.float32([[3, 2, 1]])}
    found = RankFeatures.of(feedback).candidates(scores, feedback, each=5)
    assert found.items.tolist() == [1, 2]  # not what the user has
    named = dict(zip(names_of(scores), found.features.T, strict=True))
    assert named["content cosine"] == pytest.approx([0.6, 0.0])
    assert named["attributes shared"] == pytest.approx([1.0, 0.0])
    assert named["price against the history's"] == pytest.approx([np.log(10), 0])
    assert named["popular 1/rank"] == pytest.approx([1, 0.5])
    assert named["popular score"] == pytest.approx([1, -1])
    assert named["spend"] == pytest.approx(np.log([10, 10]))


def test_trees_say_what_they_used():
    model = Ranker(PARTS, candidates=30, rounds=30).fit(priced_world())
    assert next(iter(model.importance)) == "price against the history's"
    assert sum(model.importance.values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_ranks_the_same(kind):
    first, again = (
        Ranker(PARTS, kind=kind, candidates=20, rounds=20, seed=3)
        .fit(priced_world(80))
        .score([0, 7])
        for _ in range(2)
    )
    assert np.array_equal(first, again)


def test_the_networks_loss_falls():
    model = Ranker(PARTS, kind="network", candidates=30, rounds=100).fit(priced_world())
    assert model.losses[-1] < 0.9 * model.losses[0]


def test_too_few_users_or_another_kind_are_refused():
    world = priced_world()
    with pytest.raises(InvalidInputError, match="kind: is 'svm'; there are network, lambdarank"):
        Ranker(PARTS, kind="svm").fit(world)
    with pytest.raises(InvalidInputError, match="likes: 3 users have two likes"):
        Ranker(PARTS).fit(world.of_users([0, 1, 2]))


def test_calibration_error_by_hand():
    said, happened = np.float32([0.1, 0.1, 0.8, 0.8]), np.array([False, False, True, False])
    assert calibration_error(said, happened, bins=2) == pytest.approx((0.1 + 0.3) / 2)
