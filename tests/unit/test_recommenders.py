"""What every recommender must do, on a small matrix whose right answer is known.

A model of the collaborative kind joins by one line in COLLABORATIVE, any other in OTHERS.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError, NotFoundError
from hemline_training.recommenders import MODELS, recommender
from hemline_training.recommenders.base import Feedback, Recommender, blocks
from hemline_training.recommenders.baselines import (
    MostPopular,
    RecentPopular,
    ReturningPopular,
    Rising,
    SegmentPopular,
)
from hemline_training.recommenders.blended import Blend, standardise
from hemline_training.recommenders.content import ContentCosine
from hemline_training.recommenders.ease import Ease
from hemline_training.recommenders.explicit import BiasedMf
from hemline_training.recommenders.feature_towers import FeatureTowers
from hemline_training.recommenders.graph_filters import GraphFilter
from hemline_training.recommenders.graphsage import GraphSage
from hemline_training.recommenders.inverse import invert_in_place
from hemline_training.recommenders.lightgcn import LightGCN
from hemline_training.recommenders.low_rank import Ials
from hemline_training.recommenders.memory_cf import ItemNeighbours, Rp3Beta, UserNeighbours
from hemline_training.recommenders.neural_cf import NeuralCF
from hemline_training.recommenders.ranker import Ranker
from hemline_training.recommenders.sequences import SequentialNeighbours

GROUPS, GROUP_USERS, GROUP_ITEMS = 3, 14, 7
USERS, ITEMS = GROUPS * GROUP_USERS, GROUPS * GROUP_ITEMS

# Name -> a model small enough for the matrix below, for a seed.
COLLABORATIVE: dict[str, Callable[[int], Recommender]] = {
    "ease": lambda seed: Ease(regularisation=1.0),
    "ncf-bce": lambda seed: NeuralCF(
        loss="bce",
        dim=8,
        hidden=16,
        epochs=15,
        batch_size=64,
        learning_rate=0.02,
        weight_decay=1e-3,
        seed=seed,
    ),
    "content": lambda seed: ContentCosine(),
    "towers": lambda seed: FeatureTowers(
        dim=8, hidden=32, epochs=15, batch_size=64, uniform_negatives=16, seed=seed
    ),
    "ranker-network": lambda seed: Ranker(
        {"ease": lambda: Ease(regularisation=1.0)}, kind="network", rounds=100, seed=seed
    ),
    "ranker-lambdarank": lambda seed: Ranker(
        {"ease": lambda: Ease(regularisation=1.0)}, rounds=20, seed=seed
    ),
    "graphsage": lambda seed: GraphSage(
        dim=16, epochs=20, batch_size=64, learning_rate=0.02, seed=seed
    ),
    "lightgcn": lambda seed: LightGCN(
        dim=8, layers=2, epochs=40, batch_size=128, learning_rate=0.05, seed=seed
    ),
    "lightgcn-softmax": lambda seed: LightGCN(
        dim=8, layers=2, epochs=40, batch_size=128, learning_rate=0.05, loss="softmax", seed=seed
    ),
    "gf-cf": lambda seed: GraphFilter(rank=3, seed=seed),
    "bspm": lambda seed: GraphFilter(rank=3, low_pass=0.2, sharpening=1.0, seed=seed),
    "item-knn": lambda seed: ItemNeighbours(k=10),
    "item-knn-shrunk": lambda seed: ItemNeighbours(k=10, shrinkage=5.0, user_power=1.0),
    "item-knn-2": lambda seed: ItemNeighbours(k=10, hops=2),
    "user-knn": lambda seed: UserNeighbours(k=10),
    "rp3beta": lambda seed: Rp3Beta(k=10),
    "near": lambda seed: SequentialNeighbours(window=6),
    "ials": lambda seed: Ials(factors=6, unobserved=0.1, regularisation=0.01, seed=seed),
    "blend": lambda seed: Blend(
        {"ease": lambda: Ease(1.0), "user-knn": lambda: UserNeighbours(k=10)}, k=3, seed=seed
    ),
}
OTHERS: dict[str, Callable[[int], Recommender]] = {
    "popular": lambda seed: MostPopular(),
    "recent-popular": lambda seed: RecentPopular(),
    "returning-popular": lambda seed: ReturningPopular(),
    "rising": lambda seed: Rising(),
    "segment-popular": lambda seed: SegmentPopular(),
    "mf-als": lambda seed: BiasedMf("als", factors=2, iterations=3, seed=seed),
    "mf-sgd": lambda seed: BiasedMf("sgd", factors=2, iterations=3, seed=seed),
    "user-pearson": lambda seed: UserNeighbours(k=10, similarity="pearson"),
    "ncf-mse": lambda seed: NeuralCF(
        loss="mse",
        dim=8,
        hidden=16,
        epochs=30,
        batch_size=64,
        learning_rate=0.02,
        weight_decay=1e-3,
        seed=seed,
    ),
}
ALL = COLLABORATIVE | OTHERS


def small_matrix() -> Feedback:
    """Three groups of users, each with items of its own; every user lacks one item of their group.

    So whoever understands the groups recommends the missing item first.
    """
    likes = np.zeros((USERS, ITEMS), np.float32)
    for user in range(USERS):
        group = user // GROUP_USERS
        likes[user, group * GROUP_ITEMS : (group + 1) * GROUP_ITEMS] = 1
        likes[user, missing(user)] = 0
    times = csr_matrix(likes.astype(np.int64) * 1_700_000_000_000)
    age_groups = [("18-24", "25-34", "35-44")[user // GROUP_USERS] for user in range(USERS)]
    rng = np.random.default_rng(0)
    content = np.repeat(np.eye(GROUPS, 8), GROUP_ITEMS, axis=0) + 0.1 * rng.normal(size=(ITEMS, 8))
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    return Feedback(
        likes=csr_matrix(likes),
        ratings=csr_matrix(likes * (1 + np.arange(ITEMS) % 5)),
        times_ms=times,
        places=csr_matrix(likes.astype(np.int64) * np.arange(1, ITEMS + 1)),
        users=pa.table({"age_group": age_groups, "gender": ["female"] * USERS}),
        items=pa.table({"item_id": [f"i{row}" for row in range(ITEMS)]}),
        content=content.astype(np.float32),
        now_ms=1_700_000_000_001,
    )


def missing(user: int) -> int:
    return (user // GROUP_USERS) * GROUP_ITEMS + user % GROUP_ITEMS


@pytest.fixture(scope="module")
def fitted() -> Callable[[str], Recommender]:
    models: dict[str, Recommender] = {}

    def fit(name: str) -> Recommender:
        if name not in models:
            models[name] = ALL[name](0).fit(small_matrix())
        return models[name]

    return fit


@pytest.mark.parametrize("name", COLLABORATIVE)
def test_the_item_that_a_user_lacks_of_their_group_comes_first(name, fitted):
    first = fitted(name).recommend(np.arange(USERS), k=1)[:, 0]
    assert first.tolist() == [missing(user) for user in range(USERS)]


@pytest.mark.parametrize("name", COLLABORATIVE)
def test_a_stranger_with_part_of_a_groups_items_gets_the_rest_of_them(name, fitted):
    likes = np.zeros((GROUPS, ITEMS), np.float32)
    for group in range(GROUPS):
        likes[group, group * GROUP_ITEMS : group * GROUP_ITEMS + 4] = 1
    places = csr_matrix(likes.astype(np.int64) * np.arange(1, ITEMS + 1))
    scores = fitted(name).fold_in(Feedback(likes=csr_matrix(likes), places=places))
    scores[likes > 0] = -np.inf
    best = np.argsort(-scores, axis=1)[:, : GROUP_ITEMS - 4]
    for group in range(GROUPS):
        rest = range(group * GROUP_ITEMS + 4, (group + 1) * GROUP_ITEMS)
        assert set(best[group]) == set(rest)


@pytest.mark.parametrize("name", ALL)
def test_scores_are_finite_float32_of_the_whole_catalogue_in_the_order_asked(name, fitted):
    some = fitted(name).score([5, 0, 40])
    assert some.shape == (3, ITEMS) and some.dtype == np.float32 and np.isfinite(some).all()
    assert some[1] == pytest.approx(fitted(name).score([0])[0], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_recommendations_are_distinct_and_never_what_the_user_has(name, fitted):
    lists = fitted(name).recommend(np.arange(USERS), k=6)
    likes = small_matrix().likes
    for user, ranked in enumerate(lists):
        assert len(set(ranked)) == 6 and not set(ranked) & set(likes[user].indices)


@pytest.mark.parametrize("name", ALL)
def test_who_has_nearly_everything_gets_what_is_left_and_no_more(name, fitted):
    nearly = np.ones((1, ITEMS), np.float32)
    nearly[0, [2, 9]] = 0
    ranked = fitted(name).recommend([0], k=5, exclude=csr_matrix(nearly))[0]
    assert set(ranked[:2]) == {2, 9} and ranked[2:].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("name", ALL)
def test_somebody_of_whom_nothing_is_known_gets_finite_scores(name, fitted):
    nobody = Feedback(
        likes=csr_matrix((2, ITEMS), dtype=np.float32),
        users=pa.table({"age_group": [None, None], "gender": [None, None]}),
    )
    assert np.isfinite(fitted(name).fold_in(nobody)).all()


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_scores(name, fitted):
    again = ALL[name](0).fit(small_matrix()).score(np.arange(USERS))
    assert np.array_equal(again, fitted(name).score(np.arange(USERS)))


@pytest.mark.parametrize("name", ALL)
def test_a_user_and_an_item_without_events_harm_nobody(name):
    feedback = small_matrix()
    wider = csr_matrix(
        (feedback.likes.data, feedback.likes.indices, [*feedback.likes.indptr, feedback.likes.nnz]),
        shape=(USERS + 1, ITEMS + 1),
    )
    model = ALL[name](0).fit(
        Feedback(
            likes=wider,
            ratings=wider,
            times_ms=(wider * 1_700_000_000_000).astype(np.int64),
            places=wider.astype(np.int64),
            content=np.vstack([feedback.content, np.zeros((1, 8))]).astype(np.float32),
            users=pa.table({"age_group": ["18-24"] * (USERS + 1), "gender": [None] * (USERS + 1)}),
        )
    )
    assert np.isfinite(model.score([0, USERS])).all()


def test_every_name_makes_its_model_and_an_unknown_one_lists_them():
    assert all(isinstance(recommender(name), Recommender) for name in MODELS)
    with pytest.raises(NotFoundError, match=r"there is no model 'best'; there are .*ease"):
        recommender("best")


def test_most_popular_counts_users():
    likes = csr_matrix(np.float32([[1, 0, 5], [0, 0, 1], [1, 0, 1]]))
    assert MostPopular().fit(Feedback(likes=likes)).score([0])[0].tolist() == [2, 0, 3]


def test_recently_popular_halves_a_users_say_every_half_life():
    likes = csr_matrix(np.float32([[1, 0, 1], [0, 1, 0]]))
    day = 86_400_000
    times = csr_matrix(np.int64([[100 * day, 0, 93 * day], [0, 86 * day, 0]]))
    model = RecentPopular(half_life_days=7).fit(Feedback(likes, times_ms=times, now_ms=100 * day))
    assert model.score([0])[0] == pytest.approx([1, 0.25, 0.5], abs=1e-5)


def test_popular_by_segment_prefers_what_ones_own_kind_likes():
    model = SegmentPopular(prior=1.0).fit(small_matrix())
    lists = model.recommend(np.arange(USERS), k=1)[:, 0]
    assert (lists // GROUP_ITEMS == np.arange(USERS) // GROUP_USERS).all()


def test_a_model_names_the_feedback_it_lacks():
    likes = Feedback(likes=small_matrix().likes)
    with pytest.raises(InvalidInputError, match=r"times_ms: .* needs the times"):
        RecentPopular().fit(likes)
    with pytest.raises(InvalidInputError, match=r"users: .* needs columns \['age_group'"):
        SegmentPopular().fit(likes)
    with pytest.raises(InvalidInputError, match="content: 3 rows, 21 are wanted"):
        Feedback(likes=small_matrix().likes, content=np.zeros((3, 8), np.float32))


def ease_written_out(x: np.ndarray, regularisation: float) -> np.ndarray:
    p = np.linalg.inv(x.T @ x + regularisation * np.eye(x.shape[1]))
    b = np.eye(len(p)) - p / np.diag(p)
    return x @ b


@pytest.mark.parametrize("shape", [(60, 25), (25, 60)])
def test_ease_is_the_papers_formula_from_either_side(shape):
    x = (np.random.default_rng(1).random(shape) < 0.2).astype(np.float64)
    model = Ease(regularisation=3.0).fit(Feedback(likes=csr_matrix(x.astype(np.float32))))
    expected = ease_written_out(x, 3.0)
    assert model.score(np.arange(shape[0])) == pytest.approx(expected, abs=1e-4)
    everybody = model.feedback.of_users(np.arange(shape[0]))
    assert model.fold_in(everybody) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shape", [(40, 25), (25, 40)])
def test_scaled_ease_is_ease_of_the_scaled_matrix(shape):
    x = random_likes(9, shape)
    scaled = x / np.maximum(x.sum(1, keepdims=True), 1) ** 0.25 / np.maximum(x.sum(0), 1) ** 0.2
    scaled *= np.sqrt(x.sum() / (scaled**2).sum())
    b = np.linalg.inv(scaled.T @ scaled + 3 * np.eye(shape[1]))
    b = np.eye(shape[1]) - b / np.diag(b)
    popularity = np.maximum(x.sum(0), 1) ** 0.2
    wanted = (x / popularity) @ b * popularity
    feedback = Feedback(likes=csr_matrix(x.astype(np.float32)))
    model = Ease(regularisation=3.0, user_power=0.5, item_power=0.2).fit(feedback)
    found, folded = model.score(np.arange(shape[0])), model.fold_in(feedback)
    assert folded == pytest.approx(wanted, abs=1e-3)
    # A user's own row of the fitted matrix is scaled as a whole: the same order.
    rows = np.where(np.abs(wanted) > 1e-6, found / np.where(wanted == 0, 1, wanted), np.nan)
    assert np.nanstd(rows, axis=1).max() < 1e-2


@pytest.mark.parametrize("n", [1, 700, 2_500])
def test_the_blocked_inverse_is_the_inverse(n):
    x = np.random.default_rng(n).normal(size=(n, 40)).astype(np.float32)
    a = x @ x.T + 2 * np.eye(n, dtype=np.float32)
    inverse = a.copy()
    inverse[np.triu_indices(n, 1)] = np.nan  # the upper triangle is not read
    invert_in_place(inverse)
    assert np.array_equal(inverse, inverse.T)
    assert np.abs(inverse @ a - np.eye(n)).max() < 2e-3


def test_blocks_cover_all_rows_and_stay_within_the_limit():
    parts = list(blocks(10, 100, limit_bytes=1_200))
    assert [p.stop - p.start for p in parts] == [3, 3, 3, 1]
    assert next(iter(blocks(1, 10**9, limit_bytes=1))) == slice(0, 1)


def test_bspm_is_the_papers_matrix_polynomial():
    x = (np.random.default_rng(2).random((30, 20)) < 0.3).astype(np.float64)
    users, items = x.sum(axis=1) ** -0.5, x.sum(axis=0) ** -0.5
    graph = users[:, None] * x * items
    smooth = graph.T @ graph
    vectors = np.linalg.svd(graph)[2][:4]
    low_pass = (items[:, None] * vectors.T) @ (vectors / items)
    blurred = x @ smooth + 0.2 * x @ low_pass
    expected, term = blurred, blurred
    for k in range(1, 5):
        term = term @ smooth * (-2.5 / k)
        expected = expected + term
    model = GraphFilter(rank=4, low_pass=0.2, sharpening=2.5)
    found = model.fit(Feedback(likes=csr_matrix(x.astype(np.float32)))).score(np.arange(30))
    assert found == pytest.approx(expected, abs=1e-4)


def random_likes(seed: int, shape: tuple[int, int] = (30, 20)) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < 0.3).astype(np.float64)


def test_item_neighbours_sum_the_cosines_to_the_history():
    x = random_likes(3)
    norms = np.linalg.norm(x, axis=0)
    cosine = x.T @ x / np.outer(norms, norms)
    np.fill_diagonal(cosine, 0)
    model = ItemNeighbours(k=20).fit(Feedback(likes=csr_matrix(x.astype(np.float32))))
    assert model.score(np.arange(30)) == pytest.approx(x @ cosine, abs=1e-5)


def test_the_norm_of_the_scored_item_may_count_otherwise():
    x = random_likes(8)
    feedback = Feedback(likes=csr_matrix(x.astype(np.float32)))
    known = np.maximum(x.sum(axis=0), 1e-9)
    s = (x.T @ x) / known[:, None] ** 0.6 / known**0.2
    np.fill_diagonal(s, 0)
    model = ItemNeighbours(k=20, power=0.6, to_power=0.2).fit(feedback)
    assert model.score(np.arange(30)) == pytest.approx(x @ s, abs=1e-4)


def test_two_hops_go_through_every_item_less_through_the_well_connected():
    x = random_likes(7)
    feedback = Feedback(likes=csr_matrix(x.astype(np.float32)))
    s = ItemNeighbours(k=5).fit(feedback)._similar.toarray().T  # from item, to item
    step = s / np.maximum(s.sum(axis=1), 1e-12)[:, None] ** 0.6
    model = ItemNeighbours(k=5, hops=2, hop_power=0.6).fit(feedback)
    assert model.score(np.arange(30)) == pytest.approx(x @ s @ step, abs=1e-4)


def test_only_the_k_most_similar_items_count():
    x = csr_matrix(np.float32([[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]]))
    scores = ItemNeighbours(k=1).fit(Feedback(likes=x)).fold_in(Feedback(likes=x[4]))
    # Item 2 is the nearest neighbour of neither of the others: 0 and 1 are each other's.
    assert scores[0].tolist() == [0.0, 0.0, 0.0]


def test_user_neighbours_sum_what_others_like():
    x = random_likes(4)
    norms = np.linalg.norm(x, axis=1)
    cosine = x @ x.T / np.outer(norms, norms)
    np.fill_diagonal(cosine, 0)
    model = UserNeighbours(k=30).fit(Feedback(likes=csr_matrix(x.astype(np.float32))))
    assert model.score(np.arange(30)) == pytest.approx(cosine @ x, abs=1e-4)


def test_pearson_of_ratings_ignores_who_rates_higher():
    ratings = np.float32([[5, 4, 3, 0, 1], [4, 3, 2, 5, 0], [1, 2, 5, 0, 5]])
    feedback = Feedback(
        likes=csr_matrix((ratings > 0) * np.float32(1)), ratings=csr_matrix(ratings)
    )
    scores = UserNeighbours(k=1, similarity="pearson").fit(feedback).score([0])
    assert scores[0, 3] > 0 and scores[0, 4] == 0  # user 1 has the same taste, a point lower


def test_rp3beta_is_the_walk_of_the_paper():
    x = random_likes(5)
    users, items = x.sum(axis=1), x.sum(axis=0)
    walk = ((x.T / items[:, None]) ** 0.6) @ ((x / users[:, None]) ** 0.6) / items**0.3
    np.fill_diagonal(walk, 0)
    model = Rp3Beta(k=20, alpha=0.6, beta=0.3)
    model.fit(Feedback(likes=csr_matrix(x.astype(np.float32))))
    assert model.score(np.arange(30)) == pytest.approx(x @ walk, abs=1e-4)


def test_ials_minimises_the_papers_loss_for_every_user():
    x = random_likes(6)
    model = Ials(factors=5, unobserved=0.2, regularisation=0.05, steps=20, seed=1)
    model.fit(Feedback(likes=csr_matrix(x.astype(np.float32))))
    h, alpha = model.item_factors.astype(np.float64), 0.2
    for user in (0, 7):
        mine = h[x[user] > 0]
        weight = 0.05 * (len(mine) + alpha * len(h))
        a = alpha * h.T @ h + mine.T @ mine + weight * np.eye(5)
        assert model.user_factors[user] == pytest.approx(np.linalg.solve(a, mine.sum(0)), abs=1e-3)
    everybody = model.feedback.of_users(np.arange(30))
    assert model.fold_in(everybody) == pytest.approx(model.score(np.arange(30)), abs=1e-3)


@pytest.mark.parametrize("solver", ["als", "sgd"])
def test_completion_finds_ratings_that_were_held_out(solver):
    rng = np.random.default_rng(7)
    truth = 3 + rng.normal(size=(80, 1)) / 2 + rng.normal(size=60) / 2
    truth += rng.normal(size=(80, 2)) @ rng.normal(size=(2, 60)) / 2
    shown = rng.random(truth.shape) < 0.5
    held = csr_matrix(np.where(shown, 0, truth).astype(np.float32))
    ratings = csr_matrix(np.where(shown, truth, 0).astype(np.float32))
    model = BiasedMf(solver, factors=2, regularisation=0.02, iterations=60, batch=32)
    model.fit(Feedback(likes=ratings, ratings=ratings))
    assert model.rmse(held) < 0.4 * held.data.std()
    assert model.mae(held) < model.rmse(held)


def test_the_blend_learns_which_part_is_of_use():
    feedback = small_matrix()
    parts = {"noise": lambda: Noise(), "ease": lambda: Ease(1.0)}
    blend = Blend(parts, k=3).fit(feedback)
    assert blend.learned["ease"] > 0.5
    alone = Ease(1.0).fit(feedback).recommend(np.arange(USERS), k=1)
    assert np.array_equal(blend.recommend(np.arange(USERS), k=1), alone)


class Noise(Recommender):
    """Scores that say nothing."""

    def _fit(self, feedback: Feedback) -> None:
        pass

    def fold_in(self, newcomers: Feedback) -> np.ndarray:
        shape = (newcomers.n_users, ITEMS)
        return np.random.default_rng(9).normal(size=shape).astype(np.float32)


def test_standardised_scores_have_mean_0_and_deviation_1_outside_the_history():
    scores = np.random.default_rng(0).normal(50, 3, (4, 200)).astype(np.float32)
    histories = csr_matrix(np.random.default_rng(1).random((4, 200)) < 0.2)
    scores[histories.nonzero()] = 1e3  # what a model says of known items is often out of scale
    standardise(scores, histories)
    rest = np.where(histories.toarray(), np.nan, scores)
    assert np.nanmean(rest, axis=1) == pytest.approx(0, abs=1e-3)
    assert np.nanstd(rest, axis=1) == pytest.approx(1, abs=1e-3)


def test_ease_on_the_most_popular_items_is_ease_of_them_alone():
    x = random_likes(8, (40, 20))
    head = np.sort(np.argsort(-x.sum(axis=0), kind="stable")[:12])
    model = Ease(regularisation=3.0, most_items=12)
    found = model.fit(Feedback(likes=csr_matrix(x.astype(np.float32)))).score(np.arange(40))
    assert found[:, head] == pytest.approx(ease_written_out(x[:, head], 3.0), abs=1e-4)
    assert not np.delete(found, head, axis=1).any()
