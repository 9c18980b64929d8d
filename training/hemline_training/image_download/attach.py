"""Downloaded images into items.parquet, a row group at a time, no larger than training needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hemline.errors import BadImageError
from hemline_training.catalogue.items_file import write_atomically
from hemline_training.data.pictures import small_image
from hemline_training.data.schema import DataFolder, file_schema
from hemline_training.image_download.kept import Kept

_ROWS_PER_GROUP = 256  # of 512 pixels a side, some 10 MB


def attach_images(folder: Path, kept: Kept) -> int:
    """Fills the image column of items that have none; how many that name addresses have one now.

    items.parquet is replaced whole or not at all.
    """
    path = folder / "items.parquet"
    count = 0
    with (
        write_atomically(path) as temporary,
        pq.ParquetWriter(temporary, file_schema("items"), compression="zstd") as writer,
    ):
        for batch in DataFolder(folder).batches("items", rows=_ROWS_PER_GROUP):
            images = list(_images(batch, kept))
            named = batch["image_urls"].to_pylist()
            pairs = zip(images, named, strict=True)
            count += sum(image is not None for image, urls in pairs if urls)
            place = batch.schema.get_field_index("image")
            column = pa.array(images, pa.binary())
            writer.write_batch(batch.set_column(place, batch.schema.field(place), column))
    return count


def _images(batch: pa.RecordBatch, kept: Kept) -> Iterator[bytes | None]:
    images: list[bytes | None] = batch["image"].to_pylist()
    addresses: list[list[str] | None] = batch["image_urls"].to_pylist()
    for image, urls in zip(images, addresses, strict=True):
        yield image if image is not None else _first_kept(urls or [], kept)


def _first_kept(urls: list[str], kept: Kept) -> bytes | None:
    for url in urls:
        settled = kept.settled(url)
        if settled is not None and settled.outcome == "kept":
            try:
                return small_image(kept.path(settled.sha256).read_bytes())
            except (OSError, BadImageError):  # removed or damaged on disk: as if never fetched
                continue
    return None
