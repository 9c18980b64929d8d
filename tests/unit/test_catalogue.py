"""The catalogue in memory and its images on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemline.catalogue import ATTRIBUTES, ITEM_SCHEMA, Catalogue, Item, items_table
from hemline.catalogue_file import read_images
from hemline.errors import CatalogueError
from hemline.item_text import item_text

KURTA = Item(
    "0042",
    "Mother Earth Women Aug Bagru Red Kurtas",
    description="Block-printed by hand",
    brand="Mother Earth",
    gender="Women",
    master_category="Apparel",
    sub_category="Topwear",
    article_type="Kurtas",
    colour="Red",
    season="Summer",
    usage="Ethnic",
    year=2012,
    price=24.5,
    currency="EUR",
    variant_group="kurta-red",
    in_stock=True,
)
BARE = Item("7", "Plain thing", in_stock=False)
JEANS = Item("8", "Blue Jeans", gender="Men", colour="Blue", variant_group="kurta-red")


def catalogue() -> Catalogue:
    return Catalogue.from_table(items_table([KURTA, BARE, JEANS]))


def write(path: Path, images: list[bytes | None], rows_per_group: int = 2) -> Path:
    items = [Item(str(n), f"item {n}") for n in range(len(images))]
    pq.write_table(items_table(items, images), path, row_group_size=rows_per_group)
    return path


def test_a_catalogue_is_columns_by_row() -> None:
    shop = catalogue()

    assert len(shop) == 3
    assert shop.item_ids == ["0042", "7", "8"]  # leading zeros belong to the id
    assert shop.row_of == {"0042": 0, "7": 1, "8": 2}
    assert shop.titles[2] == "Blue Jeans"
    np.testing.assert_array_equal(shop.price, np.array([24.5, np.nan, np.nan], np.float32))
    np.testing.assert_array_equal(shop.year, np.array([2012, -1, -1], np.int16))
    np.testing.assert_array_equal(shop.in_stock, [True, False, True])
    assert (shop.price.dtype, shop.year.dtype, shop.in_stock.dtype) == (
        np.float32,
        np.int16,
        np.bool_,
    )


def test_attributes_are_codes_into_sorted_values_and_minus_one_where_unknown() -> None:
    shop = catalogue()

    assert shop.values("colour") == ["Blue", "Red"]
    np.testing.assert_array_equal(shop.codes("colour"), np.array([1, -1, 0], np.int32))
    assert shop.codes("colour").dtype == np.int32
    assert shop.values("season") == ["Summer"]
    assert all(len(shop.codes(name)) == 3 for name in ATTRIBUTES)
    with pytest.raises(KeyError):
        shop.codes("price")


def test_variants_share_a_code_and_an_item_without_a_group_is_its_own() -> None:
    groups = catalogue().variant_group

    assert groups.dtype == np.int32
    assert groups[0] == groups[2] != groups[1]
    assert BARE.variant_group == "7"


def test_items_come_back_as_they_went_in() -> None:
    shop = catalogue()

    assert shop.item(0) == KURTA
    assert list(shop.items()) == [KURTA, BARE, JEANS]
    for row in (-1, 3):
        with pytest.raises(IndexError):
            shop.item(row)


def test_the_arrays_cannot_be_written_to() -> None:
    shop = catalogue()

    for array in (shop.price, shop.year, shop.in_stock, shop.variant_group, shop.codes("brand")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_an_empty_catalogue_is_a_catalogue() -> None:
    shop = Catalogue.from_table(items_table([]))

    assert len(shop) == 0 and shop.price.shape == (0,) and shop.values("brand") == []


def test_loading_leaves_the_images_on_disk(tmp_path: Path) -> None:
    path = write(tmp_path / "items.parquet", [b"\xff" * 10, None, b"x"])

    assert Catalogue.load(path).item_ids == ["0", "1", "2"]
    assert Catalogue.load(tmp_path).titles == ["item 0", "item 1", "item 2"]  # the folder will do


def test_a_release_file_without_images_loads(tmp_path: Path) -> None:
    pq.write_table(items_table([KURTA]).drop_columns(["image"]), tmp_path / "items.parquet")

    assert Catalogue.load(tmp_path).item(0) == KURTA
    with pytest.raises(CatalogueError, match="holds no images"):
        read_images(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop_columns(["title", "price"]), r"lacks the column\(s\) title, price"),
        (lambda t: pa.concat_tables([t, t]), "item_id '0042' occurs more than once"),
        (lambda t: _replaced(t, "title", pa.array([None], pa.string())), "title is null in 1 row"),
        (lambda t: _replaced(t, "price", pa.array(["cheap"])), "column price is not float"),
        (lambda t: _replaced(t, "year", pa.array([70_000])), "column year is not int16"),
    ],
)
def test_a_spoilt_table_is_refused_by_name(spoil, message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        Catalogue.from_table(spoil(items_table([KURTA])))


def _replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def test_an_absent_or_broken_file_is_a_catalogue_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no catalogue at"):
        Catalogue.load(tmp_path / "nowhere.parquet")
    (tmp_path / "items.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(CatalogueError, match="not a readable parquet"):
        Catalogue.load(tmp_path)


def test_images_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "items.parquet", [b"a", None, b"c", b"d", b"e"])

    assert read_images(path) == [b"a", None, b"c", b"d", b"e"]
    assert read_images(path, [4, 1, 0, 4]) == [b"e", None, b"a", b"e"]
    assert read_images(path, []) == []
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            read_images(path, [outside])


def test_a_table_has_the_published_schema() -> None:
    table = items_table([KURTA, BARE], [b"jpeg", None])

    assert table.schema.equals(ITEM_SCHEMA)
    assert table["image"].to_pylist() == [b"jpeg", None]
    with pytest.raises(ValueError, match="1 images for 2 items"):
        items_table([KURTA, BARE], [b"jpeg"])


def test_the_text_of_an_item_says_nothing_twice() -> None:
    assert item_text(KURTA) == "Mother Earth Women Aug Bagru Red Kurtas, topwear, ethnic"
    assert item_text(BARE) == "Plain thing"
    watch = Item("1", "Men's Black Dial", brand="Q&Q", gender="Men", article_type="Watches")
    assert item_text(watch) == "Men's Black Dial, q&q, watches"
    same = Item("2", "Slippers", article_type="Flip Flops", sub_category="Flip Flops")
    assert item_text(same) == "Slippers, flip flops"
