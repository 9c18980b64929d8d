"""From what a foreign column holds to what the column of the schema holds, column by column."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from hemline.catalogue import ATTRIBUTES
from hemline.user_profile import EVENT_WEIGHT
from hemline_training.data.ages import age_of
from hemline_training.data.markup import plain_text
from hemline_training.data.prices import dated_prices, price, price_at
from hemline_training.data.report import TableReport
from hemline_training.data.spool import Row
from hemline_training.data.values import (
    UNREADABLE,
    gender_of,
    identity,
    listed,
    moment_ms,
    number,
    text,
)

_FALSE = {"0", "false", "no", "n", "out of stock", "sold out", "unavailable"}
_TRUE = {"1", "true", "yes", "y", "in stock", "available"}

# Without these, unreadable, a row says nothing; any other column is left unknown instead.
_NEEDED = {"item_id", "user_id", "kind", "occurred_ms", "rating", "weight", "quantity"}


def item_fields(raw: Mapping[str, Any], report: TableReport) -> Row | None:
    """A row of items from values under the schema's names; None when it was counted as bad."""
    row = _converted(raw, _ITEM, report)
    return None if row is None else _with_price(row, raw, report)


def user_fields(raw: Mapping[str, Any], report: TableReport) -> Row | None:
    """As `item_fields`; `attributes` is a mapping of names to values."""
    return _converted(raw, _USER, report)


def event_fields(raw: Mapping[str, Any], report: TableReport) -> Row | None:
    """As `item_fields`; a list of dated prices gives the one of the event's time."""
    row = _converted(raw, _EVENT, report)
    return None if row is None else _with_price(row, raw, report)


def web_addresses(value: Any) -> list[str]:
    """The http(s) addresses in a field: one, a list, or a text that holds some; each once."""
    found = []
    for element in listed(value):
        inner = element.values() if isinstance(element, dict) else [element]
        for address in inner if not isinstance(element, list) else element:
            address = str(address).strip()
            address = f"https:{address}" if address.startswith("//") else address
            if address.lower().startswith(("http://", "https://")) and " " not in address:
                found.append(address)
    return list(dict.fromkeys(found))


def _converted(
    raw: Mapping[str, Any], by: Mapping[str, Callable[[Any], Any]], report: TableReport
) -> Row | None:
    row: Row = {}
    for name, convert in by.items():
        if (value := raw.get(name)) is None:
            continue
        found = convert(value)
        if found is UNREADABLE:
            if name in _NEEDED:
                report.bad(f"{name}: cannot be read", f"{name}={str(value)[:60]}")
                return None
            report.count("repaired", f"{name}: cannot be read, left unknown", str(value))
        elif found is not None and found != []:
            row[name] = found
    return row


def _with_price(row: Row, raw: Mapping[str, Any], report: TableReport) -> Row:
    value, currency = raw.get("price"), text(raw.get("currency"))
    if value is None:
        return row
    if isinstance(value, list | dict) or str(value).lstrip()[:1] in ("[", "{"):
        dated = dated_prices(value, currency)
        found = UNREADABLE if dated is UNREADABLE else price_at(dated, row.get("occurred_ms"))
    else:
        found = price(value, currency)
    if found is UNREADABLE:
        report.count("repaired", "price: cannot be read, left unknown", str(value))
    elif found is not None:
        row["price"], row["currency"] = found.amount, found.currency
    return row


def _description(value: Any) -> str | None:
    found = plain_text(str(value))
    return text(found)


def _whole(value: Any) -> Any:
    found = number(value)
    return int(found) if isinstance(found, float) and abs(found) < 2**31 else found


def _stock(value: Any) -> Any:
    found = (text(value) or "").casefold()
    return found not in _FALSE if found in _FALSE | _TRUE else UNREADABLE if found else None


def _kind(value: Any) -> Any:
    found = (text(value) or "").casefold()
    return found if found in EVENT_WEIGHT else UNREADABLE


def _attributes(value: Any) -> str | None:
    said = {k: t for k, v in value.items() if (t := text(v)) is not None}
    return json.dumps(said, ensure_ascii=False) if said else None


def _age(value: Any) -> Any:
    return age_of(value, date.today())


def _split(value: Any) -> Any:
    found = (text(value) or "").casefold()
    return found if found in ("train", "valid", "test") else UNREADABLE


_ITEM: dict[str, Callable[[Any], Any]] = {
    "item_id": identity,
    "title": lambda value: text(plain_text(str(value))),
    "description": _description,
    **dict.fromkeys((*ATTRIBUTES, "variant_group"), text),
    "year": _whole,
    "in_stock": _stock,
    "image_urls": web_addresses,
}
_USER: dict[str, Callable[[Any], Any]] = {
    "user_id": identity,
    "age": _age,
    "gender": gender_of,
    "city": text,
    "region": text,
    "postal_code": text,
    "attributes": _attributes,
}
_EVENT: dict[str, Callable[[Any], Any]] = {
    "user_id": identity,
    "item_id": identity,
    "kind": _kind,
    "weight": number,
    "rating": number,
    "quantity": _whole,
    "occurred_ms": moment_ms,
    "session_id": identity,
    "position": _whole,
    "propensity": number,
    "size": text,
    "context": text,
    "split": _split,
}
COLUMNS = {
    "items": (*_ITEM, "price", "currency"),
    "users": tuple(_USER),
    "events": (*_EVENT, "price", "currency"),
}
