"""What a training run learned from, as an imported folder: its catalogue, its log, its vectors.

A simulated log lies beside the releases of its home and names items of the catalogue alone. As a
folder of items, users and events, with `content.npy` beside them, every recommender can be compared
on it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hemline.errors import DataError
from hemline.releases import Release
from hemline.user_profile import EVENT_WEIGHT
from hemline_training.data.schema import SCHEMAS, file_schema

CONTENT = "content.npy"  # float32 (items, d), unit norm, rows as in items.parquet


def write_trained_log(release: Release, log: Path, out: Path) -> int:
    """Write items, users, events and content.npy into `out`; returns how many events.

    log: parquet of user_id, item_id, kind, occurred_ms. Events on items the release does not have
    are left out. Raises DataError for a log without these columns, or of an unknown kind.
    """
    found = pq.read_table(log)
    missing = {"user_id", "item_id", "kind", "occurred_ms"} - set(found.column_names)
    if missing:
        raise DataError(f"{log} lacks the columns {', '.join(sorted(missing))}")
    strange = set(found["kind"].unique().to_pylist()) - set(EVENT_WEIGHT)
    if strange:
        raise DataError(f"{log}: kind {min(strange)!r} is none of {', '.join(EVENT_WEIGHT)}")
    known = pa.array(release.catalogue.item_ids, pa.string())
    events = found.filter(pa.compute.is_in(found["item_id"].cast(pa.string()), known))
    weights = pa.array([EVENT_WEIGHT[kind] for kind in events["kind"].to_pylist()])
    columns = {name: events[name] for name in ("user_id", "item_id", "kind", "occurred_ms")}
    out.mkdir(parents=True, exist_ok=True)
    _write(out, "events", {**columns, "weight": weights, "quantity": pa.repeat(1, len(events))})
    _write(out, "users", {"user_id": events["user_id"].unique()})
    items = pq.read_table(release.folder / "items.parquet")
    _write(out, "items", {name: items[name] for name in items.column_names})
    np.save(out / CONTENT, release.item_content, allow_pickle=False)
    return len(events)


def _write(folder: Path, name: str, given: dict[str, pa.Array | pa.ChunkedArray]) -> None:
    """One file of the schema; columns that are not given are empty."""
    count = len(next(iter(given.values())))
    columns = []
    for field in SCHEMAS[name]:
        values = given.get(field.name)
        if values is None and pa.types.is_list(field.type):
            values = pa.array([[]] * count, field.type)
        columns.append(pa.nulls(count, field.type) if values is None else values.cast(field.type))
    table = pa.table(columns, schema=SCHEMAS[name]).cast(file_schema(name))
    pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
