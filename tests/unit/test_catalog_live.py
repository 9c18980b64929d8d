"""`hemline catalog upsert` and `catalog delete`, against a real gateway over the small shop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemline.catalogue import Item, items_table
from hemline.catalogue_file import count_items, read_items
from hemline.cli.__main__ import main
from hemline.errors import CatalogueError
from hemline.v1 import catalog_pb2
from shop import Shop
from small_world import item_id, style_photo

Ask = Callable[..., Any]


@pytest.fixture
def ask(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs a `hemline catalog` against the shop: exit code, stdout, stderr."""

    async def run(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        command = ["catalog", *map(str, argv), "--gateway", shop.address]
        code = await asyncio.to_thread(main, command)
        return code, *capsys.readouterr()

    return run


def catalogue(folder: Path, items: list[Item], images: list[bytes | None]) -> Path:
    pq.write_table(items_table(items, images), folder / "items.parquet", row_group_size=2)
    return folder


async def known(shop: Shop, *ids: str) -> dict[str, str]:
    """Title by id, of those that are there."""
    got = await shop.catalog.GetItems(catalog_pb2.GetItemsRequest(item_ids=ids))
    return {found.item.item_id: found.item.title for found in got.items}


async def test_a_catalogue_is_upserted_with_photos_and_for_a_tenant(
    ask: Ask, shop: Shop, tmp_path: Path
) -> None:
    items = [
        Item("new-1", "New boots"),
        Item("new-2", "Theirs", tenant="bolt"),
        Item(item_id("dress", 1), "Changed dress", price=9.5),
    ]
    photo = style_photo("boots")
    folder = catalogue(tmp_path, items, [photo, None, None])
    code, out, err = await ask("upsert", folder, "--tenant", "acme", "--json")
    assert code == 0, err
    assert json.loads(out) == {"accepted": 3, "rejected": 0, "errors": []}
    async with asyncio.timeout(60):
        while len(titles := await known(shop, "new-1", "new-2", item_id("dress", 1))) < 3:
            await asyncio.sleep(0.01)
    assert titles == {
        "new-1": "New boots",
        "new-2": "Theirs",
        item_id("dress", 1): "Changed dress",
    }
    got = await shop.catalog.GetItems(catalog_pb2.GetItemsRequest(item_ids=["new-1", "new-2"]))
    assert [found.item.tenant for found in got.items] == ["acme", "bolt"]
    assert shop.encoders.calls["clip_image"] == 1


async def test_refused_items_are_named_and_the_rest_is_there(
    ask: Ask, shop: Shop, tmp_path: Path
) -> None:
    items = [Item("fine", "Fine"), Item("wrong", "Wrong", year=99), Item("dear", "Dear", price=-1)]
    code, out, err = await ask("upsert", catalogue(tmp_path, items, [None] * 3))
    assert code == 1 and out == "1 items upserted, 2 refused\n"
    assert "wrong: item.year: 99 is outside" in err and "dear: item.price: -1" in err
    async with asyncio.timeout(60):
        while not await known(shop, "fine"):
            await asyncio.sleep(0.01)


async def test_deleted_items_are_gone_and_unknown_ones_are_said(ask: Ask, shop: Shop) -> None:
    code, out, _ = await ask("delete", item_id("boots", 1), item_id("boots", 2))
    assert (code, out) == (0, "2 items deleted\n")
    assert await known(shop, item_id("boots", 1), item_id("boots", 2)) == {}
    code, out, err = await ask("delete", item_id("boots", 3), "nobody")
    assert (code, out) == (1, "1 items deleted\n") and "nobody: there is no such item" in err


async def test_what_is_no_catalogue_is_said(ask: Ask, tmp_path: Path) -> None:
    code, _, err = await ask("upsert", tmp_path / "nothing")
    assert code == 1 and "there is no catalogue at" in err
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "items.parquet")
    code, _, err = await ask("upsert", tmp_path)
    assert code == 1 and "lacks the column(s) item_id" in err


def test_items_are_read_some_at_a_time_with_their_photos(tmp_path: Path) -> None:
    items = [Item(f"i{number}", f"Item {number}") for number in range(7)]
    photos = [bytes([number]) if number % 2 else None for number in range(7)]
    folder = catalogue(tmp_path, items, photos)
    batches = list(read_items(folder, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1] and count_items(folder) == 7
    assert [pair for batch in batches for pair in batch] == list(zip(items, photos, strict=True))
    with pytest.raises(CatalogueError, match="there is no catalogue"):
        count_items(tmp_path / "elsewhere")
