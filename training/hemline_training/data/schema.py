"""The one schema of imported data: items.parquet, users.parquet and events.parquet in a folder.

Whatever the source looked like, this is all that training and evaluation read. All three files are
always there, perhaps without a row; rows keep the source's order. `docs/data.md` says the same in a
table, with each format beside it. A column a source does not have is null throughout.

    folder = DataFolder(Path(".hemline/data/hm"))
    for batch in folder.events(columns=["user_id", "item_id", "occurred_ms"]): ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hemline.catalogue import ITEM_SCHEMA
from hemline.errors import DataError

ITEMS = pa.schema(
    [
        *ITEM_SCHEMA,
        pa.field("image_urls", pa.list_(pa.string())),  # http(s), best first
        # Columns of this row that the source did not give: ["title"] where the id stands in for it.
        pa.field("imputed", pa.list_(pa.string()), nullable=False),
    ]
)

USERS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("age", pa.int16()),  # years
        pa.field("age_group", pa.string()),  # one of ages.AGE_GROUPS
        pa.field("gender", pa.string()),  # female, male or other
        pa.field("city", pa.string()),
        pa.field("region", pa.string()),
        pa.field("postal_code", pa.string()),
        pa.field("attributes", pa.string()),  # whatever else is known: a JSON object of strings
        # Columns of this row that were completed or predicted, not given: ["age", "age_group"].
        pa.field("imputed", pa.list_(pa.string()), nullable=False),
    ]
)

EVENTS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),  # is in users.parquet
        pa.field("item_id", pa.string(), nullable=False),  # is in items.parquet
        pa.field("kind", pa.string(), nullable=False),  # a key of user_profile.EVENT_WEIGHT
        pa.field("weight", pa.float32(), nullable=False),  # that weight, unless the format knows
        pa.field("rating", pa.float32()),  # explicit, in the source's scale
        pa.field("quantity", pa.int32(), nullable=False),  # at least 1
        pa.field("price", pa.float32()),  # of one piece, in units of `currency`
        pa.field("currency", pa.string()),  # ISO 4217
        pa.field("occurred_ms", pa.int64()),  # Unix time in milliseconds, null where unknown
        pa.field("session_id", pa.string()),  # visit or basket
        pa.field("position", pa.int32()),  # place in a list that was shown, 1 for the first
        pa.field("propensity", pa.float32()),  # probability with which the log's policy showed it
        pa.field("size", pa.string()),  # of the piece, in the source's words
        pa.field("context", pa.string()),  # occasion or sales channel, in the source's words
        pa.field("split", pa.string()),  # train, valid or test, where the source gives a split
    ]
)

SCHEMAS: dict[str, pa.Schema] = {"items": ITEMS, "users": USERS, "events": EVENTS}

# In each file's metadata: a reader refuses what it does not know.
VERSION_KEY, VERSION = b"hemline.data.version", b"1"
REPORT_FILE = "report.json"


def file_schema(table: str) -> pa.Schema:
    """The schema of one of the files, its metadata included. Raises KeyError for another name."""
    return SCHEMAS[table].with_metadata({VERSION_KEY: VERSION})


@dataclass(frozen=True)
class DataFolder:
    """An imported folder, read in batches. Creating one reads nothing yet."""

    path: Path

    def items(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of items.parquet. Raises DataError as `batches` does."""
        return self.batches("items", columns)

    def users(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of users.parquet. Raises DataError as `batches` does."""
        return self.batches("users", columns)

    def events(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of events.parquet. Raises DataError as `batches` does."""
        return self.batches("events", columns)

    def rows(self, table: str) -> int:
        """How many rows a table has. Raises DataError as `batches` does."""
        return int(self._open(table).metadata.num_rows)

    def batches(
        self, table: str, columns: Sequence[str] | None = None, rows: int = 65_536
    ) -> Iterator[pa.RecordBatch]:
        """Record batches of at most `rows` rows, in file order, with all columns or those named.

        Raises DataError when the folder was not written by an import, or by another version of it.
        """
        file = self._open(table)
        yield from file.iter_batches(rows, columns=None if columns is None else list(columns))

    def _open(self, table: str) -> pq.ParquetFile:
        path = self.path / f"{table}.parquet"
        try:
            file = pq.ParquetFile(path)
        except FileNotFoundError as error:
            raise DataError(
                f"{self.path} is no imported data folder: it lacks {path.name}; "
                "`hemline data import` makes one"
            ) from error
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} is not a readable parquet file: {error}") from error
        found = (file.schema_arrow.metadata or {}).get(VERSION_KEY)
        if found != VERSION:
            written = "no import" if found is None else f"version {found.decode()} of the schema"
            raise DataError(f"{path} was written by {written}; import it again")
        return file
