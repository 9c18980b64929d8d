"""The order of a history: where it is read, what it weighs, and which models follow it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline_training.datasets import folds_of, read_events
from hemline_training.recommenders.base import Feedback
from hemline_training.recommenders.blended import Blend
from hemline_training.recommenders.graph_filters import GraphFilter
from hemline_training.recommenders.low_rank import Ials
from hemline_training.recommenders.memory_cf import ItemNeighbours, Rp3Beta, UserNeighbours
from hemline_training.recommenders.recency import ages, weighed
from hemline_training.recommenders.sequences import SequentialNeighbours
from hemline_training.splits import hold_out


def in_order(histories: list[list[int]], n_items: int) -> Feedback:
    """Feedback of histories given oldest first; each item at most once a history."""
    places = np.zeros((len(histories), n_items), np.int64)
    for user, history in enumerate(histories):
        places[user, history] = np.arange(1, len(history) + 1)
    return Feedback(likes=csr_matrix((places > 0).astype(np.float32)), places=csr_matrix(places))


def drawn(seed: int, users: int = 25, items: int = 12) -> tuple[list[list[int]], Feedback]:
    rng = np.random.default_rng(seed)
    histories = [list(rng.permutation(items)[: rng.integers(0, 8)]) for _ in range(users)]
    return histories, in_order(histories, items)


def test_the_latest_like_has_age_1_and_weights_fall_with_age_about_a_mean_of_1():
    feedback = in_order([[4, 0, 2], [], [1]], 5)
    assert ages(feedback).tolist() == [2, 1, 3, 1]  # user 0's items 0, 2, 4, then user 2's
    row = weighed(feedback, 1.0)[0].toarray()[0]
    np.testing.assert_allclose(row[[2, 0, 4]] / row[2], [1, 1 / 2, 1 / 3], rtol=1e-6)
    assert row.sum() == pytest.approx(3)
    assert weighed(feedback, 0.0).toarray().tolist() == (feedback.likes.toarray() > 0).tolist()


def test_recency_without_an_order_is_refused():
    likes = csr_matrix(np.eye(3, dtype=np.float32))
    with pytest.raises(InvalidInputError, match="places: recency needs the order"):
        weighed(Feedback(likes=likes), 0.5)
    with pytest.raises(InvalidInputError, match="exactly the likes"):
        weighed(Feedback(likes=likes, places=csr_matrix(np.eye(3, k=1, dtype=np.int64))), 0.5)
    with pytest.raises(InvalidInputError, match="places: to hold out the latest"):
        Blend({"knn": ItemNeighbours}, latest=True).fit(Feedback(likes=likes))


@pytest.mark.parametrize("backward", [0.0, 0.5, 1.0])
def test_sequential_neighbours_are_the_written_out_sum_over_lags(backward):
    histories, feedback = drawn(3)
    window, decay, alpha, beta = 3, 0.7, 0.6, 0.3
    near = np.zeros((12, 12))
    for history in histories:
        for first, a in enumerate(history):
            for second, b in enumerate(history):
                if 0 < second - first <= window:
                    near[a, b] += (second - first) ** -decay
                elif 0 < first - second <= window:
                    near[a, b] += backward * (first - second) ** -decay
    known = np.maximum(feedback.likes.toarray().sum(axis=0), 1)
    wanted = weighed(feedback, 0.5).toarray() @ (near / known[:, None] ** alpha / known**beta)
    model = SequentialNeighbours(window, decay, backward, alpha, beta, recency=0.5)
    np.testing.assert_allclose(model.fit(feedback).score(np.arange(25)), wanted, rtol=1e-5)


def test_linear_models_score_the_weighed_history():
    """What a model makes of single items, summed with the weights, is its score of a history."""
    _, feedback = drawn(4)
    alone = in_order([[item] for item in range(12)], 12)
    weights = weighed(feedback, 0.8).toarray()
    for model in (
        Rp3Beta(k=12, recency=0.8),
        ItemNeighbours(k=12, recency=0.8),
        GraphFilter(rank=3, sharpening=1.0, recency=0.8),
    ):
        of_items = model.fit(feedback).fold_in(alone)
        wanted = weights @ of_items
        np.testing.assert_allclose(model.score(np.arange(25)), wanted, rtol=1e-4, atol=1e-5)


def test_ials_with_recency_minimises_the_loss_with_those_confidences():
    _, feedback = drawn(5)
    model = Ials(factors=4, regularisation=0.05, recency=0.8, fold_in_steps=40).fit(feedback)
    h, weights = model.item_factors.astype(np.float64), weighed(feedback, 0.8).toarray()
    for user in range(25):
        c = weights[user]
        penalty = 0.05 * ((c > 0).sum() + 0.1 * 12)
        a = 0.1 * h.T @ h + (h * c[:, None]).T @ h + penalty * np.eye(4)
        wanted = h @ np.linalg.solve(a, h.T @ c)
        np.testing.assert_allclose(model.score([user])[0], wanted, rtol=1e-3, atol=1e-4)


def test_users_are_compared_by_what_they_liked_lately():
    """The newcomer turned from items 0, 1 to 2, 3; the two others did so, or the reverse."""
    feedback = in_order([[0, 1, 2, 3, 4], [2, 3, 0, 1, 5]], 6)
    newcomer = in_order([[0, 1, 2, 3]], 6)
    alike = UserNeighbours(k=2).fit(feedback).fold_in(newcomer)[0]
    lately = UserNeighbours(k=2, recency=1.0).fit(feedback).fold_in(newcomer)[0]
    assert alike[4] == pytest.approx(alike[5])
    assert lately[4] > 1.05 * lately[5]


def test_the_latest_likes_are_held_out():
    feedback = in_order([[4, 0, 2, 1, 3], [2], [5, 1]], 6)
    kept, held = hold_out(feedback.likes, 0.4, 0, feedback.places)
    assert [held[user].indices.tolist() for user in range(3)] == [[1, 3], [], [1]]
    past = feedback.keeping(kept)
    assert [kept[user].indices.tolist() for user in range(3)] == [[0, 2, 4], [2], [5]]
    assert ages(past).tolist() == [2, 1, 3, 1, 1]


def test_a_split_as_text_keeps_the_order_of_its_lines(tmp_path):
    (tmp_path / "train.txt").write_text("0 4 0 2\n1 1\n")
    (tmp_path / "test.txt").write_text("0 3\n1 0\n")
    (fold,) = folds_of(read_events(tmp_path))
    assert ages(fold.train).tolist() == [2, 1, 3, 1]


def test_the_blend_of_ordered_parts_finds_what_follows_what():
    """Items come in a fixed round; only who heeds the order knows which is next."""
    rng = np.random.default_rng(0)
    starts, lengths = rng.integers(0, 30, 300), rng.integers(6, 12, 300)
    rounds = [[(s + step) % 30 for step in range(n)] for s, n in zip(starts, lengths, strict=True)]
    feedback = in_order(rounds, 30)
    blend = Blend(
        {
            "next": lambda: SequentialNeighbours(window=2, decay=1.0, backward=0.0, recency=1.0),
            "knn": lambda: ItemNeighbours(k=20),
        },
        k=3,
        held=0.2,
        latest=True,
    ).fit(feedback)
    first = blend.recommend(np.arange(300), 1)[:, 0]
    expected = np.array([(history[-1] + 1) % 30 for history in rounds])
    assert (first == expected).mean() > 0.9
    assert blend.learned["next"] > 0.3
