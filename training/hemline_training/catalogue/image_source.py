"""A parquet file of product photos, streamed: checked first, handed over later."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from hemline.errors import BadImageError, CatalogueError
from hemline.images import decode_image
from hemline_training.catalogue.report import ImportReport

_BATCH_ROWS = 2048


class ImageSource:
    """The columns product_id and jpeg of one file; never more than one batch of it in memory.

    digest_of   sha256 of each product's usable image, after `check`
    broken      why a product's image is not usable, after `check`
    """

    def __init__(self, path: Path, progress: bool) -> None:
        self._path = path
        self._progress = progress
        self.digest_of: dict[str, bytes] = {}
        self.broken: dict[str, str] = {}

    def check(self, product_ids: Collection[str], report: ImportReport) -> None:
        """Decodes the image of each of these products once. Raises CatalogueError as `ids` does."""
        for product_id, data in self._stream(["product_id", "jpeg"], "checking images"):
            if product_id is None or product_id not in product_ids:
                report.count("noted", "an image of no product in products.csv", str(product_id))
            elif product_id in self.digest_of:
                report.count("noted", "a second image of one product, ignored", product_id)
            elif data is not None:
                try:
                    decode_image(data)
                except BadImageError as error:
                    self.broken.setdefault(product_id, error.reason)
                else:
                    self.digest_of[product_id] = hashlib.sha256(data).digest()

    def images(self, product_ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """(product_id, image) of those of the products that `check` found usable, in file order."""
        left = product_ids & self.digest_of.keys()
        for product_id, data in self._stream(["product_id", "jpeg"], "writing items"):
            if product_id not in left or data is None:
                continue
            if hashlib.sha256(data).digest() == self.digest_of[product_id]:
                left.discard(product_id)
                yield product_id, data

    def ids(self) -> set[str]:
        """All product ids in the file. Raises CatalogueError when it or a column is missing."""
        return {i for i, _ in self._stream(["product_id"], f"listing {self._path.name}") if i}

    def _stream(self, columns: list[str], what: str) -> Iterator[tuple[str | None, bytes | None]]:
        try:
            file = pq.ParquetFile(self._path)
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise CatalogueError(f"{self._path} lacks the column(s) {', '.join(missing)}")
            total = file.metadata.num_rows
            with tqdm(total=total, desc=what, unit="row", disable=not self._progress) as bar:
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                    ids = batch["product_id"].cast(pa.string()).to_pylist()
                    if "jpeg" in columns:
                        data = batch["jpeg"].cast(pa.large_binary()).to_pylist()
                        yield from zip(ids, data, strict=True)
                    else:
                        yield from ((product_id, None) for product_id in ids)
                    bar.update(len(ids))
        except (OSError, pa.ArrowException) as error:
            raise CatalogueError(f"{self._path} cannot be read: {error}") from error
