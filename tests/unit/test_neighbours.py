"""Item neighbours on matrices small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hemline.neighbours import NeighbourTable
from hemline_training.interactions import KINDS, Interactions
from hemline_training.neighbours import NeighboursConfig, fit_neighbours, neighbour_matrix

VIEW, DISLIKE = KINDS.index("view"), KINDS.index("dislike")


def log_of(pairs, items, kind=VIEW):
    """Every (user, row) once, at one time; a later row of a user weighs 1 / 0.97 as much."""
    users, rows = (np.array(column) for column in zip(*pairs, strict=True))
    return Interactions.sorted(
        users,
        rows,
        np.full(len(users), kind, dtype=np.int8),
        np.zeros(len(users), dtype=np.int64),
        np.zeros(len(users), dtype=np.int64),
        [f"u{i}" for i in range(users.max() + 1)],
        items,
        {},
    )


def test_similarity_by_hand():
    # Users 0 and 1 see items 0 then 1; user 2 sees item 1 only.
    histories = log_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)], items=3).histories()
    rows, scores = fit_neighbours(histories, NeighboursConfig(k=2, shrinkage=3.0))
    older, newer = math.log1p(0.97), math.log1p(1.0)
    cosine = 2 * older * newer / (math.sqrt(2) * older * math.sqrt(3) * newer)
    assert rows.tolist() == [[1, -1], [0, -1], [-1, -1]]
    assert scores[0, 0] == pytest.approx(cosine * 2 / (2 + 3.0))
    assert scores[1, 0] == scores[0, 0]


def test_shrinkage_prefers_what_many_share():
    # Item 0 goes with 1 for four of six users, and with 2 for the single user who ever saw 2.
    pairs = [(u, 0) for u in range(4)] + [(u, 1) for u in range(6)] + [(0, 2)]
    histories = log_of(pairs, items=3).histories()
    first = fit_neighbours(histories, NeighboursConfig(k=1, shrinkage=20.0))[0][0, 0]
    assert first == 1


def test_disliked_items_have_no_neighbours():
    histories = log_of([(0, 0), (0, 1)], items=2, kind=DISLIKE).histories()
    rows, scores = fit_neighbours(histories, NeighboursConfig(k=2))
    assert (rows == -1).all() and not scores.any()


def test_best_first_and_cut_to_k():
    rng = np.random.default_rng(0)
    pairs = sorted({(int(u), int(i)) for u, i in rng.integers(0, (60, 15), (600, 2))})
    histories = log_of(pairs, items=15).histories()
    rows, scores = fit_neighbours(histories, NeighboursConfig(k=4))
    everything = fit_neighbours(histories, NeighboursConfig(k=14))
    assert (np.diff(scores, axis=1) <= 0).all()
    assert np.array_equal(rows, everything[0][:, :4])
    assert all(item not in near for item, near in enumerate(rows.tolist()))


def test_scores_of_a_history_by_hand():
    rows = np.int32([[1, 2], [0, -1], [-1, -1]])
    scores = np.float32([[0.5, 0.25], [0.5, 0.0], [0.0, 0.0]])
    table = NeighbourTable(rows, scores)
    for _ in range(2):  # the scratch arrays of the first call leave no trace
        found, value = table.scores([0, 1, 0], [2.0, -1.0, 1.0])
        assert dict(zip(found.tolist(), value.tolist(), strict=True)) == {0: -0.5, 1: 1.5, 2: 0.75}
    assert table.scores_of(np.int32([2, 0]), [0], [2.0]).tolist() == [0.5, 0.0]


def test_scores_in_bulk_equal_those_of_serving():
    rng = np.random.default_rng(1)
    pairs = sorted({(int(u), int(i)) for u, i in rng.integers(0, (40, 20), (300, 2))})
    histories = log_of(pairs, items=20).histories()
    rows, scores = fit_neighbours(histories, NeighboursConfig(k=5))
    table = NeighbourTable(rows, scores)
    bulk = (histories.item_weights @ neighbour_matrix(rows, scores)).toarray()
    for user in range(len(histories)):
        events = slice(histories.indptr[user], histories.indptr[user + 1])
        found, value = table.scores(histories.rows[events], histories.weights[events])
        expected = np.zeros(20)
        expected[found] = value
        assert bulk[user] == pytest.approx(expected, abs=1e-5)
