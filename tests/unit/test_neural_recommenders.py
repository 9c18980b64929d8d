"""Neural CF and LightGCN: their formulas by hand, and what they learn on planted structure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline_training.recommenders.base import Feedback
from hemline_training.recommenders.lightgcn import (
    LightGCN,
    in_batch_softmax,
    normalised_graph,
    propagate,
)
from hemline_training.recommenders.neural_cf import NeuMF, NeuralCF
from hemline_training.recommenders.pairs import Pairs


def random_likes(users: int = 30, items: int = 12, seed: int = 0) -> csr_matrix:
    rng = np.random.default_rng(seed)
    return csr_matrix((rng.random((users, items)) < 0.3).astype(np.float32))


def test_the_graph_is_divided_by_the_roots_of_both_degrees():
    likes = csr_matrix(np.float32([[1, 1], [0, 1]]))  # user 0 likes both, user 1 the second
    graph = normalised_graph(likes).toarray()
    half, root = 0.5, 1 / np.sqrt(2)
    expected = np.float32(
        [[0, 0, root, half], [0, 0, 0, root], [root, 0, 0, 0], [half, root, 0, 0]]
    )
    assert graph == pytest.approx(expected)


def test_gradients_flow_back_through_the_propagation_as_through_a_dense_product():
    graph = normalised_graph(random_likes())
    dense = torch.from_numpy(graph.toarray())
    base = torch.randn(42, 3, generator=torch.manual_seed(0), requires_grad=True)
    torch.stack(propagate(graph, base, 2)).sum(dim=0).pow(2).sum().backward()
    found, base.grad = base.grad.clone(), None
    (base + dense @ base + dense @ dense @ base).pow(2).sum().backward()
    assert found.numpy() == pytest.approx(base.grad.numpy(), rel=1e-4, abs=1e-5)


def test_a_newcomer_with_a_users_history_gets_that_users_layers_but_the_first():
    likes = random_likes()
    model = LightGCN(dim=4, layers=2, epochs=2, batch_size=64).fit(Feedback(likes))
    base_share = model.score([3]) - model.fold_in(Feedback(likes[[3]]))
    # What is left is E_u(0) / 3 against the items: of rank 1 in the user's own first layer.
    own = base_share @ np.linalg.pinv(model.item_vectors.T)
    assert (own @ model.item_vectors.T) == pytest.approx(base_share, abs=1e-5)
    again = LightGCN(dim=4, layers=2, epochs=2, batch_size=64).fit(Feedback(likes))
    assert np.array_equal(again.score([3]), model.score([3]))


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_lightgcns_loss_falls(loss):
    losses: list[float] = []
    LightGCN(
        dim=8,
        epochs=15,
        batch_size=64,
        learning_rate=0.03,
        loss=loss,
        each_epoch=lambda epoch, mean: losses.append(mean) or False,
    ).fit(Feedback(random_likes()))
    assert len(losses) == 15 and losses[-1] < 0.9 * losses[0]


def test_lightgcn_stops_when_told_to():
    epochs: list[int] = []
    LightGCN(
        dim=4, epochs=50, batch_size=64, each_epoch=lambda e, _: epochs.append(e) or e == 3
    ).fit(Feedback(random_likes()))
    assert epochs == [1, 2, 3]


def test_in_batch_softmax_by_hand_spares_the_same_item():
    vectors = torch.eye(3)
    names = torch.tensor([7, 7, 9])
    # Rows 0 and 1 have only item 9 against them, row 2 both others.
    one, two = -np.log(np.e / (np.e + 1)), -np.log(np.e / (np.e + 2))
    loss = in_batch_softmax(vectors, 5 * vectors, names, temperature=1.0)
    assert loss.item() == pytest.approx((2 * one + two) / 3, rel=1e-5)


def test_neumf_scores_a_whole_matrix_as_it_scores_pairs():
    torch.manual_seed(0)
    net = NeuMF(5, 7, dim=3, hidden=8, dropout=0.5).eval()
    torch.nn.init.normal_(net.item_bias.weight)
    users, items = np.divmod(np.arange(35), 7)
    one_by_one = net(torch.from_numpy(users), torch.from_numpy(items)).reshape(5, 7)
    whole = net.matrix(net.users.weight)
    assert whole.detach().numpy() == pytest.approx(one_by_one.detach().numpy(), abs=1e-5)


def test_squared_error_on_ratings_predicts_the_ratings():
    rng = np.random.default_rng(0)
    taste, quality = rng.normal(size=(40, 2)), rng.normal(size=(25, 2))
    truth = np.clip(3 + taste @ quality.T, 1, 5).astype(np.float32)
    known = rng.random(truth.shape) < 0.6
    feedback = Feedback(
        likes=csr_matrix((truth >= 4) * known.astype(np.float32)), ratings=csr_matrix(truth * known)
    )
    model = NeuralCF(
        "mse", dim=8, hidden=16, dropout=0, epochs=60, batch_size=64, learning_rate=0.01
    )
    scores = model.fit(feedback).score(np.arange(40))
    error = np.sqrt(((scores - truth)[~known] ** 2).mean())
    guess = np.sqrt(((truth[known].mean() - truth[~known]) ** 2).mean())
    assert error < 0.75 * guess
    assert model.losses[-1] < 0.2 * model.losses[0]
    # A stranger with the ratings of user 0 is predicted much like user 0.
    stranger = model.fold_in(Feedback(feedback.likes[[0]], ratings=feedback.ratings[[0]]))
    assert np.sqrt(((stranger - truth[[0]]) ** 2).mean()) < guess


def test_binary_cross_entropy_falls():
    model = NeuralCF("bce", dim=4, hidden=8, epochs=12, batch_size=32, learning_rate=0.02)
    model.fit(Feedback(random_likes()))
    assert model.losses[-1] < 0.95 * model.losses[0]


def test_negatives_are_items_the_user_does_not_like():
    pairs = Pairs.of(random_likes())
    users = np.repeat(np.arange(30), 20)
    drawn = pairs.negatives(users, 2, np.random.default_rng(0), tries=50)
    assert not pairs.likes[np.repeat(users, 2), drawn.ravel()].any()
    assert set(drawn.ravel()) == set(range(12))


def test_an_epoch_has_every_pair_once():
    pairs = Pairs.of(random_likes())
    batches = list(pairs.batches(16, np.random.default_rng(0)))
    assert sorted(np.concatenate(batches)) == list(range(len(pairs)))
    assert max(map(len, batches)) <= 16


def test_what_cannot_be_learnt_is_refused():
    nothing = Feedback(csr_matrix((3, 4), dtype=np.float32))
    for model in (NeuralCF(), LightGCN()):
        with pytest.raises(InvalidInputError, match="likes: holds no pair"):
            model.fit(nothing)
    with pytest.raises(InvalidInputError, match="loss: is 'hinge'; there are 'bce' and 'mse'"):
        NeuralCF(loss="hinge").fit(Feedback(random_likes()))
