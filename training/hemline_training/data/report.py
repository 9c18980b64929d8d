"""What became of every record of an import, by table, and when too many are bad."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemline.errors import DataError
from hemline_training.catalogue.report import ImportReport

DEFAULT_MAX_BAD_SHARE = 0.2
_EARLIEST_STOP = 10_000  # records of a table before a run is stopped in the middle


class TooManyBadRowsError(DataError):
    """More than the set share of a table's records could not be used."""


@dataclass
class TableReport(ImportReport):
    """The records of one table; each is added, refused as bad, or left out on purpose, once.

    `bad` alone counts towards `max_bad_share`: a duplicate or an item nobody may recommend is no
    sign of a wrong file.
    """

    max_bad_share: float = DEFAULT_MAX_BAD_SHARE
    bad_rows: int = 0

    def bad(self, reason: str, example: str = "") -> None:
        """Counts a record that cannot be used.

        Raises TooManyBadRowsError once they are too many, after the first records of a file.
        """
        self.rows_in += 1
        self.bad_rows += 1
        self.count("dropped", reason, example)
        if self.rows_in >= _EARLIEST_STOP:
            self.check()

    def leave_out(self, reason: str, example: str = "") -> None:
        """Counts a record that is sound and not wanted."""
        self.rows_in += 1
        self.count("dropped", reason, example)

    def check(self) -> None:
        """Raises TooManyBadRowsError when more than one row, and more than the share, are bad."""
        if self.bad_rows <= 1 or self.bad_rows <= self.max_bad_share * self.rows_in:
            return
        reasons = {n: r for n, r in self.reasons.items() if r.kind == "dropped"}
        worst = max(reasons, key=lambda name: reasons[name].count)
        examples = "; ".join(reasons[worst].examples[:2])
        raise TooManyBadRowsError(
            f"{self.source}: {self.bad_rows:,} of {self.rows_in:,} records are bad, more than the "
            f"share of {self.max_bad_share:g} allowed (--max-bad-share); most often: {worst}"
            + (f" (for example {examples})" if examples else "")
        )


@dataclass
class DataReport:
    """The reports of one import's tables, and what it wrote where."""

    format: str
    source: str
    tables: dict[str, TableReport]
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the counts of each table under its name."""
        tables = {name: table.to_json() for name, table in self.tables.items()}
        return {
            "format": self.format,
            "source": self.source,
            "rows": {name: table.rows_out for name, table in self.tables.items()},
            "tables": tables,
            "files": self.files,
        }

    def to_text(self) -> str:
        """A table for people for each of the three that has anything to say."""
        said = [t.to_text() for t in self.tables.values() if t.rows_in or t.rows_out]
        files = [f"  wrote {name}: {path}\n" for name, path in self.files.items()]
        return "\n".join(said) + "".join(files)

    def write(self, path: Path) -> None:
        """Writes `to_json()` to `path`."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
