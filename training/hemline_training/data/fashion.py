"""Fashion Product Images: what `catalog import` makes of it, as the items of a data folder."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from hemline_training.catalogue.fashion_products import import_fashion_products
from hemline_training.data.source import Reader
from hemline_training.data.tables import Tables

_ROWS_PER_BATCH = 512


def read_fashion_products(
    path: Path, tables: Tables, reader: Reader, _columns: dict[str, Any]
) -> None:
    """Items with their pictures; there are no users and no events in it.

    What the catalogue import repaired and dropped stands in the report of items. It holds the
    titles (not the pictures) of the catalogue in memory. Raises CatalogueError.
    """
    with TemporaryDirectory(dir=tables.folder) as folder:
        progress = reader.progress and sys.stderr.isatty()
        done = import_fashion_products(path, Path(folder), progress=progress)
        report = tables.items.report
        for name, reason in done.reasons.items():
            report.reasons[name] = reason
        report.rows_in += done.dropped()
        report.figures.update(done.figures)
        file = pq.ParquetFile(Path(folder) / "items.parquet", pre_buffer=False)
        for batch in file.iter_batches(_ROWS_PER_BATCH):
            for row in batch.to_pylist():
                tables.items.add({**row, "imputed": []})
