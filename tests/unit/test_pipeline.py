"""`train` from a tiny drawn catalogue to a release that verifies; CLIP vectors are remembered."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageDraw
from rich.console import Console

from hemline.blend import PARTS, SEGMENTS, blend_scores
from hemline.catalogue import Catalogue, Item, items_table
from hemline.catalogue_file import read_images
from hemline.contracts import RerankRequest
from hemline.encoders.towers import load_tower
from hemline.errors import BadImageError
from hemline.images import decode_image
from hemline.releases import Release, open_release, promote
from hemline.reranker.rerank import BlendReranker
from hemline.vectors import F32, normalise
from hemline_training.interactions import KINDS as EVENT_KINDS
from hemline_training.interactions import Interactions
from hemline_training.item_vectors import item_vectors
from hemline_training.models import part_scores
from hemline_training.pipeline import TrainConfig, train
from hemline_training.popularity import popularity, trending
from hemline_training.report.model_lists import Served

KINDS = ("dress", "shirt", "shoe")
COLOURS = ("red", "green", "blue", "black")


class FakeEncoder:
    """An encoder that sees the mean colour of an image and the words of a text."""

    name, dim, encoder_id = "fake", 16, "fake0123"

    def __init__(self) -> None:
        self.images_seen = 0

    def encode_images(self, images: Sequence[bytes]) -> F32:
        self.images_seen += len(images)
        colour = [np.asarray(decode_image(i)).mean(axis=(0, 1)) / 255 for i in images]
        return normalise(np.pad(np.stack(colour), ((0, 0), (0, 13))))

    def encode_texts(self, texts: Sequence[str]) -> F32:
        words = KINDS + COLOURS + ("women", "men")
        bags = [[float(word in text.lower().split()) for word in words] for text in texts]
        return normalise(np.pad(np.array(bags) + 0.05, ((0, 0), (3, 4))))

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "encoder.json").write_text('{"name": "fake"}')
        (folder / "model.safetensors").write_bytes(b"weights")


def drawing(number: int) -> bytes:
    image = Image.new("RGB", (12, 16), "white")
    ImageDraw.Draw(image).rectangle((2, 2, 9, 4 + number % 10), fill=COLOURS[number % 4])
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def write_catalogue(folder: Path, items: int = 60, broken: int | None = None) -> Path:
    """A drawn catalogue; item 3 has no image, and item `broken` one that is no image at all."""
    described = [
        Item(
            item_id=f"item-{n}",
            title=f"{COLOURS[n % 4]} {KINDS[n % 3]} number {n}",
            gender=("Women", "Men")[n // 3 % 2],
            article_type=KINDS[n % 3],
            colour=COLOURS[n % 4],
            price=20.0 + n,
            currency="EUR",
        )
        for n in range(items)
    ]
    images: list[bytes | None] = [drawing(n) for n in range(items)]
    images[3] = None
    if broken is not None:
        images[broken] = b"not an image"
    folder.mkdir(parents=True)
    pq.write_table(items_table(described, images), folder / "items.parquet")
    return folder


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    home = tmp_path_factory.mktemp("home")
    catalogue = write_catalogue(home / "catalogue-tiny")
    return TrainConfig(catalogue, home, users=400, quick=True, threads=1, seed=5)


@pytest.fixture(scope="module")
def printed() -> Console:
    return quiet()


@pytest.fixture(scope="module")
def release(config: TrainConfig, printed: Console) -> Release:
    return train(config, FakeEncoder(), printed)


def test_the_release_verifies_and_can_be_promoted(config: TrainConfig, release: Release):
    assert promote(config.home / "releases", release.id).id == release.id
    assert open_release(config.home / "releases").id == release.id


def test_every_array_has_one_row_an_item_and_the_right_type(release: Release):
    shapes = {
        "item_content": ((60, 16), np.float32),
        "item_image": ((60, 16), np.float32),
        "item_text": ((60, 16), np.float32),
        "item_tower": ((60, 64), np.float32),
        "cf_item_factors": ((60, 64), np.float32),
        "neighbours_rows": ((60, 50), np.int32),
        "neighbours_scores": ((60, 50), np.float32),
        "popularity": ((60,), np.float32),
        "trending": ((60,), np.float32),
        "twins": ((60,), np.int32),
    }
    for name, (shape, dtype) in shapes.items():
        array = release.array(name)
        assert (array.shape, array.dtype) == (shape, dtype), name
        assert np.isfinite(array).all(), name


def test_the_item_tower_of_the_release_made_its_item_vectors(release: Release):
    tower = load_tower(release.folder / "towers.safetensors", "item")
    with torch.no_grad():
        again = tower(torch.from_numpy(np.array(release.item_content))).numpy()
    assert again == pytest.approx(np.asarray(release.item_tower), abs=1e-5)


def test_the_release_remembers_how_the_towers_learned(release: Release):
    history = release.manifest["tower_history"]
    assert 1 <= len(history) <= 2  # --quick
    assert all(epoch["loss"] > 0 and 0 <= epoch["validation"] <= 1 for epoch in history)


def test_images_stay_out_of_the_release(release: Release):
    assert "image" not in pq.read_schema(release.folder / "items.parquet").names


def test_the_manifest_says_what_it_was_made_of(config: TrainConfig, release: Release):
    manifest = release.manifest
    assert manifest["encoder"] == {"name": "fake", "encoder_id": "fake0123", "dim": 16}
    assert (manifest["tower_dim"], manifest["cf_factors"], manifest["items"]) == (64, 64, 60)
    assert manifest["catalogue"] == "catalogue-tiny"
    log = manifest["log"]
    assert (log["simulated"], log["users"], log["seed"]) == (True, 400, 5)
    logged = pq.read_table(config.home / "logs" / "simulated-catalogue-tiny-seed5.parquet")
    assert log["events"] == len(logged) > 0
    assert manifest["metrics"]["simulated"] is True
    assert set(manifest["metrics"]["models"]) >= {"random", "popularity", "tower", "blend"}


def test_the_printed_table_says_that_the_log_is_simulated(release: Release, printed: Console):
    text = printed.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("SIMULATED") >= 2 and release.id in text


async def test_serving_reads_the_release(release: Release):
    reranker = BlendReranker(release)
    hits = await reranker.neighbours(release.id, np.int32([0]), np.float32([1.0]), 5, 1.0)
    assert 0 < len(hits.rows) <= 5 and 0 not in hits.rows
    weights = {s["name"]: s["weights"] for s in release.json("blend")["segments"]}
    assert set(weights) == {name for name, _ in SEGMENTS}


async def test_serving_scores_a_list_as_the_release_was_measured(release: Release):
    """The reranker's sum and the blend that training chose its weights for are one and the same."""
    models, history = Served.of(release).models, np.int32([3, 17, 30])
    log = Interactions.sorted(
        np.zeros(3, np.int64),
        history,
        np.full(3, EVENT_KINDS.index("purchase"), np.int8),
        np.array([1, 2, 3], np.int64),
        np.zeros(3, np.int64),
        ["somebody"],
        60,
        {},
    )
    histories = log.histories()
    parts = part_scores(models, histories)
    rows = np.setdiff1d(np.arange(60), history).astype(np.int32)
    weights = {s["name"]: s["weights"] for s in release.json("blend")["segments"]}["2-4"]
    expected, _ = blend_scores({name: parts[name][0, rows] for name in PARTS}, weights)
    asked = RerankRequest(
        history,
        histories.weights,
        rows,
        {name: parts[name][0, rows] for name in ("tower", "content")},
        known_items=3,
    )
    ranking = await BlendReranker(release).rerank(release.id, asked, 1.0)
    assert ranking.segment == "2-4"
    assert ranking.scores == pytest.approx(expected, abs=1e-4)
    cf = ranking.parts["cf"].values
    assert np.array_equal(cf, parts["cf"][0, rows], equal_nan=True), "scored in two ways"


