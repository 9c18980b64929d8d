"""What makes a row unfit for its table, and the gaps that have one right filling."""

from __future__ import annotations

import math
from typing import Any

from hemline.user_profile import EVENT_WEIGHT
from hemline_training.data.ages import OLDEST, YOUNGEST, age_group
from hemline_training.data.report import TableReport
from hemline_training.data.spool import Row

MAX_ID_CHARACTERS = 128
MAX_TEXT_CHARACTERS = 32 * 1024
_MAX_INT32 = 2**31 - 1


def check_item(row: Row, report: TableReport) -> str | None:
    """Why the row is no item, else None; fills in title, variant_group, in_stock and imputed."""
    if fault := _id_fault(row.get("item_id"), "item_id"):
        return fault
    row.setdefault("imputed", [])
    if not row.get("title"):
        row["title"] = row["item_id"]
        row["imputed"] = [*row["imputed"], "title"]
        report.count("imputed", "title: none, the item_id stands in", row["item_id"])
    row["variant_group"] = row.get("variant_group") or row["item_id"]
    row["in_stock"] = row.get("in_stock") is not False
    if (year := row.get("year")) is not None and not 1900 <= year <= 2100:
        report.count("repaired", "year: out of range, left unknown", f"{row['item_id']}: {year}")
        row["year"] = None
    _shorten(row, "title", report)
    _shorten(row, "description", report)
    return _price_fault(row)


def check_user(row: Row, _report: TableReport) -> str | None:
    """Why the row is no user, else None; fills in age_group and imputed."""
    row.setdefault("imputed", [])
    age = row.get("age")
    if age is not None:
        if not YOUNGEST <= age <= OLDEST:
            return f"age not from {YOUNGEST} to {OLDEST}"
        row["age_group"] = age_group(age)
    return _id_fault(row.get("user_id"), "user_id")


def check_event(row: Row, _report: TableReport) -> str | None:
    """Why the row is no event, else None; fills in kind, weight and quantity."""
    if fault := _id_fault(row.get("user_id"), "user_id"):
        return fault
    if fault := _id_fault(row.get("item_id"), "item_id"):
        return fault
    kind = row.setdefault("kind", "click")
    if kind not in EVENT_WEIGHT:
        return f"kind is none of {', '.join(EVENT_WEIGHT)}"
    row.setdefault("weight", EVENT_WEIGHT[kind])
    if not 0 < row.setdefault("quantity", 1) <= _MAX_INT32:
        return "quantity is not a number above 0"
    if not _is_finite(row.get("weight")) or not _is_finite(row.get("rating")):
        return "weight or rating is not finite"
    if (position := row.get("position")) is not None and not 0 < position <= _MAX_INT32:
        return "position is not a number above 0"
    if (share := row.get("propensity")) is not None and not 0 < share <= 1:
        return "propensity is not above 0 and at most 1"
    for name in ("session_id", "size", "context"):
        if row.get(name) and len(row[name]) > MAX_ID_CHARACTERS:
            return f"{name} is longer than {MAX_ID_CHARACTERS} characters"
    return _price_fault(row)


def _id_fault(value: Any, name: str) -> str | None:
    if value is None or value == "":
        return f"no {name}"
    if len(value) > MAX_ID_CHARACTERS:
        return f"{name} is longer than {MAX_ID_CHARACTERS} characters"
    return None


def _price_fault(row: Row) -> str | None:
    price = row.get("price")
    return None if price is None or 0 <= price < 1e9 else "price is negative or out of range"


def _is_finite(value: float | None) -> bool:
    return value is None or (math.isfinite(value) and abs(value) < 1e9)


def _shorten(row: Row, name: str, report: TableReport) -> None:
    value = row.get(name)
    if value is not None and len(value) > MAX_TEXT_CHARACTERS:
        row[name] = value[:MAX_TEXT_CHARACTERS]
        reason = f"{name}: cut to {MAX_TEXT_CHARACTERS} characters"
        report.count("repaired", reason, row["item_id"])
