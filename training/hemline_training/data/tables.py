"""The three tables of an import while it runs: rows in, checked; duplicates and gaps out.

A format's reader hands over one record after another, `tables.events.add({...})` or
`tables.events.report.bad(reason, example)`, and need not care for what is missing. `write` then
makes the files in a second pass over what was put down, so that nothing grows with the source but
files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemline_training.data.checks import check_event, check_item, check_user
from hemline_training.data.complete import UserCompletion
from hemline_training.data.report import DEFAULT_MAX_BAD_SHARE, TableReport
from hemline_training.data.schema import SCHEMAS, file_schema
from hemline_training.data.spool import Row, Spool

_STUB = "stub"  # a row made for an id that only events name
_REMEMBERED_IDS = 20_000
_ROWS_PER_GROUP, _BYTES_PER_GROUP = 65_536, 4 << 20
_WIDE = ("title", "description", "attributes", "image", "imputed", "image_urls")
_EVENT_KEY = tuple(n for n in SCHEMAS["events"].names if n not in ("quantity", "weight"))


class Table:
    """One of the tables. Every record is added, or counted as bad or left out in `report`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        key: tuple[str, ...],
        check: Callable[[Row, TableReport], str | None],
        max_bad_share: float,
    ) -> None:
        self.name = name
        self.report = TableReport(source=name, rows_are=name, max_bad_share=max_bad_share)
        self.duplicates = f"{key[0]} repeated: the first row counts"
        self.sums_quantities = False
        self.stubs = 0
        self._key = key
        self._check = check
        schema = SCHEMAS[name].append(pa.field(_STUB, pa.bool_()))
        self._spool = Spool(folder, name, schema)
        # Events are small by their checks; descriptions and pictures are not.
        self._size_of = _size if name != "events" else lambda _row: 100

    def add(self, row: Row) -> bool:
        """Takes a row of the table's columns, those missing being null; whether it was sound.

        An unsound row is counted by reason. Raises TooManyBadRowsError.
        """
        fault = self._check(row, self.report)
        if fault is not None:
            example = ", ".join(f"{k}={str(v)[:30]}" for k, v in row.items() if v is not None)
            self.report.bad(fault, example)
            return False
        self.report.rows_in += 1
        self._spool.add(row, [row.get(name) for name in self._key], self._size_of(row))
        return True

    def add_stub(self, row: Row) -> None:
        """Takes a row that stands for an id alone; it gives way to a real one of the same key."""
        self.stubs += 1
        self._spool.add({**row, _STUB: True}, [row.get(name) for name in self._key])

    def settled(self) -> Iterator[pa.RecordBatch]:
        """The rows without repetitions, in order; counts those, and raises TooManyBadRowsError."""
        self.report.check()
        real = self._spool.count - self.stubs
        self._spool.settle(self.sums_quantities)
        added = 0
        for batch, counts in self._spool.batches():
            added += pc.sum(batch[_STUB]).as_py() or 0
            if self.sums_quantities:
                place = batch.schema.get_field_index("quantity")
                batch = batch.set_column(place, batch.schema.field(place), pa.array(counts))
            self.report.rows_out += batch.num_rows
            yield batch
        if merged := real - (self.report.rows_out - added):
            self.report.count("merged", self.duplicates, times=merged)
        if added:
            self.report.count("added", "known from events alone", times=added)


class Tables:
    """Items, users and events of one import, put down under a temporary folder."""

    def __init__(self, folder: Path, max_bad_share: float = DEFAULT_MAX_BAD_SHARE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder  # temporary: for what a reader has to put down on the way
        self.items = Table("items", folder, ("item_id",), check_item, max_bad_share)
        self.users = Table("users", folder, ("user_id",), check_user, max_bad_share)
        self.events = Table("events", folder, _EVENT_KEY, check_event, max_bad_share)
        self.events.duplicates = "the same event again"
        self._completion = UserCompletion(self.users.report)

    def add_user(self, row: Row) -> bool:
        """`users.add`, and what the row says about ages and places is learnt from it."""
        sound = self.users.add(row)
        if sound:
            self._completion.learn(row)
        return sound

    def equal_events_are_quantity(self) -> None:
        """For a source without a quantity: equal events are one with their number."""
        self.events.duplicates = "equal events: one row with their number as quantity"
        self.events.sums_quantities = True

    def write(self, folder: Path) -> None:
        """Writes the three files into `folder`. Raises TooManyBadRowsError before the first."""
        for table in (self.items, self.users, self.events):
            table.report.check()
        has_catalogue = self.items.report.rows_in > 0
        users, items = _Ids(self.users), _Ids(self.items)
        with _Writer(folder, "events") as writer:
            for batch in self.events.settled():
                users.add([{"user_id": i, "imputed": []} for i in users.new(batch["user_id"])])
                items.add([_bare_item(i, not has_catalogue) for i in items.new(batch["item_id"])])
                writer.write(batch.drop_columns(_STUB))
        with _Writer(folder, "users") as writer:
            for batch in self.users.settled():
                batch = batch.drop_columns(_STUB)
                if self._completion.has_learnt:
                    rows = batch.to_pylist()
                    self._completion.complete(rows)
                    batch = pa.RecordBatch.from_pylist(rows, batch.schema)
                writer.write(batch)
        with _Writer(folder, "items") as writer:
            for batch in self.items.settled():
                writer.write(batch.drop_columns(_STUB))


class _Ids:
    """Ids of a table that events name, each handed on at least once and seldom twice."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._seen: set[str] = set()

    def new(self, column: pa.Array) -> list[str]:
        found = [i for i in pc.unique(column).to_pylist() if i not in self._seen]
        if len(self._seen) > _REMEMBERED_IDS:  # the spool finds the repetitions; this saves it work
            self._seen.clear()
        self._seen.update(found)
        return found

    def add(self, rows: list[Row]) -> None:
        for row in rows:
            self._table.add_stub(row)


def _bare_item(item_id: str, in_stock: bool) -> Row:
    return {
        "item_id": item_id,
        "title": item_id,
        "variant_group": item_id,
        "in_stock": in_stock,
        "imputed": ["title"],
    }


def _size(row: Row) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, str | bytes))


class _Writer:
    """One of the files, in row groups of a size that reads fast and is held in memory once."""

    def __init__(self, folder: Path, name: str) -> None:
        self._schema = file_schema(name)
        # These make useless dictionaries and statistics, and cost memory.
        plain = [n for n in self._schema.names if n not in _WIDE]
        self._file = pq.ParquetWriter(
            folder / f"{name}.parquet",
            self._schema,
            compression="zstd",
            use_dictionary=plain,
            write_statistics=plain,
        )
        self._waiting: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        rows = sum(b.num_rows for b in self._waiting)
        if rows >= _ROWS_PER_GROUP or sum(b.nbytes for b in self._waiting) >= _BYTES_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.Table.from_batches(self._waiting).cast(self._schema))
            self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self._flush()
        self._file.close()
