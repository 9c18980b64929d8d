"""Reading a column map: which column of a table of one's own is what.

    {"events": {"file": "log.csv",
                "columns": {"user_id": "customer", "item_id": "sku", "occurred_ms": "when",
                            "kind": {"column": "action", "values": {"addtocart": "bag"}}}},
     "items": {"file": "products.csv", "columns": {"item_id": "sku", "title": "name"}}}

Tables may be any of items, users and events; `file` is needed when PATH is a folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hemline.errors import DataError, InvalidInputError


def read_column_map(path: Path) -> dict[str, Any]:
    """The map as plain data. Raises DataError when there is no JSON object in the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInputError("--map", f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInputError("--map", f"{path} is no JSON object")
    return found
