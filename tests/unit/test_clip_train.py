"""Training on a shop of coloured squares: it learns, resumes exactly, and its figures add up."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from PIL import Image

from hemline.catalogue import Item, items_table
from hemline.catalogue_file import read_images
from hemline.encoders.clip import ClipEncoder
from hemline_training.clip.captions import Captioner
from hemline_training.clip.data import load_products
from hemline_training.clip.evaluate import evaluate_clip, main
from hemline_training.clip.loss import contrastive_loss
from hemline_training.clip.text_stage import tune_texts
from hemline_training.clip.train import ClipTrainConfig, learning_rate, train_clip
from hemline_training.clip.workers import Workers

COLOURS = {"red": (220, 20, 30), "green": (20, 160, 40), "blue": (30, 40, 210), "black": (9, 9, 9)}
SHAPES = {"Jeans": (20, 60), "Belts": (50, 12), "Caps": (30, 30)}


def photo(colour: tuple[int, int, int], size: tuple[int, int], shade: int) -> bytes:
    image = Image.new("RGB", (60, 80), "white")
    near = tuple(min(255, c + shade) for c in colour)
    image.paste(Image.new("RGB", size, near), (30 - size[0] // 2, 40 - size[1] // 2))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    items, images = [], []
    for number in range(240):
        colour = list(COLOURS)[number % 4]
        article = list(SHAPES)[number // 4 % 3]
        title = f"Acme Men {colour.title()} {article} {number}"
        items.append(
            Item(str(number), title, gender="Men", colour=colour.title(), article_type=article)
        )
        images.append(photo(COLOURS[colour], SHAPES[article], number // 12))
    folder = tmp_path_factory.mktemp("shop")
    pq.write_table(items_table(items, images), folder / "items.parquet")
    return folder


def small(shop: Path, out: Path) -> ClipTrainConfig:
    return ClipTrainConfig(
        catalog=shop, out=out, epochs=2, batch=32, image_size=32, small_image_size=32,
        model="test_resnet", dim=16, text_width=64, text_layers=1, lr=3e-3, ema=0.9,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = small(shop, tmp_path_factory.mktemp("trained"))
    return train_clip(replace(config, epochs=12))


def test_training_learns_colours_and_shapes(trained: Path) -> None:
    lines = (trained / "loss.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,zero_shot,recall_10" and len(lines) == 13
    first, last = (float(line.split(",")[1]) for line in (lines[1], lines[-1]))
    assert last < 0.8 * first
    encoder = ClipEncoder.load(trained)
    queries = [f"{colour} {article.lower()}" for colour in COLOURS for article in SHAPES]
    photos = [photo(c, s, 3) for c in COLOURS.values() for s in SHAPES.values()]
    scores = encoder.encode_texts(queries) @ encoder.encode_images(photos).T
    assert np.mean(scores.argmax(axis=1) == np.arange(12)) >= 0.6  # by chance: 0.08
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_last_stage_changes_texts_only_and_for_the_better(shop: Path, tmp_path: Path) -> None:
    config = replace(small(shop, tmp_path), epochs=4, text_epochs=0)
    encoder = ClipEncoder.load(train_clip(config))
    products = load_products([shop], 32, tmp_path / "cache")
    captioner = Captioner(products.catalogue, products.product)
    photos = read_images(shop)
    images = encoder.encode_images([photo for photo in photos if photo])
    before = encoder.encode_texts(["red caps"])
    losses = tune_texts(encoder, products, captioner, images, epochs=3, batch=32, lr=1e-3)
    assert losses[2] < losses[0]
    assert np.abs(encoder.encode_texts(["red caps"]) - before).max() > 0.01
    again = encoder.encode_images([photo for photo in photos if photo])
    np.testing.assert_allclose(again, images, atol=1e-6)


def test_a_resumed_run_gives_the_weights_of_one_that_was_not_stopped(
    shop: Path, tmp_path: Path
) -> None:
    whole = train_clip(small(shop, tmp_path / "whole"))
    config = small(shop, tmp_path / "parts")
    train_clip(config, stop_after_epoch=1)
    parts = train_clip(replace(config, resume=True))
    assert ClipEncoder.load(parts).encoder_id == ClipEncoder.load(whole).encoder_id
    assert (parts / "loss.csv").read_text() == (whole / "loss.csv").read_text()


def test_a_checkpoint_of_another_configuration_is_refused(shop: Path, tmp_path: Path) -> None:
    config = small(shop, tmp_path)
    train_clip(config, stop_after_epoch=1)
    with pytest.raises(ValueError, match="another configuration"):
        train_clip(replace(config, resume=True, lr=1.0))


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = ClipTrainConfig(Path(), Path(), epochs=10, lr=1.0, warmup_epochs=1)
    rates = [learning_rate(config, step, 100) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01) and rates[99] == max(rates) == 1.0
    assert rates[550] == pytest.approx(0.5) and rates[1000] == pytest.approx(0.0)


def test_the_evaluation_is_on_the_held_out_tenth_beside_its_baselines(
    shop: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pq.read_table(shop / "items.parquet")
    photos = pa.table({"product_id": table["item_id"], "jpeg": table["image"]})
    pq.write_table(photos, tmp_path / "photos.parquet")
    result = evaluate_clip(ClipEncoder.load(trained), shop, tmp_path / "photos.parquet")
    figures = {figure.name: figure for figure in result.figures}
    held = figures["title to photo, recall@10"].queries
    assert 10 <= held <= 40
    assert figures["larger photo to product, hit@1"].values["hit@1"] == 1.0  # the same photos
    zero_shot = figures["zero-shot article type"].values
    assert zero_shot["random"] == pytest.approx(1 / 3)
    assert zero_shot["accuracy"] > zero_shot["majority"]

    out = tmp_path / "clip.json"
    assert main(["--model", str(trained), "--catalog", str(shop), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    written = json.loads(out.read_text())["figures"]
    assert "larger photo to product, hit@1" not in written  # no such photos were given
    for name, figure in written.items():
        assert figure["values"] == figures[name].values and f"| {name} |" in printed


def _gradients(rank: int, count: int, folder: str) -> None:
    """One process's part of a step on fixed data; the leader writes what it got."""
    workers = Workers(rank, count)
    if count > 1:
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count
        )
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(8, 5, generator=rng), torch.randn(8, 5, generator=rng)
    w = torch.randn(5, 3, generator=rng).requires_grad_()
    scale = torch.tensor(2.0, requires_grad=True)
    own = workers.share(8)
    image, text = workers.gather([x[own] @ w, y[own] @ w])
    mask = torch.eye(8, dtype=torch.bool)
    contrastive_loss(image, text, scale, mask, torch.zeros_like(mask)).backward()
    workers.add_gradients([w, scale], shared=scale)
    if workers.leads and w.grad is not None and scale.grad is not None:
        np.savez(f"{folder}/{count}.npz", w=w.grad.numpy(), scale=scale.grad.numpy())
    if count > 1:
        dist.destroy_process_group()


def test_two_processes_compute_the_gradients_of_one(tmp_path: Path) -> None:
    _gradients(0, 1, str(tmp_path))
    mp.spawn(_gradients, args=(2, str(tmp_path)), nprocs=2)
    one, two = (np.load(tmp_path / f"{n}.npz", allow_pickle=False) for n in (1, 2))
    np.testing.assert_allclose(two["w"], one["w"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(two["scale"], one["scale"], rtol=1e-4, atol=1e-6)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared"):
        Workers(0, 3).share(8)
