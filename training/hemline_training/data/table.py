"""Tables of one's own, .csv, .jsonl or .parquet, by a column map (`column_map`).

Without a map the columns must bear the schema's names, and the files those of the tables:
items.csv, users.csv, events.csv in a folder, or one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hemline.errors import DataError
from hemline_training.data.column_map import Column, TableMap, Unlisted, table_maps
from hemline_training.data.convert import COLUMNS, event_fields, item_fields, user_fields
from hemline_training.data.report import TableReport
from hemline_training.data.source import Reader, one_of
from hemline_training.data.spool import Row
from hemline_training.data.tables import Tables

_ENDINGS = (".parquet", ".csv", ".jsonl", ".json", ".tsv")


def read_table(path: Path, tables: Tables, reader: Reader, columns: dict[str, Any]) -> None:
    """As many of the three tables as the map, or the folder, has.

    Raises DataError for a missing file or column, InvalidInputError for a wrong map.
    """
    maps = table_maps(columns) if columns else _own_names(path)
    read_mapped(path, tables, reader, maps)


def read_mapped(path: Path, tables: Tables, reader: Reader, maps: Mapping[str, TableMap]) -> None:
    """Reads the tables that `maps` describes. Raises DataError as `read_table` does."""
    ways: dict[str, tuple[Callable[[Mapping[str, Any], TableReport], Row | None], Any]] = {
        "items": (item_fields, tables.items),
        "users": (user_fields, tables.users),
        "events": (event_fields, tables.events),
    }
    for name, mapped in maps.items():
        fields_of, table = ways[name]
        add = tables.add_user if name == "users" else table.add
        file = path / mapped.file if path.is_dir() and mapped.file else path
        if not file.is_file():
            raise DataError(f"{file} is no file; name one for {name} in the map")
        for raw in reader.rows(file, mapped.foreign_names, table.report.bad):
            row = _mapped(raw, mapped, table.report)
            if row is not None and (fields := fields_of(row, table.report)) is not None:
                add(fields)


def _mapped(raw: Mapping[str, Any], mapped: TableMap, report: TableReport) -> Row | None:
    row = {name: column.of(raw) for name, column in mapped.columns.items()}
    for name, value in row.items():
        if value is Unlisted.BAD or value is Unlisted.SKIP:
            example = ", ".join(f"{n}={raw.get(n)}" for n in mapped.columns[name].names)
            if value is Unlisted.BAD:
                report.bad(f"{name}: a value the map does not list", example)
            else:
                report.leave_out(f"{name}: a value the map skips", example)
            return None
    return row


def _own_names(path: Path) -> dict[str, TableMap]:
    if path.is_file():
        names = {path.name.split(".")[0]: path}
    else:
        found = {table: one_of(path, [table + end for end in _ENDINGS]) for table in COLUMNS}
        names = {table: file for table, file in found.items() if file is not None}
    maps = {
        table: TableMap(file.name, {c: Column((c,)) for c in _named_in(file, table)})
        for table, file in names.items()
        if table in COLUMNS
    }
    if not maps:
        raise DataError(
            f"{path}: give a column map (--map FILE), or name the files items, users and events"
        )
    return maps


def _named_in(file: Path, table: str) -> list[str]:
    """The schema's columns that the file has."""
    first = next(iter(Reader(progress=False).rows(file, (), lambda _why, _what: None)), {})
    needed = ["item_id"] if table == "items" else ["user_id"]
    needed += ["item_id"] if table == "events" else []
    if missing := [name for name in needed if name not in first]:
        raise DataError(f"{file} lacks the column(s) {', '.join(missing)}; a map says what is what")
    return [name for name in COLUMNS[table] if name in first]
