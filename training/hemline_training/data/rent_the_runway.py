"""Rent the Runway: dated rentals with a rating, the occasion, and what the renter says of herself.

Reads the original JSON lines (fit, height and the rest under their spaced names) and tables cut out
of it (.parquet or .csv with underscores).
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from hemline.errors import DataError
from hemline_training.data.ages import age_of
from hemline_training.data.source import Reader
from hemline_training.data.tables import Tables
from hemline_training.data.values import UNREADABLE, Once, Unreadable, moment_ms, number, text

_BEST_RATING, _BEST_WEIGHT = 10.0, 5.0
_ABOUT_HER = ("body_type", "height", "weight", "bust_size")
_NAMES = ("rentals.parquet", "renttherunway_final_data.json", "renttherunway_final_data.json.gz")


def read_rent_the_runway(
    path: Path, tables: Tables, reader: Reader, _columns: dict[str, Any]
) -> None:
    """Rentals as purchases; weight is half the rating, or a purchase's where there is none.

    Raises DataError when the file or its ids are missing.
    """
    if path.is_dir():
        found = next((path / name for name in _NAMES if (path / name).is_file()), None)
        if found is None:
            raise DataError(f"{path} holds none of {', '.join(_NAMES)}")
        path = found
    is_new_item, is_new_user = Once(), Once()
    for raw in reader.rows(path, ("user_id", "item_id"), tables.events.report.bad):
        row = {name.replace(" ", "_"): value for name, value in raw.items()}
        moment = moment_ms(row.get("review_date"))
        if not _add_rental(row, moment, tables):
            continue
        user_id, item_id = text(row["user_id"]), text(row["item_id"])
        if is_new_item(item_id):
            tables.items.add({"item_id": item_id, "article_type": text(row.get("category"))})
        user = _user(row, moment, tables)
        if user and is_new_user(user_id):
            tables.add_user({"user_id": user_id, **user})


def _add_rental(row: dict[str, Any], moment: int | Unreadable | None, tables: Tables) -> bool:
    report = tables.events.report
    example = ", ".join(f"{k}={row.get(k)}" for k in ("user_id", "item_id", "rating"))
    rating = number(row.get("rating"))
    if moment is UNREADABLE:
        report.bad("review_date: no date", f"{example}, review_date={row['review_date']}")
        return False
    if rating is UNREADABLE or (rating is not None and not 0 <= rating <= _BEST_RATING):
        report.bad("rating: not a number from 0 to 10", example)
        return False
    event: dict[str, Any] = {
        "user_id": text(row.get("user_id")),
        "item_id": text(row.get("item_id")),
        "kind": "purchase",
        "occurred_ms": moment,
        "size": text(row.get("size")),
        "context": text(row.get("rented_for")),
    }
    if rating is None:
        report.count("noted", "rating: missing, the rental is kept without", example)
    else:
        event["rating"] = rating
        event["weight"] = rating * _BEST_WEIGHT / _BEST_RATING
    return tables.events.add(event)


def _user(row: dict[str, Any], moment: object, tables: Tables) -> dict[str, Any]:
    about = {name: said for name in _ABOUT_HER if (said := text(row.get(name))) is not None}
    user: dict[str, Any] = {"attributes": json.dumps(about)} if about else {}
    if text(row.get("age")) is None:
        return user
    on = datetime.fromtimestamp(moment / 1000, UTC).date() if isinstance(moment, int) else _TODAY
    age = age_of(row.get("age"), on)
    if age is UNREADABLE:
        reason, example = "age: no age, left unknown", f"{row.get('user_id')}: {row['age']}"
        tables.users.report.count("repaired", reason, example)
    elif age is not None:
        user["age"] = age
    return user


_TODAY = date(2018, 1, 1)  # the log's last days, for the age of one without a date
