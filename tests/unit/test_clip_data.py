"""What goes into a training step: the split, the batches, the captions and the pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hemline.catalogue import Catalogue, Item, items_table
from hemline.errors import CatalogueError
from hemline_training.clip.captions import (
    ANY,
    CLAIMS,
    Captioner,
    fits,
    names_of,
    singular,
    without_brand,
)
from hemline_training.clip.data import (
    augment,
    batches,
    held_out,
    load_products,
    same_product,
)

ITEMS = [
    Item("1", "Acme Men Navy Blue Jeans", gender="Men", colour="Navy Blue", article_type="Jeans",
         sub_category="Bottomwear", usage="Casual"),
    Item("2", "Acme Women Red Printed Dress", gender="Women", colour="Red", article_type="Dresses",
         sub_category="Dress", usage="Casual"),
    Item("3", "Brand Unisex Leather Belt", gender="Unisex", article_type="Belts",
         sub_category="Belts"),
    Item("4", "Acme Women Red Printed Dress", gender="Women", colour="Red", article_type="Dresses",
         sub_category="Dress", usage="Casual"),
    Item("5", "Mystery"),
]  # fmt: skip
ROWS = np.arange(len(ITEMS))


def captioner() -> Captioner:
    product = same_product([None] * len(ITEMS), [item.title for item in ITEMS])
    return Captioner(Catalogue.from_table(items_table(ITEMS)), product)


def png(colour: str, size: tuple[int, int] = (6, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=30))
def test_items_with_one_photo_are_on_one_side_of_the_split(photos: list[str | None]) -> None:
    chosen = held_out([str(i) for i in range(len(photos))], photos, share=0.5)
    for photo in {p for p in photos if p is not None}:
        assert len({bool(c) for c, p in zip(chosen, photos, strict=True) if p == photo}) == 1


def test_about_a_tenth_is_held_out_and_the_order_does_not_matter() -> None:
    ids = [str(i) for i in range(20_000)]
    chosen = held_out(ids, [None] * len(ids))
    assert 0.09 < chosen.mean() < 0.11
    assert (held_out(ids[::-1], [None] * len(ids))[::-1] == chosen).all()


def test_one_photo_or_one_title_makes_one_product() -> None:
    group = same_product(["x", "y", "x", None, "z"], ["A", "B", "C", "b", "D"])
    assert group[0] == group[2] and group[1] == group[3]
    assert len(set(group.tolist())) == 3


def test_an_epoch_shows_every_row_at_most_once_and_half_of_a_batch_in_runs() -> None:
    rows = np.arange(100, 1124)
    category = np.arange(2000, dtype=np.int32) % 8
    seen = list(batches(rows, category, 128, np.random.default_rng(0)))
    assert [len(b) for b in seen] == [128] * 8
    assert sorted(np.concatenate(seen).tolist()) == rows.tolist()
    runs = np.concatenate([b[64:] for b in seen]).reshape(-1, 16)
    pure = np.mean([len(set(category[run].tolist())) == 1 for run in runs])
    assert pure > 0.7


def test_batches_are_the_same_for_the_same_seed_only() -> None:
    rows, category = np.arange(64), np.zeros(64, np.int32)
    first, same, other = (
        np.concatenate(list(batches(rows, category, 16, np.random.default_rng(s)))).tolist()
        for s in (1, 1, 2)
    )
    assert first == same != other


def test_a_caption_fits_photos_that_have_all_it_claims() -> None:
    codes = np.array([[0, 5], [0, 6], [1, 5], [0, ANY]], np.int32)
    claims = np.array([[0, 5], [0, ANY], [1, ANY], [0, ANY]], np.int32)
    true, maybe = fits(claims, codes)
    assert true.tolist() == [
        [True, False, False, False],
        [True, True, False, True],
        [False, False, True, False],
        [True, True, False, True],
    ]
    assert maybe.tolist() == [[False, False, False, True]] + [[False] * 4] * 3


def test_a_caption_always_fits_its_own_photo() -> None:
    true, maybe = fits(np.array([[7]], np.int32), np.array([[ANY]], np.int32))
    assert true.all() and not maybe.any()


def test_a_title_claims_its_product_and_nothing_else() -> None:
    c = captioner()
    captions = c.titles(ROWS, np.random.default_rng(0))
    assert (captions.claims[:, 1:] == ANY).all()
    assert captions.claims[1, 0] == captions.claims[3, 0]
    true, _ = fits(captions.claims, c.codes)
    assert true[1].tolist() == [False, True, False, True, False]


def test_phrases_say_what_they_claim() -> None:
    c = captioner()
    column = {name: CLAIMS.index(name) for name in CLAIMS}
    said = set()
    for seed in range(300):
        captions = c.phrases(ROWS, np.random.default_rng(seed))
        for row, (text, claims) in enumerate(zip(captions.texts, captions.claims, strict=True)):
            assert ((claims == ANY) | (claims == c.codes[row])).all()
            said.add(text)
            if row == 0:
                assert (claims[column["shade"]] != ANY) == ("navy blue" in text)
                blue = "blue" in text and "navy" not in text
                assert (claims[column["colour"]] != ANY) == blue
            if row == 1:
                assert (claims[column["printed"]] != ANY) == ("printed" in text)
    assert {"red dress", "blue jeans", "navy blue jeans", "Mystery"} <= said
    assert any(text.endswith("for women") for text in said)


def test_a_unisex_item_may_fit_whatever_gender_is_asked_for() -> None:
    c = captioner()
    claims = np.full((5, len(CLAIMS)), ANY, np.int32)
    claims[:, CLAIMS.index("gender")] = c.codes[1, CLAIMS.index("gender")]  # "women ..."
    true, maybe = fits(claims, c.codes)
    assert true[1].tolist() == [False, True, False, True, False]
    assert maybe[1].tolist() == [False, False, True, False, True]  # unisex, and unknown


def test_every_value_has_a_prompt_and_every_row_its_label() -> None:
    names, labels = captioner().prompts("article_type", ROWS, np.random.default_rng(0))
    assert len(names) == 3 and labels.tolist() == [2, 1, 0, 1, -1]
    assert names[1] in names_of("dresses")


@pytest.mark.parametrize(
    "plural,single",
    [("dresses", "dress"), ("jeans", "jeans"), ("watches", "watch"), ("kurtas", "kurta"),
     ("ties", "tie"), ("scarves", "scarf"), ("dress", "dress"), ("casual shoes", "casual shoe")],
)  # fmt: skip
def test_singulars(plural: str, single: str) -> None:
    assert singular(plural) == single


def test_a_title_without_its_brand_begins_with_the_gender() -> None:
    assert without_brand("Puma Men's Toe Crusher T-shirt") == "Men's Toe Crusher T-shirt"
    assert without_brand("Adrika Green Earrings") == "Adrika Green Earrings"


def test_an_unmoved_picture_comes_through_augmentation_in_range_on_white() -> None:
    pixels = torch.full((16, 20, 20, 3), 255, dtype=torch.uint8)
    pixels[:, 5:15, 5:15] = torch.tensor([255, 0, 0], dtype=torch.uint8)
    views = augment(pixels, 12, torch.Generator().manual_seed(0))
    assert views.shape == (16, 3, 12, 12) and views.dtype == torch.float32
    assert (views[:, 0] == 1).all()  # red ink takes nothing from the red channel: hue is kept
    assert views[:, 1].min() == pytest.approx(-1) and views.max() == 1
    assert (views[:, :, 0, 0] == 1).all(dim=1).float().mean() > 0.9  # corners stay white


def test_half_of_the_views_are_mirrored() -> None:
    pixels = torch.full((400, 16, 16, 3), 255, dtype=torch.uint8)
    pixels[:, :, :8] = 0  # the left half is black
    views = augment(pixels, 16, torch.Generator().manual_seed(0))
    left_is_black = views[:, 0, 8, 4] < 0
    assert 0.4 < left_is_black.float().mean() < 0.6


def test_photos_are_decoded_once_and_merged_over_catalogues(tmp_path: Path) -> None:
    for name, items, colour in (("a", ITEMS[:2], "red"), ("b", ITEMS[2:], "blue")):
        (tmp_path / name).mkdir()
        images: list[bytes | None] = [png(colour)] * (len(items) - 1) + [None]
        pq.write_table(items_table(items, images), tmp_path / name / "items.parquet")
    catalogs = [tmp_path / "a", tmp_path / "b"]
    products = load_products(catalogs, 8, tmp_path / "cache")
    assert products.rows.tolist() == [0, 2, 3]
    assert products.catalogue.item_ids == ["1", "2", "3", "4", "5"]
    assert products.pixels[0, 4, 4].tolist() == [255, 0, 0]
    assert products.pixels[2, 4, 0].tolist() == [255, 255, 255]  # the padding
    cached = list((tmp_path / "cache").iterdir())
    again = load_products(catalogs, 8, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == cached and len(cached) == 1
    assert (again.pixels == products.pixels).all()


def test_a_catalogue_without_photos_is_refused(tmp_path: Path) -> None:
    pq.write_table(items_table(ITEMS), tmp_path / "items.parquet")
    with pytest.raises(CatalogueError, match="photo"):
        load_products([tmp_path], 8, tmp_path / "cache")
