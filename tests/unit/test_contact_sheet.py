"""Answers drawn as pictures."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from hemline.catalogue import Item, items_table
from hemline.cli.contact_sheet import write_contact_sheet
from hemline.errors import CatalogueError
from hemline.v1.common_pb2 import ScoredItem
from hemline.wire import item_to_proto


def photo(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (60, 80), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    items = [Item("red", "Red dress"), Item("blue", "Ombré jeans", price=20, currency="EUR")]
    table = items_table([*items, Item("bare", "No photo")], [photo("red"), photo("blue"), None])
    pq.write_table(table, tmp_path / "items.parquet")
    return tmp_path


def scored(item_id: str) -> ScoredItem:
    return ScoredItem(item=item_to_proto(Item(item_id, f"title of {item_id}")), score=0.5)


def test_photos_stand_in_the_order_of_the_answer(catalogue: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    answer = [scored("blue"), scored("red"), scored("bare")]
    write_contact_sheet(out, [("two", answer), ("again", answer[:1])], catalogue)
    sheet = Image.open(out).convert("RGB")
    y = 10 + 40 + 75  # the middle of the first row of photos
    assert sheet.getpixel((10 + 85, y)) == (0, 0, 255)
    assert sheet.getpixel((10 + 170 + 85, y)) == (255, 0, 0)
    assert sheet.getpixel((10 + 2 * 170 + 85, y)) == (255, 255, 255)
    assert sheet.getpixel((10 + 85, y + 150 + 64 + 40)) == (0, 0, 255)


def test_items_of_another_catalogue_are_refused(catalogue: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="another catalogue"):
        write_contact_sheet(tmp_path / "sheet.png", [("x", [scored("ghost")])], catalogue)
