"""GraphSAGE: the graph, the sampler, and people and items that training never saw."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_matrix

from hemline_training.recommenders.base import Feedback
from hemline_training.recommenders.graphsage import GraphSage, apply_layer, edges
from hemline_training.recommenders.neighbourhood import NO_NODE, Graph, attribute_matrix, draw

GROUPS, USERS_EACH, ITEMS_EACH = 3, 20, 8


def small_shop() -> Feedback:
    """Groups of users who like items of one colour each; the last item of each colour is cold.

    Everybody of a group is of one age group, so both a stranger's age and a cold item's colour say
    where they belong.
    """
    rng = np.random.default_rng(0)
    likes = np.zeros((GROUPS * USERS_EACH, GROUPS * ITEMS_EACH), np.float32)
    for user in range(len(likes)):
        group = user // USERS_EACH
        liked = rng.choice(ITEMS_EACH - 1, 4, replace=False)
        likes[user, group * ITEMS_EACH + liked] = 1
    colours = [("Red", "Green", "Blue")[row // ITEMS_EACH] for row in range(likes.shape[1])]
    ages = [("18-24", "25-34", "35-44")[user // USERS_EACH] for user in range(len(likes))]
    return Feedback(
        csr_matrix(likes),
        users=pa.table({"age_group": ages}),
        items=pa.table({"colour": colours, "season": ["Summer"] * len(colours)}),
    )


@pytest.fixture(scope="module")
def model() -> GraphSage:
    return GraphSage(dim=16, epochs=25, batch_size=64, learning_rate=0.02).fit(small_shop())


def test_the_graph_links_users_with_items_and_items_with_their_attributes():
    likes = csr_matrix(np.float32([[1, 0], [1, 1]]))
    graph = Graph.of(Feedback(likes, items=pa.table({"colour": ["Red", None], "x": [1, 2]})))
    assert graph.counts == (2, 2, 1)
    expected = np.zeros((5, 5))
    for one, other in ((0, 2), (1, 2), (1, 3), (2, 4)):
        expected[one, other] = expected[other, one] = 1
    assert np.array_equal(graph.adjacency.toarray(), expected)
    assert graph.means.toarray()[2] == pytest.approx([1 / 3, 1 / 3, 0, 0, 1 / 3])


def test_equal_values_of_different_attributes_are_different_nodes():
    items = pa.table({"article_type": ["Belts", None], "sub_category": ["Belts", "Belts"]})
    assert attribute_matrix(items, 2).toarray().tolist() == [[1, 1], [1, 0]]


def test_neighbours_are_drawn_evenly_but_never_the_barred_one():
    likes = csr_matrix(np.float32([[1, 1, 1, 0], [0, 0, 0, 0]]))
    graph = Graph.of(Feedback(likes))
    nodes, barred = np.array([0, 1]), np.array([2, NO_NODE])
    drawn = draw(graph.adjacency, nodes, 3000, np.random.default_rng(0), barred)
    counts = np.bincount(drawn[0][drawn[0] != NO_NODE], minlength=6)
    assert counts[2] == 0 and counts[3] + counts[4] == counts.sum()
    assert counts[3] == pytest.approx(1000, abs=100)
    assert (drawn[1] == NO_NODE).all()  # of a node without neighbours


def test_a_sampled_layer_is_the_mean_over_the_drawn_neighbours():
    model = GraphSage(dim=4, epochs=1, batch_size=64).fit(small_shop())
    layer = model._net.first
    features = torch.randn(5, 4, generator=torch.manual_seed(0))
    drawn = np.array([[3, 3, 4], [NO_NODE, NO_NODE, NO_NODE]])
    out = layer((features, features[:2]), edges(drawn, np.array([3, 3, 4, 0, 0, 0])))
    means = torch.stack([(2 * features[3] + features[4]) / 3, torch.zeros(4)])
    expected = apply_layer(layer, features[:2], means.numpy())
    assert out.detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)


def test_the_loss_falls_and_everybodys_group_is_found(model):
    assert model.losses[-1] < 0.7 * model.losses[0]
    first = model.recommend(np.arange(GROUPS * USERS_EACH), k=4)
    own = np.arange(GROUPS * USERS_EACH)[:, None] // USERS_EACH
    assert (first // ITEMS_EACH == own).mean() > 0.9


def test_a_cold_item_is_recommended_to_the_group_of_its_attributes(model):
    scores = model.score(np.arange(GROUPS * USERS_EACH))
    cold = np.arange(GROUPS) * ITEMS_EACH + ITEMS_EACH - 1
    best = scores[:, cold].argmax(axis=1)
    assert (best == np.arange(GROUPS * USERS_EACH) // USERS_EACH).mean() > 0.9


def test_a_stranger_without_history_gets_what_their_age_group_likes(model):
    ages = ["35-44", "18-24", None, "90+"]
    nobody = Feedback(
        csr_matrix((4, GROUPS * ITEMS_EACH), dtype=np.float32),
        users=pa.table({"age_group": ages}),
    )
    scores = model.fold_in(nobody)
    top = scores.argsort(axis=1)[:, -3:] // ITEMS_EACH
    assert (top[0] == 2).all() and (top[1] == 0).all()
    # An age group never seen counts as unknown.
    assert np.isfinite(scores).all() and scores[2] == pytest.approx(scores[3])


def test_a_stranger_with_a_history_gets_the_rest_of_it(model):
    likes = np.zeros((1, GROUPS * ITEMS_EACH), np.float32)
    likes[0, [ITEMS_EACH, ITEMS_EACH + 1]] = 1
    stranger = Feedback(
        csr_matrix(likes),
        users=pa.table({"age_group": [None]}, pa.schema([("age_group", pa.string())])),
    )
    best = model.fold_in(stranger)[0].argsort()[::-1][:6]
    assert (best // ITEMS_EACH == 1).mean() > 0.8


def test_items_with_content_are_known_by_it_alone():
    shop = small_shop()
    content = np.repeat(np.eye(GROUPS, dtype=np.float32), ITEMS_EACH, axis=0)
    bare = Feedback(shop.likes, content=content)
    model = GraphSage(dim=16, epochs=15, batch_size=64, learning_rate=0.02).fit(bare)
    scores = model.score([0, USERS_EACH])
    assert scores[0, ITEMS_EACH - 1] > scores[0, 2 * ITEMS_EACH - 1]
    assert scores[1, 2 * ITEMS_EACH - 1] > scores[1, ITEMS_EACH - 1]


def test_the_same_seed_gives_the_same_model(model):
    again = GraphSage(dim=16, epochs=25, batch_size=64, learning_rate=0.02).fit(small_shop())
    assert np.array_equal(again.item_vectors, model.item_vectors)
