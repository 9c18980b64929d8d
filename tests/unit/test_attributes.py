"""The attribute network: what it learns, fills and leaves alone, and how sure it is."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageDraw

from hemline.catalogue import Catalogue, Item, items_table
from hemline.encoders.clip_folder import EncoderError
from hemline.errors import CatalogueError
from hemline_training.attributes.catalogue import FILLED_FILE, fill_catalogue
from hemline_training.attributes.fill import AttributeFiller
from hemline_training.attributes.labels import HEADS, Labels
from hemline_training.attributes.network import AttributeModel
from hemline_training.attributes.train import (
    AttributeTrainConfig,
    attribute_loss,
    best_temperature,
    cool,
    fit_attributes,
)
from hemline_training.clip.data import Products, held_out

COLOURS = {"Red": (210, 30, 30), "Green": (30, 160, 50), "Blue": (40, 60, 200)}
KINDS = {
    "Tshirts": ("Topwear", "Apparel"),
    "Jeans": ("Bottomwear", "Apparel"),
    "Belts": ("Belts", "Accessories"),
}
SIZE = 32
CONFIG = AttributeTrainConfig(
    epochs=12,
    head_epochs=2,
    batch=32,
    lr=3e-3,
    image_size=SIZE,
    trunk="test_resnet",
    start="",
    seed=1,
)


def drawn(kind: str, colour: str, rng: np.random.Generator) -> Image.Image:
    """A block, two legs or a bar, on white: the attributes can be read off the picture."""
    image = Image.new("RGB", (SIZE, SIZE), "white")
    draw = ImageDraw.Draw(image)
    x, y = rng.integers(-2, 3, 2)
    boxes = {
        "Tshirts": [(6, 6, 25, 25)],
        "Jeans": [(7, 3, 13, 29), (18, 3, 24, 29)],
        "Belts": [(2, 13, 30, 18)],
    }
    for a, b, c, d in boxes[kind]:
        draw.rectangle((a + x, b + y, c + x, d + y), fill=COLOURS[colour])
    return image


def jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def garment(number: int, kind: str, colour: str) -> Item:
    """Gender and season follow from what is drawn, so that all six heads can be learnt."""
    sub, master = KINDS[kind]
    return Item(
        item_id=f"g{number:04}",
        title=f"garment {number}",
        article_type=kind,
        sub_category=sub,
        master_category=master,
        colour=colour,
        gender="Men" if kind == "Belts" else "Women",
        season="Summer" if colour == "Red" else "Winter",
    )


def shop(count: int, seed: int = 0) -> tuple[list[Item], list[Image.Image]]:
    rng = np.random.default_rng(seed)
    kinds, colours = list(KINDS), list(COLOURS)
    drawn_from = rng.choice(3, count, p=[0.6, 0.3, 0.1]), rng.integers(0, 3, count)
    items = [
        garment(n, kinds[k], colours[c]) for n, (k, c) in enumerate(zip(*drawn_from, strict=True))
    ]
    return items, [drawn(i.article_type or "", i.colour or "", rng) for i in items]


def products_of(items: list[Item], images: list[Image.Image]) -> Products:
    catalogue = Catalogue.from_table(items_table(items))
    photo: list[str | None] = [str(n) for n in range(len(items))]
    return Products(
        catalogue,
        np.arange(len(items)),
        np.stack([np.asarray(image) for image in images]),
        np.arange(len(items), dtype=np.int32),
        held_out(catalogue.item_ids, photo),
    )


@pytest.fixture(scope="module")
def trained() -> AttributeModel:
    torch.set_num_threads(1)
    items, images = shop(360)
    # Of every third garment the season is unknown, as in a real catalogue.
    items = [replace(i, season=None) if n % 3 == 0 else i for n, i in enumerate(items)]
    return fit_attributes(products_of(items, images), CONFIG)


def test_all_six_heads_learn_what_the_photos_show(trained: AttributeModel) -> None:
    held_out_figures = trained.about["held_out"]
    assert set(held_out_figures) == set(HEADS)
    for head, figures in held_out_figures.items():
        assert figures["accuracy"] > max(0.9, figures["majority"]), head
        assert figures["accuracy_by_class"] > 0.85, head


def test_missing_attributes_are_filled_with_confidence_and_known_ones_kept(
    trained: AttributeModel,
) -> None:
    items, images = shop(60, seed=7)
    blank = dict.fromkeys(HEADS[3:])
    asked = [replace(i, **blank) for i in items]
    filled = AttributeFiller(trained).fill_missing(asked, [jpeg(image) for image in images])
    given = [(f.item, true) for f, true in zip(filled, items, strict=True)]
    right = [getattr(i, h) == getattr(true, h) for i, true in given for h in HEADS[3:]]
    assert np.mean(right) > 0.85
    assert all(i.article_type == true.article_type for i, true in given)
    for f in filled:
        assert set(f.confidence) | set(f.unsure) == set(blank)
        assert all(0.8 <= sure <= 1.0 for sure in f.confidence.values())


def test_a_value_below_the_asked_confidence_stays_unknown(trained: AttributeModel) -> None:
    nothing = Item(item_id="x", title="x")
    grey = jpeg(Image.new("RGB", (SIZE, SIZE), (128, 128, 128)))
    (filled,) = AttributeFiller(trained, at_least=1.0).fill_missing([nothing], [grey])
    assert filled.item == nothing
    assert set(filled.unsure) == set(HEADS)
    assert not filled.confidence


def test_a_known_article_type_allows_only_its_own_categories(trained: AttributeModel) -> None:
    rng = np.random.default_rng(0)
    photo = jpeg(drawn("Tshirts", "Red", rng))
    item = Item(item_id="x", title="x", article_type="Belts")  # the shop says so, whatever it shows
    (filled,) = AttributeFiller(trained, at_least=0.05).fill_missing([item], [photo])
    assert filled.item.sub_category == "Belts"
    assert filled.item.master_category == "Accessories"


def test_no_photo_or_a_broken_one_leaves_the_item_as_it_is(trained: AttributeModel) -> None:
    items = [Item(item_id="a", title="a"), Item(item_id="b", title="b", colour="Red")]
    filled = AttributeFiller(trained).fill_missing(items, [None, b"not an image"])
    assert [f.item for f in filled] == items
    assert filled[1].unsure == tuple(head for head in HEADS if head != "colour")


def test_a_saved_model_answers_as_the_one_it_was(trained, tmp_path) -> None:
    items, images = shop(20, seed=3)
    asked = [Item(item_id=i.item_id, title=i.title) for i in items]
    photos = [jpeg(image) for image in images]
    trained.save(tmp_path)
    before, after = (
        AttributeFiller(model).fill_missing(asked, photos)
        for model in (trained, AttributeModel.load(tmp_path))
    )
    for one, other in zip(before, after, strict=True):
        assert one.item == other.item
        assert one.confidence == pytest.approx(other.confidence, abs=0.01)  # float16 on disk


def test_a_folder_without_a_network_says_how_to_get_one(tmp_path) -> None:
    with pytest.raises(EncoderError, match="hemline train attributes"):
        AttributeModel.load(tmp_path)


def test_training_is_the_same_for_the_same_seed() -> None:
    items, images = shop(120)
    config = replace(CONFIG, epochs=1)
    first, again = (fit_attributes(products_of(items, images), config) for _ in range(2))
    for one, other in zip(first.net.parameters(), again.net.parameters(), strict=True):
        assert torch.equal(one, other)


def test_unknown_labels_cost_nothing() -> None:
    logits = {head: torch.randn(4, 3, generator=torch.manual_seed(0)) for head in HEADS}
    weights = {head: torch.ones(3) for head in HEADS}
    targets = torch.full((4, len(HEADS)), -1)
    assert attribute_loss(logits, targets, weights).item() == 0
    targets[2, 0] = 1
    expected = -logits["article_type"][2].log_softmax(0)[1]
    assert attribute_loss(logits, targets, weights).item() == pytest.approx(expected.item())


def test_class_weights_by_hand() -> None:
    counts = {head: np.array([1, 4, 16]) for head in HEADS}
    classes = {head: ["a", "b", "c"] for head in HEADS}
    weight = Labels(classes, counts, frozenset()).weights("colour")
    assert weight == pytest.approx(np.array([4, 2, 1]) * 21 / (4 + 8 + 16))
    even = Labels(classes, counts, frozenset(), weight_power=0).weights("colour")
    assert even == pytest.approx([1, 1, 1])


def test_weighted_training_is_taken_back_in_the_probabilities(trained: AttributeModel) -> None:
    """The optimum of the weighted loss is p w / sum(p w); the calibrated answer is p again."""
    labels = trained.labels
    p = np.array([0.5, 0.3, 0.2], dtype=np.float32)
    plain = replace(trained, temperatures=dict.fromkeys(HEADS, 1.0))
    logits = torch.from_numpy(np.log(p * labels.weights("article_type")))
    answer = plain.calibrated("article_type", logits).softmax(0).numpy()
    assert answer == pytest.approx(p, rel=1e-5)


def test_the_temperature_of_overconfident_answers_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(5, p=row) for row in p])
    assert best_temperature(cool(p, 0.5), truth) == pytest.approx(2.0, rel=0.08)


def test_too_few_labels_are_refused_by_name() -> None:
    items = [replace(i, season=None) for i in shop(60)[0]]
    with pytest.raises(CatalogueError, match="season has 0 value"):
        Labels.of(Catalogue.from_table(items_table(items)), np.arange(60))


def test_a_catalogue_is_filled_in_place_and_every_filled_value_noted(trained, tmp_path) -> None:
    items, images = shop(40, seed=9)
    asked = [replace(i, season=None) if n % 2 else i for n, i in enumerate(items)]
    photos = [jpeg(image) if n != 1 else None for n, image in enumerate(images)]
    table = items_table(asked, photos)
    pq.write_table(table, tmp_path / "items.parquet", row_group_size=16)
    report = fill_catalogue(tmp_path, AttributeFiller(trained, at_least=0.6))
    after = pq.read_table(tmp_path / "items.parquet")
    notes = pq.read_table(tmp_path / FILLED_FILE).to_pylist()
    assert report.items == 40 and report.missing["season"] == 20
    assert report.filled["season"] == len(notes)
    assert 10 < len(notes) < 20  # the one without a photo is not
    assert after.drop_columns("season").equals(table.drop_columns("season"))
    season = dict(zip(after["item_id"].to_pylist(), after["season"].to_pylist(), strict=True))
    assert all(season[note["item_id"]] == note["value"] for note in notes)
    assert {note["attribute"] for note in notes} == {"season"}
    assert all(0.6 <= note["confidence"] <= 1 for note in notes)
    # Once more: nothing is filled twice, and the notes of the first time stay.
    again = fill_catalogue(tmp_path, AttributeFiller(trained, at_least=0.6))
    assert again.filled["season"] == 0
    assert pq.read_table(tmp_path / FILLED_FILE).to_pylist() == notes


def test_what_was_filled_in_imported_data_is_marked_as_imputed(trained, tmp_path) -> None:
    items, images = shop(10, seed=9)
    table = items_table([replace(i, season=None) for i in items], [jpeg(i) for i in images])
    given = pa.array([["title"], None] * 5, pa.list_(pa.string()))
    pq.write_table(table.append_column("imputed", given), tmp_path / "items.parquet")
    report = fill_catalogue(tmp_path, AttributeFiller(trained, at_least=0.01))
    assert report.filled["season"] == 10
    after = pq.read_table(tmp_path / "items.parquet")
    assert after["imputed"].to_pylist() == [["title", "season"], ["season"]] * 5
    assert "season           missing       10  filled       10" in report.to_text()


def test_heads_alone_leave_the_clips_trunk_as_it_is_and_are_saved_without_it(tmp_path) -> None:
    items, images = shop(60)
    config = replace(CONFIG, epochs=0, head_epochs=5, trunk="resnet10t", start="hemline")
    model = fit_attributes(products_of(items, images), config)
    model.save(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 100_000
    loaded = AttributeModel.load(tmp_path)
    for one, other in zip(model.net.trunk.parameters(), loaded.net.trunk.parameters(), strict=True):
        assert torch.equal(one, other)
    assert AttributeFiller(loaded, 0.01).fill_missing([items[0]], [jpeg(images[0])])
