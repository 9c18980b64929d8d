"""Parts of a catalogue's items.parquet, read without the rest: ids, a count, some items, images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from hemline.catalogue import Catalogue, Item, open_items
from hemline.errors import CatalogueError


def read_item_ids(path: Path) -> list[str]:
    """The ids of all items, by row. Raises CatalogueError when the file is not there or not it."""
    file = open_items(path)
    if "item_id" not in file.schema_arrow.names:
        raise CatalogueError(f"{path} has no column item_id")
    ids: list[str] = file.read(columns=["item_id"])["item_id"].to_pylist()
    return ids


def count_items(path: Path) -> int:
    """How many items there are. Raises CatalogueError as `read_items` does."""
    return int(open_items(path).metadata.num_rows)


def read_items(path: Path, at_a_time: int) -> Iterator[list[tuple[Item, bytes | None]]]:
    """All items in their order, each with its encoded image if it has one, some at a time.

    Raises CatalogueError when the file is not there, not parquet, or fails `from_table`'s checks.
    """
    for batch in open_items(path).iter_batches(at_a_time):
        table = pa.Table.from_batches([batch])
        images = [None] * len(table)
        if "image" in table.column_names:
            images = table["image"].to_pylist()
        yield list(zip(Catalogue.from_table(table).items(), images, strict=True))


def read_images(path: Path, rows: Sequence[int] | None = None) -> list[bytes | None]:
    """The encoded images of `rows`, in that order, or of all items; None where an item has none.

    Reads the image column alone, and only the row groups the rows lie in. Raises CatalogueError
    when the file has no image column, IndexError for a row outside it.
    """
    file = open_items(path)
    if "image" not in file.schema_arrow.names:
        raise CatalogueError(f"{path} holds no images")
    if rows is None:
        column: list[bytes | None] = file.read(columns=["image"])["image"].to_pylist()
        return column
    wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
    if wanted.size and (wanted.min() < 0 or wanted.max() >= file.metadata.num_rows):
        raise IndexError(f"rows outside a catalogue of {file.metadata.num_rows} items")
    images: list[bytes | None] = [None] * len(wanted)
    start = 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        places = np.flatnonzero((wanted >= start) & (wanted < end))
        if places.size:
            chunk = file.read_row_group(group, columns=["image"])["image"]
            for place in places:
                images[place] = chunk[int(wanted[place]) - start].as_py()
        start = end
    return images
