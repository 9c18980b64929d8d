"""The two towers: what counts as an example, the logQ correction, masking, and that they learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hemline.vectors import normalise
from hemline_training.interactions import KINDS, Interactions
from hemline_training.two_tower import (
    TwoTowerConfig,
    fit_two_tower,
    log_q,
    next_likes,
    sampled_softmax_loss,
)

VIEW, CLICK, DISLIKE = (KINDS.index(kind) for kind in ("view", "click", "dislike"))


def log_of(events, users, items):
    """An Interactions of (user, row, kind, time, session) tuples."""
    u, rows, kinds, times, sessions = (np.array(column) for column in zip(*events, strict=True))
    return Interactions.sorted(
        u,
        rows,
        kinds.astype(np.int8),
        times.astype(np.int64),
        sessions,
        [f"u{i}" for i in range(users)],
        items,
        {},
    )


def test_an_example_knows_nothing_of_its_target_or_of_later_events():
    log = log_of(
        [
            (0, 7, VIEW, 1, 0),
            (0, 3, VIEW, 2, 1),  # first sight of 3: its history ends here …
            (0, 5, VIEW, 3, 1),
            (0, 3, CLICK, 4, 1),  # … though it is liked only now
            (0, 5, DISLIKE, 5, 1),  # never liked
            (1, 3, CLICK, 1, 2),  # no history before it
        ],
        users=2,
        items=8,
    )
    examples = next_likes(log)
    assert examples.users.tolist() == [0]
    assert examples.targets.tolist() == [3]
    assert log.rows[: examples.ends[0]].tolist() == [7]
    assert examples.visit_starts.tolist() == [1]


def test_log_q_is_the_share_of_places_an_item_gets():
    q = np.exp(log_q([0, 0, 0, 1], n_items=4, batch_size=8, uniform_negatives=8))
    # Of 16 places, 8 go to targets (3/4 and 1/4) and 8 to uniform draws (1/4 each).
    assert q == pytest.approx([(6 + 2) / 16, (2 + 2) / 16, 2 / 16, 2 / 16])
    assert q.sum() == pytest.approx(1.0)


def test_log_q_without_uniform_negatives_is_log_frequency():
    q = log_q([0, 0, 0, 1], n_items=3, batch_size=8, uniform_negatives=0)
    assert q == pytest.approx([math.log(0.75), math.log(0.25), -math.inf])


def test_loss_by_hand_with_correction():
    users = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    logq = torch.log(torch.tensor([0.5, 0.25, 0.25]))
    targets, candidates = torch.tensor([4, 9]), torch.tensor([4, 9, 2])
    loss = sampled_softmax_loss(users, items, targets, candidates, logq, temperature=0.5)
    # exp(s / 0.5) / q, by candidate, for each of the two users
    first = np.exp([2.0, 0.0, 1.2]) / [0.5, 0.25, 0.25]
    second = np.exp([0.0, 2.0, 1.6]) / [0.5, 0.25, 0.25]
    expected = -(math.log(first[0] / first.sum()) + math.log(second[1] / second.sum())) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_an_accidental_hit_is_no_negative():
    users, items = torch.eye(3)[:2], torch.eye(3)
    targets = torch.tensor([4, 4])  # both examples have the same target
    logq = torch.zeros(3)
    repeated = sampled_softmax_loss(users, items, targets, torch.tensor([4, 4, 2]), logq, 1.0)
    # Each example is left with its own place and the one real negative.
    expected = -math.log(math.e / (math.e + 1))
    assert repeated.item() == pytest.approx(expected, rel=1e-5)


def test_the_correction_makes_the_sampled_loss_rank_by_probability_not_by_rarity():
    """With scores free to choose, the optimum of the corrected loss is log p(item | user).

    Item 0 is the target 90 times of 100, item 1 ten times. Without the correction the optimum is
    p / q, and the two items come out equal.
    """
    targets = torch.tensor([0] * 90 + [1] * 10)
    for corrected in (True, False):
        logq = torch.from_numpy(log_q(targets.numpy(), 2, 100, 0)) * corrected
        score = torch.zeros(2, requires_grad=True)
        optimiser = torch.optim.SGD([score], lr=1.0)
        for _ in range(300):
            # One example against the 100 places of the batch, duplicates of negatives included.
            weight = torch.bincount(targets, minlength=2).float()
            logits = score - logq
            total = torch.logsumexp(logits + weight.log(), dim=0)
            loss = total - (logits * weight).sum() / weight.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        gap = (score[0] - score[1]).item()
        assert gap == pytest.approx(math.log(9) if corrected else 0.0, abs=0.05)


def swapped_world():
    """8 kinds of items; who touches kind c goes on to like c + 1, which content cannot know."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(16, 16)))[0][:8]
    content = normalise(np.repeat(centres, 10, axis=0) + 0.05 * rng.normal(size=(80, 16)))
    events = []
    for user in range(600):
        kind = user % 8
        events.append((user, kind * 10 + int(rng.integers(10)), CLICK, 0, 2 * user))
        liked = (kind + 1) % 8 * 10 + int(rng.integers(10))
        events.append((user, liked, CLICK, 90_000_000, 2 * user + 1))
    return log_of(events, users=600, items=80), content


