"""The contrastive loss, with any number of right answers a row.

In a shop many photos fit "blue jeans". InfoNCE (open_clip's ClipLoss) would push all but one of
them away; here every fitting photo of the batch is a target, in equal parts, as in UniCL (Yang et
al., 2022, eq. 3), and photos that may or may not fit are left out of the softmax. With one target a
row this is InfoNCE, and a test holds it equal to ClipLoss.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, log_softmax


def contrastive_loss(
    image: torch.Tensor,  # (B, D), unit norm
    text: torch.Tensor,  # (B, D), unit norm
    scale: torch.Tensor,  # inverse temperature
    fits: torch.Tensor,  # bool (B, B): caption i is true of image j; the diagonal is True
    unknown: torch.Tensor,  # bool (B, B): caption i may be true of image j; disjoint with `fits`
) -> torch.Tensor:
    """Mean of the caption-to-image and image-to-caption cross-entropies, a scalar."""
    logits = (scale * text @ image.T).masked_fill(unknown, float("-inf"))  # (B, B)
    return (_cross_entropy(logits, fits) + _cross_entropy(logits.T, fits.T)) / 2


def prompt_loss(
    image: torch.Tensor,  # (B, D), unit norm
    prompts: torch.Tensor,  # (C, D), unit norm, one text a value of an attribute
    scale: torch.Tensor,
    labels: torch.Tensor,  # int64 (B,), -1 where the value is not known
) -> torch.Tensor:
    """Summed cross-entropy of choosing each image's value among all; images without one add 0."""
    logits = (scale * image @ prompts.T).float()
    return cross_entropy(logits, labels, ignore_index=-1, reduction="sum")


def _cross_entropy(logits: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    target = fits.float() / fits.sum(dim=1, keepdim=True)
    log_p = log_softmax(logits.float(), dim=1).masked_fill(~fits, 0.0)
    return -(target * log_p).sum(dim=1).mean()
