"""An answer as a picture: photos in order, with title, price and score, for people who look."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from hemline.catalogue import Catalogue
from hemline.catalogue_file import read_images
from hemline.errors import CatalogueError
from hemline.images import decode_image

if TYPE_CHECKING:
    from hemline.v1.common_pb2 import ScoredItem

COLUMNS = 6
CELL = 170
PHOTO = 150
CAPTION = 64
HEADING = 40


def write_contact_sheet(
    path: Path, sections: Sequence[tuple[str, Sequence[ScoredItem]]], catalogue_folder: Path
) -> None:
    """Write a PNG with one heading and grid of photos for each section.

    Photos come from the catalogue the release was trained on. Raises CatalogueError when that has
    none of the items.
    """
    catalogue = Catalogue.load(catalogue_folder)
    ids = {scored.item.item_id for _, items in sections for scored in items}
    known = [item_id for item_id in ids if item_id in catalogue.row_of]
    if ids and not known:
        raise CatalogueError(f"{catalogue_folder} has none of the items; is it another catalogue?")
    rows = [catalogue.row_of[item_id] for item_id in known]
    photos = dict(zip(known, read_images(catalogue_folder, rows), strict=True))

    grid_rows = sum(-(-len(items) // COLUMNS) for _, items in sections)
    height = len(sections) * HEADING + grid_rows * (PHOTO + CAPTION) + 10
    sheet = Image.new("RGB", (COLUMNS * CELL + 20, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = 10
    for heading, items in sections:
        draw.text((14, y + 6), heading, fill="#0f172a", font=_font(18))
        y += HEADING
        for place, scored in enumerate(items):
            x = 10 + place % COLUMNS * CELL
            _cell(sheet, draw, (x, y), scored, photos.get(scored.item.item_id))
            if place % COLUMNS == COLUMNS - 1 or place == len(items) - 1:
                y += PHOTO + CAPTION
    sheet.save(path)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib's own DejaVu has the accents that Pillow's built-in font lacks.
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def _cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    scored: ScoredItem,
    photo: bytes | None,
) -> None:
    x, y = corner
    if photo is not None:
        image = decode_image(photo)
        scale = min((PHOTO - 10) / image.width, (PHOTO - 10) / image.height)
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
        sheet.paste(image, (x + (CELL - size[0]) // 2, y + (PHOTO - size[1]) // 2))
    item = scored.item
    price = f"{item.price:.2f} {item.currency}" if item.HasField("price") else item.article_type
    lines = [*textwrap.wrap(item.title, 24)[:3], f"{price} · {scored.score:.2f}"]
    for number, line in enumerate(lines):
        font = _font(11)
        width = draw.textlength(line, font=font)
        colour = "#64748b" if number == len(lines) - 1 else "#0f172a"
        draw.text((x + (CELL - width) / 2, y + PHOTO + 14 * number), line, fill=colour, font=font)
