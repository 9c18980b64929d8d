"""Trains the attribute network on a catalogue's photos and measures it on a held-out tenth.

    hemline train attributes --catalog .hemline/catalogue --out .hemline/attributes

The trunk starts from the image tower of Hemline's CLIP, which has seen the same photos but none of
the held-out tenth (the same tenth is held out here). The heads are fitted first, on the features of
augmented photos with the trunk as it is; then, for `epochs`, everything together at a low rate.
Fine-tuning under heads that know nothing yet spoils the features (Kumar et al., "Fine-Tuning can
Distort Pretrained Features and Underperform Out-of-Distribution", ICLR 2022; measured in LOG.md).
Half of the held-out tenth sets the temperatures, the other half is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from hemline.errors import CatalogueError
from hemline.vectors import F32
from hemline_training.attributes.labels import HEADS, I64, Labels
from hemline_training.attributes.network import AttributeModel, AttributeNet, copy_trunk
from hemline_training.clip.data import Products, augment, load_products
from hemline_training.clip.train import has_bf16


@dataclass(frozen=True)
class AttributeTrainConfig:
    """One run. start: "" for random weights, else what `load_clip` takes, of the same trunk."""

    epochs: int = 3  # of everything together; 0 leaves the trunk as it was
    head_epochs: int = 30  # before that, of the heads alone
    views: int = 1  # augmented views of each photo for the heads
    batch: int = 256
    lr: float = 3e-4
    head_lr: float = 3e-3
    weight_decay: float = 0.05
    image_size: int = 80
    trunk: str = "resnet10t"  # any timm ResNet
    start: str = "hemline"
    weight_power: float = 0.5  # of the class weights 1 / count**power; 0 weighs none
    least: int = 5  # photos of a class
    seed: int = 0


def train_attributes(
    catalog: Path,
    out: Path,
    config: AttributeTrainConfig | None = None,
    report: Callable[[dict[str, float]], None] = lambda epoch: None,
) -> AttributeModel:
    """Train on the items.parquet of `catalog`, save to the folder `out`, return the model.

    report: told epoch and mean loss after each epoch. Decoded photos are kept in out/cache. Raises
    CatalogueError for a catalogue without photos or with too few labels.
    """
    config = config or AttributeTrainConfig()
    products = load_products([catalog], config.image_size, out / "cache")
    model = fit_attributes(products, config, report)
    model.save(out)
    return model


def fit_attributes(
    products: Products,
    config: AttributeTrainConfig,
    report: Callable[[dict[str, float]], None] = lambda epoch: None,
) -> AttributeModel:
    """The network fitted on the training rows of `products`, calibrated and measured."""
    labels = Labels.of(products.catalogue, products.train_rows, config.least, config.weight_power)
    targets = torch.from_numpy(labels.encode(products.catalogue))
    torch.manual_seed(config.seed)
    net = AttributeNet(config.trunk, labels.classes)
    if config.start:
        copy_trunk(net, config.start)
    net.to(memory_format=torch.channels_last)
    weights = {head: torch.from_numpy(labels.weights(head)) for head in HEADS}
    moves = torch.Generator().manual_seed(config.seed)
    if config.head_epochs:
        _fit_heads(net, products, targets, weights, config, moves)
    _fit_all(net, products, targets, weights, config, moves, report)
    return _calibrate_and_measure(net.eval(), labels, products, targets, config)


def _fit_heads(
    net: AttributeNet,
    products: Products,
    targets: Tensor,
    weights: dict[str, Tensor],
    config: AttributeTrainConfig,
    moves: torch.Generator,
) -> None:
    rows = np.tile(products.train_rows, config.views)
    net.eval()
    parts = []
    for start in tqdm(
        range(0, len(rows), 256), desc="features", unit="batch", leave=False, disable=None
    ):
        pixels = torch.from_numpy(products.pixels[rows[start : start + 256]])
        with torch.inference_mode():
            parts.append(_trunk_features(net, augment(pixels, config.image_size, moves)))
    features = torch.cat(parts).clone()
    optimiser = torch.optim.AdamW(net.heads.parameters(), config.head_lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.head_epochs)
    rng = np.random.default_rng(config.seed)
    net.train()
    for _ in tqdm(range(config.head_epochs), desc="heads", unit="epoch", leave=False, disable=None):
        for batch in np.array_split(rng.permutation(len(rows)), -(-len(rows) // config.batch)):
            loss = attribute_loss(net.read(features[batch]), targets[rows[batch]], weights)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
        schedule.step()


def _trunk_features(net: AttributeNet, views: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16(torch.device("cpu"))):
        features: Tensor = net.trunk(views)
    return features.float()


def _fit_all(
    net: AttributeNet,
    products: Products,
    targets: Tensor,
    weights: dict[str, Tensor],
    config: AttributeTrainConfig,
    moves: torch.Generator,
    report: Callable[[dict[str, float]], None],
) -> None:
    rows = products.train_rows
    steps = max(len(rows) // config.batch, 1)
    optimiser = torch.optim.AdamW(net.parameters(), config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.lr, total_steps=max(steps * config.epochs, 1), pct_start=0.15
    )
    rng = np.random.default_rng(config.seed)
    net.train()
    for epoch in range(1, config.epochs + 1):
        total = 0.0
        shuffled = rng.permutation(rows)
        progress = tqdm(
            range(steps), desc=f"attributes {epoch}/{config.epochs}", leave=False, disable=None
        )
        for step in progress:
            batch = shuffled[step * config.batch : (step + 1) * config.batch]
            views = augment(torch.from_numpy(products.pixels[batch]), config.image_size, moves)
            loss = attribute_loss(net.read(_trunk_features(net, views)), targets[batch], weights)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            total += loss.item()
        report({"epoch": epoch, "loss": total / steps})


def attribute_loss(
    logits: dict[str, Tensor], targets: Tensor, weights: dict[str, Tensor]
) -> Tensor:
    """Sum over heads of the weighted cross entropy over the items whose label is known.

    logits: head -> (b, classes); targets: int64 (b, heads), -1 unknown; weights: head ->
    (classes,). A head none of whose labels are known in the batch adds nothing.
    """
    total = torch.zeros(())
    for column, head in enumerate(HEADS):
        target = targets[:, column]
        if (target >= 0).any():
            total = total + F.cross_entropy(
                logits[head], target, weights[head], ignore_index=-1, reduction="mean"
            )
    return total


def measure(labels: Labels, probabilities: dict[str, F32], targets: I64) -> dict[str, Any]:
    """Per head: accuracy, accuracy averaged over classes, the majority's accuracy, and what
    answering only above a confidence of 0.8 gives (share answered, accuracy of those).

    targets: int64 (n, heads), -1 unknown and left out.
    """
    out: dict[str, Any] = {}
    for column, head in enumerate(HEADS):
        known = targets[:, column] >= 0
        truth, p = targets[known, column], probabilities[head][known]
        if not len(truth):
            continue
        right = p.argmax(axis=1) == truth
        sure = p.max(axis=1) >= 0.8
        present = np.unique(truth)
        majority = int(labels.counts[head].argmax())
        out[head] = {
            "items": len(truth),
            "classes": len(labels.classes[head]),
            "accuracy": float(right.mean()),
            "accuracy_by_class": float(np.mean([right[truth == c].mean() for c in present])),
            "majority": float((truth == majority).mean()),
            "answered_at_0.8": float(sure.mean()),
            "accuracy_at_0.8": float(right[sure].mean()) if sure.any() else None,
        }
    return out


def _calibrate_and_measure(
    net: AttributeNet,
    labels: Labels,
    products: Products,
    targets: Tensor,
    config: AttributeTrainConfig,
) -> AttributeModel:
    rows = products.test_rows
    if len(rows) < 2:
        raise CatalogueError(
            f"attributes: {len(rows)} of the photos are held out; at least 2 are needed to "
            "calibrate and measure: give a larger catalogue"
        )
    shared = config.start if not config.epochs else ""
    plain = AttributeModel(
        net, config.trunk, shared, labels, config.image_size, dict.fromkeys(HEADS, 1.0), {}
    )
    pixels = torch.from_numpy(products.pixels[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
    probabilities = plain.probabilities(pixels)
    truth = targets[rows].numpy()
    first, second = np.arange(0, len(rows), 2), np.arange(1, len(rows), 2)
    temperatures = {
        head: best_temperature(probabilities[head][first], truth[first, column])
        for column, head in enumerate(HEADS)
    }
    cooled = {head: cool(probabilities[head][second], temperatures[head]) for head in HEADS}
    about = {"config": asdict(config), "held_out": measure(labels, cooled, truth[second])}
    return replace(plain, temperatures=temperatures, about=about)


def best_temperature(probabilities: F32, truth: I64) -> float:
    """The temperature of 0.5 to 3 with the least negative log likelihood; 1 without any truth."""
    known = truth >= 0
    if not known.any():
        return 1.0
    p, t = probabilities[known], truth[known]
    grid = np.geomspace(0.5, 3.0, 37)
    losses = [-np.log(cool(p, at)[np.arange(len(t)), t] + 1e-12).mean() for at in grid]
    return float(grid[int(np.argmin(losses))])


def cool(probabilities: F32, temperature: float) -> F32:
    """What the softmax of logits / temperature is, given that of the logits; rows sum to 1."""
    powered = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    return np.asarray(powered / powered.sum(axis=1, keepdims=True), dtype=np.float32)
