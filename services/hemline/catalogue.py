"""The catalogue: one parquet file of items on disk, columns in memory.

A row is an item's dense index, its position in items.parquet; everything else in Hemline (vectors,
factors, neighbours) is aligned to it. Images stay on disk; `catalogue_file` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemline.errors import CatalogueError

ITEM_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("gender", pa.string()),
        pa.field("master_category", pa.string()),
        pa.field("sub_category", pa.string()),
        pa.field("article_type", pa.string()),
        pa.field("colour", pa.string()),
        pa.field("season", pa.string()),
        pa.field("usage", pa.string()),
        pa.field("year", pa.int16()),
        pa.field("price", pa.float32()),
        pa.field("currency", pa.string()),
        pa.field("variant_group", pa.string(), nullable=False),
        pa.field("in_stock", pa.bool_(), nullable=False),
        pa.field("image", pa.binary()),  # JPEG, PNG or WebP bytes
    ]
)

ATTRIBUTES = (
    "brand",
    "gender",
    "master_category",
    "sub_category",
    "article_type",
    "colour",
    "season",
    "usage",
)
CODED = (*ATTRIBUTES, "tenant")  # texts of which many items have the same

# Of catalogues that have it: whose an item is; null: everybody's.
_TENANT = pa.field("tenant", pa.string())
_COLUMNS = [field for field in ITEM_SCHEMA if field.name != "image"]


@dataclass(frozen=True)
class Item:
    """One item as the shop describes it, without its image. None means unknown.

    `price` is in units of `currency` (ISO 4217), not in cents. Items that are the same product in
    another size share `variant_group`; empty means the item is a group of its own. An item of a
    `tenant` is seen by that tenant's API keys alone; None: by everybody.
    """

    item_id: str
    title: str
    description: str | None = None
    brand: str | None = None
    gender: str | None = None
    master_category: str | None = None
    sub_category: str | None = None
    article_type: str | None = None
    colour: str | None = None
    season: str | None = None
    usage: str | None = None
    year: int | None = None
    price: float | None = None
    currency: str | None = None
    variant_group: str = ""
    in_stock: bool = True
    tenant: str | None = None

    def __post_init__(self) -> None:
        if not self.variant_group:
            object.__setattr__(self, "variant_group", self.item_id)


class Catalogue:
    """All items of one release or shop, immutable and columnar, without their images.

    item_ids       list[str], by row
    row_of         dict[str, int], the inverse
    titles         list[str]
    price          float32 (n,), NaN where unknown
    in_stock       bool (n,)
    year           int16 (n,), -1 where unknown
    variant_group  int32 (n,), equal for variants of one product: places in
    variant_groups list[str], sorted
    """

    def __init__(self, table: pa.Table) -> None:
        """`table` must already have passed `from_table`'s checks; use that or `load`."""
        self._table = table
        self._columns = {f.name: _one_array(table[f.name]) for f in fields(Item)}
        self.item_ids: list[str] = table["item_id"].to_pylist()
        self.row_of: dict[str, int] = {item_id: row for row, item_id in enumerate(self.item_ids)}
        if len(self.row_of) < len(self.item_ids):
            raise CatalogueError(
                f"item_id {_first_repeated(self.item_ids)!r} occurs more than once"
            )
        self.titles: list[str] = table["title"].to_pylist()
        self.price: npt.NDArray[np.float32] = _numbers(table["price"], np.nan, np.float32)
        self.year: npt.NDArray[np.int16] = _numbers(table["year"], -1, np.int16)
        self.in_stock: npt.NDArray[np.bool_] = _numbers(table["in_stock"], False, np.bool_)
        self.variant_group, self.variant_groups = _encode(table["variant_group"])
        self._attributes = {name: _encode(table[name]) for name in CODED}

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Reads every column but the image of an items.parquet (or of the folder that holds one).

        Raises CatalogueError when the file is absent, not parquet, or fails `from_table`'s checks.
        """
        file = open_items(path)
        names = set(file.schema_arrow.names)
        wanted = [f.name for f in (*_COLUMNS, _TENANT) if f.name in names]
        return cls.from_table(file.read(columns=wanted))

    @classmethod
    def from_table(cls, table: pa.Table) -> Catalogue:
        """A catalogue of an arrow table with ITEM_SCHEMA's columns, and perhaps `tenant`; an image
        column is left out.

        Raises CatalogueError naming the column that is missing, of the wrong type, or null where
        ITEM_SCHEMA allows none, and for a repeated item_id.
        """
        missing = [field.name for field in _COLUMNS if field.name not in table.column_names]
        if missing:
            raise CatalogueError(f"the catalogue lacks the column(s) {', '.join(missing)}")
        columns = []
        if _TENANT.name not in table.column_names:
            table = table.append_column(_TENANT, pa.nulls(len(table), _TENANT.type))
        for field in (*_COLUMNS, _TENANT):
            try:
                column = table[field.name].cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise CatalogueError(f"column {field.name} is not {field.type}: {error}") from error
            if not field.nullable and column.null_count:
                raise CatalogueError(f"column {field.name} is null in {column.null_count} row(s)")
            columns.append(column.combine_chunks())
        return cls(pa.table(columns, schema=pa.schema([*_COLUMNS, _TENANT])))

    def __len__(self) -> int:
        return len(self.item_ids)

    def codes(self, attribute: str) -> npt.NDArray[np.int32]:
        """int32 (n,), read-only: each item's index into `values(attribute)`, -1 where unknown.

        Raises KeyError for a name outside CODED.
        """
        return self._attributes[attribute][0]

    def values(self, attribute: str) -> list[str]:
        """The attribute's distinct values, sorted. Raises KeyError as `codes` does."""
        return self._attributes[attribute][1]

    def item(self, row: int) -> Item:
        """The item at `row`. Raises IndexError outside 0 <= row < len."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a catalogue of {len(self)} items")
        return Item(**{name: column[row].as_py() for name, column in self._columns.items()})

    def items(self) -> Iterator[Item]:
        """All items in row order; much cheaper than `item(row)` in a loop."""
        for batch in self._table.to_batches(max_chunksize=4096):
            for values in batch.to_pylist():
                yield Item(**values)


def items_table(items: Sequence[Item], images: Sequence[bytes | None] | None = None) -> pa.Table:
    """An arrow table in ITEM_SCHEMA, the inverse of `Catalogue.items`; images[i] is items[i]'s.

    With a column `tenant` if an item has one.
    """
    if images is not None and len(images) != len(items):
        raise ValueError(f"{len(images)} images for {len(items)} items")
    columns = [pa.array([getattr(i, f.name) for i in items], f.type) for f in _COLUMNS]
    columns.append(pa.array([None] * len(items) if images is None else images, pa.binary()))
    table = pa.table(columns, schema=ITEM_SCHEMA)
    if any(item.tenant for item in items):
        tenants = pa.array([item.tenant for item in items], _TENANT.type)
        table = table.append_column(_TENANT, tenants)
    return table


def open_items(path: Path) -> pq.ParquetFile:
    """The file of a catalogue, or that in its folder. Raises CatalogueError when it is not there or
    not parquet."""
    path = path / "items.parquet" if path.is_dir() else path
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise CatalogueError(f"there is no catalogue at {path}") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise CatalogueError(f"{path} is not a readable parquet file: {error}") from error


def _one_array(column: pa.ChunkedArray) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column  # a value's chunk is looked for


def _numbers(column: pa.ChunkedArray, unknown: object, dtype: Any) -> npt.NDArray[Any]:
    filled = column.fill_null(pa.scalar(unknown, column.type))
    values: npt.NDArray[Any] = filled.to_numpy().astype(dtype)
    values.setflags(write=False)
    return values


def _encode(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Codes into the sorted distinct values, -1 for null."""
    values = sorted(pc.unique(column.drop_null()).to_pylist())
    found = pc.index_in(column, value_set=pa.array(values, pa.string()))
    return _numbers(found, -1, np.int32), values


def _first_repeated(item_ids: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(i for i in item_ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
