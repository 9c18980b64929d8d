"""Photos of items, as they were imported: read from the catalogue's file, on demand.

A photo that came with an upsert is encoded and not kept: an item that has a newer one gives none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hemline.catalogue_file import read_images, read_item_ids
from hemline.contracts import Space
from hemline.errors import InvalidInputError, SetupError
from hemline.live_view import LiveView

MAX_ITEMS = 100
MAX_BYTES = 12 << 20  # an answer has room for 16 MiB


class Photos:
    """path: an items.parquet with photos, or its folder; None: there are none here.

    Raises CatalogueError when the file is not there, not readable, or has none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._place: dict[str, int] = {}
        if path is not None:
            read_images(path, [])
            self._place = {item_id: place for place, item_id in enumerate(read_item_ids(path))}

    async def of(self, rows: Sequence[int], view: LiveView) -> list[bytes]:
        """The photo of each row's item, empty where there is none.

        Raises SetupError where there are no photos at all, InvalidInputError for more than fit into
        an answer.
        """
        if self._path is None:
            raise SetupError(
                "this gateway has no photos; start it with --photos and the folder of the "
                "catalogue that its release was trained on"
            )
        if len(rows) > MAX_ITEMS:
            raise InvalidInputError(
                "item_ids", f"{len(rows)} ids, at most {MAX_ITEMS} are allowed with photos"
            )
        wanted = [place for place, row in enumerate(rows) if self._has(row, view)]
        places = [self._place[view.item_ids[rows[place]]] for place in wanted]
        read = await asyncio.to_thread(read_images, self._path, places)
        photos = [b""] * len(rows)
        for place, photo in zip(wanted, read, strict=True):
            photos[place] = photo or b""
        size = sum(map(len, photos))
        if size > MAX_BYTES:
            raise InvalidInputError(
                "item_ids", f"their photos have {size} bytes, more than {MAX_BYTES}; ask for fewer"
            )
        return photos

    def _has(self, row: int, view: LiveView) -> bool:
        """Whether the imported photo is the item's still, as far as its vectors tell."""
        if view.item_ids[row] not in self._place or row >= len(view.release.catalogue):
            return False
        space: Space = "image" if "image" in view.release.spaces else "content"
        imported = view.release.vectors(space)[row]
        return bool(np.array_equal(view.vectors(space)[row], imported))
