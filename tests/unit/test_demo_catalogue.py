"""The drawn shop: complete, varied, and the same every time."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import numpy as np
import pytest

from hemline.catalogue import ITEM_SCHEMA, Catalogue
from hemline.catalogue_file import read_images
from hemline.images import check_image_header, decode_image
from hemline_training.demo_catalogue import BRANDS, write_demo_catalogue
from hemline_training.drawing.canvas import HEIGHT, WIDTH, Canvas, mirrored, points, smooth
from hemline_training.drawing.fabrics import COLOURS, PATTERNS, fabric
from hemline_training.drawing.looks import Palette
from hemline_training.drawing.wardrobe import KINDS


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_demo_catalogue(folder, items=240, seed=3, progress=False)
    return folder


def test_it_has_exactly_the_items_asked_for(shop: Path, tmp_path: Path) -> None:
    assert len(Catalogue.load(shop)) == 240
    report = write_demo_catalogue(tmp_path, items=1, progress=False)
    assert (report.rows_in, report.rows_out, len(Catalogue.load(tmp_path))) == (1, 1, 1)
    with pytest.raises(ValueError, match="0 items"):
        write_demo_catalogue(tmp_path, items=0, progress=False)


def test_every_item_is_complete(shop: Path) -> None:
    catalogue = Catalogue.load(shop)

    assert len(set(catalogue.item_ids)) == 240
    for item in catalogue.items():
        assert all(getattr(item, field.name) is not None for field in ITEM_SCHEMA.remove(16))
        assert item.brand in {brand.name for brand in BRANDS}
        assert item.title.startswith(f"{item.brand} {item.gender} {item.colour} ")
        assert item.price is not None and 3 < item.price < 1000 and item.currency == "EUR"


def test_pictures_are_small_jpegs_of_something_on_white(shop: Path) -> None:
    for data in read_images(shop):
        assert data is not None
        header = check_image_header(data)
        assert (header.format, header.width, header.height) == ("JPEG", WIDTH, HEIGHT)
        assert len(data) < 12_000
        pixels = np.asarray(decode_image(data)).astype(int)
        corners = pixels[[1, 1, -2, -2], [1, -2, 1, -2]]
        assert corners.min() > 240
        drawn = (pixels.min(axis=2) < 235).mean()
        assert 0.02 < drawn < 0.8


def test_a_second_size_shares_group_and_picture_and_a_second_colour_neither(shop: Path) -> None:
    catalogue = Catalogue.load(shop)
    images = read_images(shop)
    by_group = defaultdict(set)
    for item, image in zip(catalogue.items(), images, strict=True):
        by_group[item.variant_group].add((item.colour, item.price, image))

    assert all(len(looks) == 1 for looks in by_group.values())
    assert len(set(images)) == len(by_group)
    sizes = Counter(item.variant_group for item in catalogue.items())
    assert 0.03 < sum(n > 1 for n in sizes.values()) / len(sizes) < 0.4
    designs = Counter(
        item.title.split(", ")[0].replace(f" {item.colour} ", " ") + str(item.price)
        for item in catalogue.items()
        if sizes[item.variant_group] == 1
    )
    assert any(n > 1 for n in designs.values())


def test_the_same_seed_gives_the_same_shop_and_another_seed_another(
    shop: Path, tmp_path: Path
) -> None:
    for name, seed in (("again", 3), ("other", 4)):
        write_demo_catalogue(tmp_path / name, items=40, seed=seed, progress=False)

    again, other = read_images(tmp_path / "again"), read_images(tmp_path / "other")
    assert again == read_images(shop, range(40))
    assert other != again


@pytest.mark.parametrize(
    "kind", KINDS, ids=lambda kind: f"{kind.article_type}-{kind.design.__name__}"
)
def test_every_kind_can_be_drawn_in_every_look(kind) -> None:

    nouns = set()
    for seed in range(12):
        look = kind.design(Random(seed))
        nouns.add(look.noun)
        if seed < 3:
            canvas = Canvas()
            colour = COLOURS[kind.colours[0]]
            cloth = fabric(kind.colours[0], kind.patterns[-1], "White", seed)
            look.draw(canvas, Palette(cloth, colour, COLOURS["Teal"], COLOURS["Gold"]))
            assert np.asarray(canvas.finish()).min() < 200
    assert nouns and all(noun == noun.strip() for noun in nouns)
    assert kind.prices[0] < kind.prices[1]
    assert set(kind.colours) <= set(COLOURS) and set(kind.patterns) <= set(PATTERNS)


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p != "plain"])
def test_every_pattern_shows_two_colours(pattern: str) -> None:
    sheet = fabric("Navy Blue", pattern, "White").sheet

    assert sheet is not None and np.asarray(sheet).std(axis=(0, 1)).max() > 3


def test_a_doubled_point_is_a_sharp_corner() -> None:
    square = points("0,0! 10,0! 10,10! 0,10!")

    assert square[:4] == [(0, 0), (0, 0), (10, 0), (10, 0)]
    curve = smooth(square)
    assert {(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)} <= {
        (round(x, 6), round(y, 6)) for x, y in curve
    }
    assert mirrored([(40, 7)]) == [(56, 7)]


def test_light_comes_from_the_left_and_shade_lies_below() -> None:
    canvas = Canvas()
    canvas.piece([(20, 20), (76, 20), (76, 100), (20, 100)], (128, 128, 128))
    photo = np.asarray(canvas.finish().convert("L")).astype(int)

    assert photo[60, 30] > photo[60, 66]
    assert photo[102, 48] < 245 and photo[17, 48] > 250
