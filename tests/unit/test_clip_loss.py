from __future__ import annotations

import math

import pytest
import torch
from open_clip.loss import ClipLoss
from torch.nn.functional import normalize

from hemline_training.clip.loss import contrastive_loss, prompt_loss

NOTHING = torch.zeros(4, 4, dtype=torch.bool)
ONE_EACH = torch.eye(4, dtype=torch.bool)
SCALE = torch.tensor(10.0)


def vectors(seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(4, 8, generator=rng), dim=-1)


def test_with_one_fitting_photo_a_caption_it_is_open_clips_loss() -> None:
    image, text = vectors(0), vectors(1)
    ours = contrastive_loss(image, text, SCALE, ONE_EACH, NOTHING)
    assert ours.item() == pytest.approx(ClipLoss()(image, text, SCALE).item(), abs=1e-6)


def test_two_photos_of_one_caption_share_the_target() -> None:
    # Captions 0 and 1 say the same of photos 0 and 1, which look the same: the best that can be
    # reached is to halve the probability, a loss of log 2 for these rows and 0 for the others.
    same = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    fits = ONE_EACH.clone()
    fits[0, 1] = fits[1, 0] = True
    loss = contrastive_loss(same, same, torch.tensor(1000.0), fits, NOTHING)
    assert loss.item() == pytest.approx(math.log(2) / 2, abs=1e-5)


def test_photos_that_may_fit_change_nothing() -> None:
    image, text = vectors(2), vectors(3)
    unknown = NOTHING.clone()
    unknown[:3, 3] = unknown[3, :3] = True
    first_three = contrastive_loss(image[:3], text[:3], SCALE, ONE_EACH[:3, :3], NOTHING[:3, :3])
    all_four = contrastive_loss(image, text, SCALE, ONE_EACH, unknown)
    # The fourth pair sees only itself, so it adds exactly nothing to the sum over rows.
    assert all_four.item() == pytest.approx(first_three.item() * 3 / 4, abs=1e-6)


def test_the_loss_of_names_sums_over_photos_whose_value_is_known() -> None:
    image = torch.tensor([[1.0, 0], [0, 1], [1, 0]])
    names = torch.tensor([[1.0, 0], [0, 1]])
    scale = torch.tensor(2.0)
    right = math.log(1 + math.exp(-2))
    wrong = math.log(1 + math.exp(2))
    assert prompt_loss(image, names, scale, torch.tensor([0, 0, -1])).item() == pytest.approx(
        right + wrong
    )