CONFIG = TwoTowerConfig(
    tower_dim=8, hidden_dim=32, epochs=30, batch_size=128, uniform_negatives=64, learning_rate=1e-2
)


def follows(towers, content):
    """Share of items whose nearest in tower space is of the kind that follows theirs."""
    nearest = (towers.users(content) @ towers.items(content).T).argmax(axis=1)
    return float((nearest // 10 == (np.arange(80) // 10 + 1) % 8).mean())


def test_towers_learn_what_content_cannot_know():
    log, content = swapped_world()
    assert follows(fit_two_tower(log, content, CONFIG), content) > 0.95


def test_an_untrained_pair_ranks_by_content():
    log, content = swapped_world()
    towers = fit_two_tower(log.select(np.zeros(len(log), bool)), content, CONFIG)
    assert towers.epoch == 0
    nearest = (towers.users(content) @ towers.items(content).T).argmax(axis=1)
    assert (nearest == np.arange(80)).all()


def test_training_is_the_same_for_the_same_seed():
    log, content = swapped_world()
    config = TwoTowerConfig(tower_dim=8, hidden_dim=16, epochs=2, batch_size=128)
    first, again = (fit_two_tower(log, content, config).items(content) for _ in range(2))
    assert np.array_equal(first, again)


def test_the_best_epoch_is_kept_and_patience_ends_the_training():
    log, content = swapped_world()
    seen = []

    def worse_after_the_second(towers):
        seen.append(towers.items(content))
        return -abs(towers.epoch - 2)

    config = TwoTowerConfig(tower_dim=8, hidden_dim=16, epochs=20, patience=3, batch_size=128)
    towers = fit_two_tower(log, content, config, worse_after_the_second)
    assert towers.epoch == 2 and len(seen) == 5
    assert np.array_equal(towers.items(content), seen[1])


def test_a_refit_for_n_epochs_repeats_the_first_n_epochs():
    log, content = swapped_world()
    config = TwoTowerConfig(tower_dim=8, hidden_dim=16, epochs=6, batch_size=128)
    seen = []
    fit_two_tower(log, content, config, lambda t: seen.append(t.items(content)) or t.epoch)
    shorter = TwoTowerConfig(tower_dim=8, hidden_dim=16, epochs=6, stop_after=3, batch_size=128)
    assert np.array_equal(fit_two_tower(log, content, shorter).items(content), seen[2])


def test_vectors_have_unit_norm():
    log, content = swapped_world()
    towers = fit_two_tower(log, content, TwoTowerConfig(tower_dim=8, hidden_dim=16, epochs=1))
    assert np.linalg.norm(towers.items(content), axis=1) == pytest.approx(1.0, abs=1e-5)
    assert towers.users(content[:0]).shape == (0, 8)
