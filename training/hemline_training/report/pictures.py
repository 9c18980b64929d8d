"""Photos of items small enough to be part of the page, and rows of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from pathlib import Path

from PIL import Image

from hemline.catalogue import Catalogue
from hemline.catalogue_file import read_images
from hemline.errors import BadImageError, CatalogueError
from hemline.images import check_image_header, decode_image
from hemline_training.report.elements import Html, element

SIDE = 160  # pixels of the longer side
KEPT_BYTES = 6_000  # a small JPEG stays as it is
QUALITY = 80


class Pictures:
    """The photos of `folder` for the items of `catalogue`; without a folder, titles alone."""

    def __init__(self, catalogue: Catalogue, folder: Path | None) -> None:
        """Raises CatalogueError where the folder holds none of the items."""
        self.catalogue, self.folder = catalogue, folder
        self._sources: dict[int, str | None] = {}
        self._row_there: dict[int, int] = {}
        if folder is None:
            return
        there = Catalogue.load(folder).row_of
        for row, item_id in enumerate(catalogue.item_ids):
            if item_id in there:
                self._row_there[row] = there[item_id]
        if not self._row_there and len(catalogue):
            raise CatalogueError(
                f"{folder} has none of the release's items; name the catalogue it was trained on "
                "with --catalog"
            )

    def load(self, rows: Collection[int]) -> None:
        """Read the photos of these rows; one pass over the file is far cheaper than many."""
        wanted = sorted({row for row in rows if row in self._row_there} - self._sources.keys())
        if self.folder is None or not wanted:
            return
        photos = read_images(self.folder, [self._row_there[row] for row in wanted])
        for row, photo in zip(wanted, photos, strict=True):
            self._sources[row] = None if photo is None else data_uri(photo)

    def shelf(self, rows: Sequence[int], strong: Collection[int] = ()) -> Html:
        """Items beside each other, with their titles; those in `strong` emphasised."""
        self.load(rows)
        items = (self._item(row, row in strong) for row in rows)
        # A row that scrolls must be reachable by keyboard, and named.
        return element("ul", *items, class_="shelf", tabindex="0", aria_label=f"{len(rows)} items")

    def _item(self, row: int, strong: bool) -> Html:
        title = self.catalogue.titles[row]
        source = self._sources.get(row)
        # The title follows as text, so the photo itself need not be read out again.
        photo = (
            element("img", src=source, alt="", loading="lazy")
            if source
            else element("span", "no photo", class_="nophoto")
        )
        words = element("span", title, class_="match" if strong else None)
        return element("li", photo, words, title=title)


def data_uri(photo: bytes) -> str | None:
    """The photo as a data: URI of at most SIDE pixels a side; None for one that is broken."""
    try:
        header = check_image_header(photo)
        small = max(header.width, header.height) <= SIDE and len(photo) <= KEPT_BYTES
        if header.format != "JPEG" or not small:
            image = decode_image(photo, at_least=SIDE)
            image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            out = io.BytesIO()
            image.save(out, "JPEG", quality=QUALITY, optimize=True)
            photo = out.getvalue()
    except BadImageError:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(photo).decode()
