"""Baskets: one a line, its items separated by commas. Nobody says who filled them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from hemline.errors import DataError
from hemline_training.data.source import Reader
from hemline_training.data.tables import Tables
from hemline_training.data.values import Once, known

_MAX_LINE_BYTES = 1 << 20
_COUNT_HEADER = "Item(s)"  # some copies begin each line with the number of its items


def read_baskets(path: Path, tables: Tables, reader: Reader, _columns: dict[str, Any]) -> None:
    """Purchases whose user and session are both the basket, "basket-17" for line 17.

    The name is the item's id, white space trimmed; an item twice in a basket has quantity 2. Raises
    DataError when the path is no file.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; baskets are one text file in it")
    tables.equal_events_are_quantity()
    report = tables.events.report
    is_new_item = Once()
    begins_with_count = False
    for number, line in reader.lines(path, report.bad, _MAX_LINE_BYTES):
        try:
            [fields] = csv.reader([line], strict=True)
        except (csv.Error, ValueError):
            report.bad("unreadable: broken quotes", f"line {number}: {line[:80]}")
            continue
        if number == 1 and fields[0].strip() == _COUNT_HEADER:
            begins_with_count = True
            report.count("noted", "a header, not a basket", line[:80])
            continue
        names = [name for field in fields[begins_with_count:] if (name := known(field))]
        if not names:
            report.bad("a basket without items", f"line {number}: {line[:80]}")
        if any(field != field.strip() for field in fields):
            report.count("repaired", "white space around an item's name", f"line {number}")
        for name in names:
            if is_new_item(name):
                tables.items.add({"item_id": name, "title": name})
            basket = f"basket-{number}"
            tables.events.add(
                {"user_id": basket, "item_id": name, "kind": "purchase", "session_id": basket}
            )
