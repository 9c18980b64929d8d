"""An import run in a test, and its tables as plain rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hemline_training.data.import_data import import_data
from hemline_training.data.report import DataReport

Rows = list[dict[str, Any]]


class Imported:
    """The folder an import wrote, its report, and its rows without columns that are null."""

    def __init__(self, report: DataReport, folder: Path) -> None:
        self.report = report
        self.folder = folder
        self.items = _rows(folder / "items.parquet")
        self.users = _rows(folder / "users.parquet")
        self.events = _rows(folder / "events.parquet")

    def counts(self, table: str, kind: str) -> dict[str, int]:
        reasons = self.report.tables[table].reasons
        return {name: r.count for name, r in reasons.items() if r.kind == kind}


def imported(format: str, source: Path, out: Path, **options: Any) -> Imported:
    """Imports, checking on the way that every record is accounted for."""
    report = import_data(format, source, out, progress=False, **options)
    for table in report.tables.values():
        by_kind = {"added": 0, "merged": 0, "dropped": 0}
        for reason in table.reasons.values():
            if reason.kind in by_kind:
                by_kind[reason.kind] += reason.count
        gone = by_kind["dropped"] + by_kind["merged"]
        assert table.rows_in + by_kind["added"] - gone == table.rows_out, table.to_text()
    return Imported(report, out)


def _rows(path: Path) -> Rows:
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in pq.read_table(path).to_pylist()
    ]