def test_the_same_seed_gives_the_same_data_and_the_same_metrics(
    config: TrainConfig, release: Release
):
    again = train(config, FakeEncoder(), quiet())
    assert again.manifest["data_sha256"] == release.manifest["data_sha256"]
    assert again.manifest["metrics"] == release.manifest["metrics"]
    other = train(replace(config, seed=6), FakeEncoder(), quiet())
    assert other.manifest["data_sha256"] != release.manifest["data_sha256"]


def test_a_given_log_is_used_instead_of_a_simulated_one(config: TrainConfig, release: Release):
    path = config.home / "logs" / "simulated-catalogue-tiny-seed5.parquet"
    table = pq.read_table(path).replace_schema_metadata(None)
    given = config.home / "given.parquet"
    pq.write_table(table, given)
    console = quiet()
    trained = train(replace(config, events=given), FakeEncoder(), console)
    assert trained.manifest["log"]["simulated"] is False
    assert trained.manifest["log"]["events"] == len(table)
    assert trained.json("blend")["simulated"] is False
    assert "SIMULATED" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_vectors_are_encoded_once_and_changed_items_again(tmp_path: Path):
    folder, encoder = write_catalogue(tmp_path / "catalogue"), FakeEncoder()
    catalogue = Catalogue.load(folder)
    first = item_vectors(encoder, folder, catalogue, tmp_path / "cache")
    assert encoder.images_seen == 59
    again = item_vectors(encoder, folder, catalogue, tmp_path / "cache")
    assert np.array_equal(again.content, first.content)
    assert encoder.images_seen == 59
    more = write_catalogue(tmp_path / "more", items=62)
    grown = item_vectors(encoder, more, Catalogue.load(more), tmp_path / "cache")
    assert encoder.images_seen == 61
    assert np.array_equal(grown.content[:60], first.content)
    for vectors in (grown.content, grown.text):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    has_photo = np.array([image is not None for image in read_images(more)])
    assert 0 < has_photo.sum() < 62
    assert np.linalg.norm(grown.image, axis=1) == pytest.approx(has_photo.astype(float), abs=1e-5)


