"""Writing items.parquet so that a reader sees the old file or the whole new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from hemline.catalogue import ITEM_SCHEMA, Item, items_table

ROWS_PER_GROUP = 4096


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is flushed to disk and renamed over `path`.

    On an exception the temporary file is removed and `path` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:  # the rename itself must survive a crash too
        os.fsync(folder)
    finally:
        os.close(folder)


def write_items(
    path: Path, batches: Iterable[tuple[Sequence[Item], Sequence[bytes | None]]]
) -> int:
    """Writes batches of items and their images to `path` atomically; returns how many items.

    Memory is bounded by one batch: batches are regrouped to no fewer rows than they come in.
    """
    count = 0
    with (
        write_atomically(path) as temporary,
        pq.ParquetWriter(
            temporary,
            ITEM_SCHEMA,
            compression="zstd",
            # JPEG does not compress again, and its bytes make useless dictionaries and statistics.
            use_dictionary=[n for n in ITEM_SCHEMA.names if n != "image"],
            write_statistics=[n for n in ITEM_SCHEMA.names if n != "image"],
        ) as writer,
    ):
        for items, images in batches:
            if items:
                writer.write_table(items_table(items, images), row_group_size=ROWS_PER_GROUP)
                count += len(items)
    return count
