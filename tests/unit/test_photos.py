"""GetItems with photos: as imported, of no more items than fit, and none that are out of date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hemline.catalogue import items_table
from hemline.errors import CatalogueError, InvalidInputError, SetupError
from hemline.gateway import photos as photos_module
from hemline.gateway.catalog_servicer import CatalogServicer
from hemline.gateway.photos import MAX_ITEMS, Photos
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.releases import Release
from hemline.sqlite_event_log import SqliteEventLog
from hemline.v1 import catalog_pb2
from live_changes import new_state
from small_world import build_small_release, item_id, small_items, style_photo


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Every item shows its style; the boots have no photos; rows are in another order."""
    items = small_items()[::-1]
    images = [
        None if (style := item.item_id.split("-")[0]) == "boots" else style_photo(style)
        for item in items
    ]
    pq.write_table(items_table(items, images), tmp_path / "items.parquet", row_group_size=50)
    return tmp_path


async def test_photos_come_as_imported(small_release: Release, catalogue: Path) -> None:
    log = SqliteEventLog(catalogue / "log")
    servicer = CatalogServicer(LiveItems(small_release), log, Photos(catalogue))
    asked = [item_id("watch", 3), "nothing", item_id("boots", 2), item_id("dress", 8)]
    request = catalog_pb2.GetItemsRequest(item_ids=asked, include_images=True)
    answer = await servicer.GetItems(request, None)
    assert [(each.item.item_id, each.image) for each in answer.items] == [
        (asked[0], style_photo("watch")),
        (asked[2], b""),
        (asked[3], style_photo("dress")),
    ]
    assert list(answer.unknown_item_ids) == ["nothing"]
    request.include_images = False
    assert not any(each.image for each in (await servicer.GetItems(request, None)).items)
    await log.close()


@pytest.mark.parametrize("apart", [True, False])
async def test_a_photo_that_an_upsert_replaced_is_not_shown(
    tmp_path: Path, catalogue: Path, apart: bool
) -> None:
    release = build_small_release(tmp_path / "releases", apart)
    items = LiveItems(release)
    row = release.catalogue.row_of[item_id("dress", 3)]
    item = items.view.item(row)
    photos = Photos(catalogue)
    items.apply([items.view.with_vectors_of(row, item, order=1)])  # a price, say
    assert await photos.of([row], items.view) == [style_photo("dress")]
    other = new_state(item.item_id, seed=3)
    new = Change(item.item_id, item, other.content, other.tower, 2, other.image, other.text)
    items.apply([new, new_state("later", seed=6)])
    later = items.view.row_of["later"]
    assert await photos.of([row, later], items.view) == [b"", b""]


async def test_more_than_fits_is_refused(small_release: Release, catalogue: Path) -> None:
    view = LiveItems(small_release).view
    with pytest.raises(InvalidInputError, match="101 ids, at most 100 are allowed with photos"):
        await Photos(catalogue).of(list(range(MAX_ITEMS + 1)), view)


async def test_photos_of_more_bytes_than_an_answer_has_room_for_are_refused(
    small_release: Release, tmp_path: Path
) -> None:
    items = small_items()[:30]
    big = np.random.default_rng(1).bytes(photos_module.MAX_BYTES // 25)
    pq.write_table(items_table(items, [big] * 30), tmp_path / "items.parquet")
    view = LiveItems(small_release).view
    photos = Photos(tmp_path)
    assert len(await photos.of(list(range(20)), view)) == 20
    with pytest.raises(InvalidInputError, match="ask for fewer"):
        await photos.of(list(range(30)), view)


async def test_a_gateway_without_photos_says_how_to_have_them(small_release: Release) -> None:
    with pytest.raises(SetupError, match="start it with --photos"):
        await Photos(None).of([0], LiveItems(small_release).view)


def test_a_catalogue_without_photos_is_refused_at_start(tmp_path: Path) -> None:
    table = items_table(small_items()).drop_columns(["image"])
    pq.write_table(table, tmp_path / "items.parquet")
    with pytest.raises(CatalogueError, match="holds no images"):
        Photos(tmp_path)
    with pytest.raises(CatalogueError, match="there is no catalogue"):
        Photos(tmp_path / "elsewhere")