def test_a_broken_image_costs_a_warning_and_not_the_run(tmp_path: Path):
    folder, encoder = write_catalogue(tmp_path / "catalogue", broken=8), FakeEncoder()
    with pytest.raises(BadImageError):
        encoder.encode_images([b"not an image"])
    with pytest.warns(UserWarning, match="1 image\\(s\\) could not be read"):
        vectors = item_vectors(encoder, folder, Catalogue.load(folder), tmp_path / "cache")
    text_only = encoder.encode_texts(["red shoe number 8, women"])
    assert vectors.content[8] == pytest.approx(text_only[0], abs=1e-5)
    assert not vectors.image[8].any()


def three_items() -> Catalogue:
    items = [Item(item_id=str(n), title=f"item {n}", article_type="shirt") for n in range(3)]
    return Catalogue.from_table(items_table(items))


def log_with(kinds: Sequence[int], rows: Sequence[int], days: Sequence[int]) -> Interactions:
    n = len(rows)
    return Interactions.sorted(
        np.zeros(n, np.int64),
        np.array(rows),
        np.array(kinds, np.int8),
        np.array(days, np.int64) * 86_400_000,
        np.zeros(n, np.int64),
        ["u"],
        3,
        {},
    )


def test_popularity_by_hand():
    # One user viewed and bought item 0, disliked item 1 and never met item 2: demand 5, 0, 0.
    log = log_with(kinds=[0, 4, 5], rows=[0, 0, 1], days=[0, 0, 0])
    prior = 0.1 * 5 / 3
    expected = np.log1p(np.array([5 + prior, prior, prior]) / 1.1)
    assert popularity(log, three_items()) == pytest.approx(expected)


def test_trending_halves_every_week():
    log = log_with(kinds=[4, 4], rows=[0, 1], days=[0, 7])
    demand = np.array([2.5, 5.0, 0.0])
    expected = np.log1p((demand + 0.1 * demand.mean()) / 1.1)
    assert trending(log, three_items(), as_of_ms=7 * 86_400_000) == pytest.approx(expected)


def test_the_blend_file_is_plain_json(release: Release):
    blend = json.loads((release.folder / "blend.json").read_text())
    assert blend["candidates"]["tower"] == 200 and blend["simulated"] is True
    for segment in blend["segments"]:
        assert sum(segment["weights"].values()) == pytest.approx(1.0)
