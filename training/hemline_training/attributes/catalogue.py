"""Fills the missing attributes of an imported catalogue, and notes how sure each value is.

    hemline catalog fill .hemline/catalogue

Beside items.parquet it leaves filled_attributes.parquet: one row a filled value, so that what the
shop said and what was read off a photo can always be told apart, and taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hemline.catalogue import Catalogue
from hemline_training.attributes.fill import AttributeFiller, Filled, missing
from hemline_training.attributes.labels import HEADS
from hemline_training.catalogue.items_file import write_atomically

FILLED_FILE = "filled_attributes.parquet"
FILLED_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("attribute", pa.string(), nullable=False),  # one of labels.HEADS
        pa.field("value", pa.string(), nullable=False),
        pa.field("confidence", pa.float32(), nullable=False),  # a probability, 0..1
    ]
)


@dataclass(frozen=True)
class FillReport:
    """Values that were missing, filled, and left unknown for want of confidence, by attribute."""

    items: int
    missing: dict[str, int]
    filled: dict[str, int]

    @property
    def unsure(self) -> dict[str, int]:
        return {head: self.missing[head] - self.filled[head] for head in HEADS}

    def to_json(self) -> dict[str, object]:
        return {"items": self.items, "missing": self.missing, "filled": self.filled}

    def to_text(self) -> str:
        lines = [
            f"{head:16} missing {self.missing[head]:8,}  filled {self.filled[head]:8,}"
            for head in HEADS
        ]
        lines.append(f"{self.items:,} items; each filled value's confidence: {FILLED_FILE}")
        return "\n".join(lines) + "\n"


def fill_catalogue(folder: Path, filler: AttributeFiller) -> FillReport:
    """Fill folder/items.parquet and write FILLED_FILE beside it; each is replaced in one step.

    Every other column stays as it is. A second run adds its rows to those of the first. Memory is
    bounded by a row group. Raises CatalogueError when there is no readable catalogue.
    """
    Catalogue.load(folder)  # refuses a broken one before anything is written
    source, notes_path = folder / "items.parquet", folder / FILLED_FILE
    lacking: Counter[str] = Counter()
    notes: list[dict[str, object]] = []
    if notes_path.is_file():
        notes = pq.read_table(notes_path).to_pylist()
    found: Counter[str] = Counter()
    file = pq.ParquetFile(source)
    with write_atomically(source) as temporary:
        with pq.ParquetWriter(temporary, file.schema_arrow, compression="zstd") as writer:
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                items = list(Catalogue.from_table(group).items())
                filled = filler.fill_missing(items, group["image"].to_pylist())
                for item, answer in zip(items, filled, strict=True):
                    lacking.update(missing(item))
                    found.update(list(answer.confidence))
                    notes += _notes(answer)
                writer.write_table(_with_values(group, filled))
        # The notes first: a value without a note would pass for the shop's own.
        with write_atomically(notes_path) as beside:
            pq.write_table(pa.Table.from_pylist(notes, schema=FILLED_SCHEMA), beside)
    return FillReport(
        file.metadata.num_rows, {h: lacking[h] for h in HEADS}, {h: found[h] for h in HEADS}
    )


def _with_values(group: pa.Table, filled: Sequence[Filled]) -> pa.Table:
    for head in HEADS:
        values = pa.array([getattr(answer.item, head) for answer in filled], pa.string())
        column = group.schema.get_field_index(head)
        group = group.set_column(column, group.schema.field(column), values)
    column = group.schema.get_field_index("imputed")  # of imported data
    if column >= 0:
        imputed = [
            [*(given or []), *answer.confidence]
            for given, answer in zip(group["imputed"].to_pylist(), filled, strict=True)
        ]
        field = group.schema.field(column)
        group = group.set_column(column, field, pa.array(imputed, field.type))
    return group


def _notes(answer: Filled) -> list[dict[str, object]]:
    return [
        {
            "item_id": answer.item.item_id,
            "attribute": head,
            "value": getattr(answer.item, head),
            "confidence": sure,
        }
        for head, sure in answer.confidence.items()
    ]
