"""A column map: which column of a table of one's own is what.

    {"events": {"file": "log.csv",
                "columns": {"user_id": "customer", "item_id": "sku", "occurred_ms": "when",
                            "kind": {"column": "action", "values": {"addtocart": "bag"},
                                     "other": "skip"}}},
     "items": {"file": "products.csv", "columns": {"item_id": "sku", "title": "name"}}}

A column is a name, a list of names (joined by ":", their digest where that is too long for an id;
for `attributes` each by its name),
{"constant": value}, or {"column": …, "values": {from: to}} whose "other" says what becomes of a
value that is not listed: "keep" (the default), "skip" the row, or count it as "bad".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hemline.errors import DataError, InvalidInputError
from hemline_training.data.checks import MAX_ID_CHARACTERS
from hemline_training.data.convert import COLUMNS
from hemline_training.data.values import text

_NEEDED = {"items": ("item_id",), "users": ("user_id",), "events": ("user_id", "item_id")}


class Unlisted(Enum):
    """What becomes of a row whose value a map's "values" does not list."""

    KEEP = "keep"
    SKIP = "skip"
    BAD = "bad"


@dataclass(frozen=True)
class Column:
    """Where one column of the schema comes from."""

    names: tuple[str, ...] = ()
    constant: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
    other: Unlisted = Unlisted.KEEP
    as_mapping: bool = False

    def of(self, row: Mapping[str, Any]) -> Any:
        """The value for a row of the source; Unlisted.SKIP or .BAD where the map says so."""
        if not self.names:
            return self.constant
        if self.as_mapping:
            return {name: row.get(name) for name in self.names}
        if len(self.names) == 1:
            value = row.get(self.names[0])
        else:
            parts = [text(row.get(name)) for name in self.names]
            value = ":".join(part or "" for part in parts) if any(parts) else None
            if value is not None and len(value) > MAX_ID_CHARACTERS:
                value = hashlib.blake2b(value.encode(), digest_size=16).hexdigest()
        if not self.values:
            return value
        found = text(value)
        if found is not None and found in self.values:
            return self.values[found]
        return value if self.other is Unlisted.KEEP else self.other


@dataclass(frozen=True)
class TableMap:
    """The columns of one of the three tables, and the file they are in (None: PATH itself)."""

    file: str | None
    columns: Mapping[str, Column]

    @property
    def foreign_names(self) -> tuple[str, ...]:
        """The columns the file must have."""
        return tuple(dict.fromkeys(n for c in self.columns.values() for n in c.names))


def read_column_map(path: Path) -> dict[str, Any]:
    """The map as plain data. Raises DataError or InvalidInputError when there is no JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInputError("--map", f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInputError("--map", f"{path} is no JSON object")
    return found


def table_maps(given: Mapping[str, Any]) -> dict[str, TableMap]:
    """The maps by table. Raises InvalidInputError naming the place in the map that is wrong."""
    maps = {}
    for table, entry in given.items():
        if table not in COLUMNS:
            raise _wrong(table, f"is none of {', '.join(COLUMNS)}")
        if not isinstance(entry, dict) or not isinstance(entry.get("columns"), dict):
            raise _wrong(table, 'wants {"file": …, "columns": {…}}')
        columns = {}
        for name, source in entry["columns"].items():
            if name not in COLUMNS[table]:
                raise _wrong(f"{table}.columns.{name}", f"is none of {', '.join(COLUMNS[table])}")
            columns[name] = _column(source, f"{table}.columns.{name}", name == "attributes")
        if missing := [name for name in _NEEDED[table] if name not in columns]:
            raise _wrong(f"{table}.columns", f"lacks {', '.join(missing)}")
        maps[table] = TableMap(entry.get("file"), columns)
    return maps


def _column(source: Any, where: str, as_mapping: bool) -> Column:
    if isinstance(source, dict) and "constant" in source:
        return Column(constant=source["constant"])
    values: Any = {}
    other = Unlisted.KEEP
    if isinstance(source, dict):
        values = source.get("values", {})
        if not isinstance(values, dict):
            raise _wrong(f"{where}.values", "wants {from: to}")
        try:
            other = Unlisted(source.get("other", "keep"))
        except ValueError:
            raise _wrong(f"{where}.other", "is none of keep, skip, bad") from None
        source = source.get("column")
    names = [source] if isinstance(source, str) else source
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise _wrong(where, 'wants a column, a list of columns, {"column": …} or {"constant": …}')
    return Column(tuple(names), None, values, other, as_mapping)


def _wrong(where: str, what: str) -> InvalidInputError:
    return InvalidInputError(f"--map {where}", what)
