"""Raw logs of a web shop: an event name and a button name tell what was done, some column to what.

    {"file": "log.csv",
     "user": ["user_id", "anonymous_id"], "time": "created_at", "session": "session_id",
     "event": "event_name", "button": "button_name",
     "products": ["product_ids", "url"], "pattern": "/p/(\\\\d+)",
     "price": "prices", "rules": [{"match": "quick look", "kind": "view", "weight": 0.5}],
     "items": {"file": "products.jsonl", "columns": {"item_id": "_id", "title": "name"}}}

is the map with everything in it; each key has a default that fits many logs. A rule's "match" is a
regular expression over "event name, button name" in lower case, with words apart; the first that
matches decides. One record with three products is three events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemline.errors import DataError, InvalidInputError
from hemline.user_profile import EVENT_WEIGHT
from hemline_training.data.column_map import table_maps
from hemline_training.data.convert import event_fields
from hemline_training.data.source import Reader, one_of
from hemline_training.data.table import read_mapped
from hemline_training.data.tables import Tables
from hemline_training.data.values import identity, listed, text

_DEFAULT_COLUMNS = {
    "user": ["user_id", "userId", "customer_id", "client_id", "anonymous_id", "session_id"],
    "time": ["timestamp", "event_time", "created_at", "time", "date", "ts"],
    "session": ["session_id", "sessionId", "visit_id"],
    "event": ["event_name", "event", "event_type", "type", "action"],
    "button": ["button_name", "button", "element", "label", "target"],
    "products": [
        *("product_ids", "product_id", "productId", "item_id", "sku", "products", "items"),
        *("url", "page_url", "page"),
    ],
    "price": ["prices", "price"],
}
# From the most to the least specific; None: it takes back or is not about a product.
_DEFAULT_RULES: tuple[tuple[str, str | None], ...] = (
    (r"\b(remove|delete|clear|undo|refund|return|cancel)", None),
    (r"\b(dislike|not interested|hide|unlike|un ?favou?rite)", "dislike"),
    (r"\badd(ed)? (item |product )?to (cart|bag|basket)|\bto (cart|bag|basket)\b", "bag"),
    (r"\b(wish|favou?rite|(like|heart|save)[ds]?\b)", "wish"),
    (
        r"\b(purchase|order (placed|completed?|confirmed)|transaction|payment success|bought)",
        "purchase",
    ),
    (r"\b(checkout|cart|bag|basket)\b", "bag"),
    (r"\b(login|log in|sign ?up|search|filter|sort|scroll|menu|newsletter)", None),
    (r"\b(click|tap|press|select|open|zoom)(s|ed)?\b", "click"),
    (r"\b(view|visit|impression|page|detail|show|seen)(s|ed)?\b", "view"),
)
_PATTERN = re.compile(
    r"(?:/(?:products?|p|items?|dp|sku)/|\b(?:product|item|sku|pid)(?:[ _-]?id)?\s*[=:#/]\s*)"
    r"['\"]?([A-Za-z0-9][\w-]*)",
    re.IGNORECASE,
)
_PLAIN_ID = re.compile(r"[\w.:-]{1,64}")
_ID_KEYS = ("_id", "id", "product_id", "productId", "item_id", "sku")
_NAMES = ("log.csv", "log.jsonl", "log.parquet", "events.csv", "events.jsonl", "events.parquet")


@dataclass(frozen=True)
class Rule:
    """What an event that matches means; kind None: it is no interaction with a product."""

    match: re.Pattern[str]
    kind: str | None
    weight: float | None = None


@dataclass(frozen=True)
class LogMap:
    """Where each thing is looked for; of several columns the first that is not blank."""

    columns: Mapping[str, tuple[str, ...]]
    rules: tuple[Rule, ...]
    pattern: re.Pattern[str]
    own_pattern: bool

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> LogMap:
        """From a map's keys. Raises InvalidInputError naming the wrong one."""
        for key in given:
            if key not in (*_DEFAULT_COLUMNS, "file", "pattern", "rules", "items"):
                raise InvalidInputError(f"--map {key}", f"is none of {', '.join(_DEFAULT_COLUMNS)}")
        columns = {}
        for key, default in _DEFAULT_COLUMNS.items():
            names = given.get(key, default)
            names = [names] if isinstance(names, str) else names
            if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
                raise InvalidInputError(f"--map {key}", "wants a column or a list of columns")
            columns[key] = tuple(names)
        rules = [_rule(entry, number) for number, entry in enumerate(given.get("rules", []))]
        rules += [Rule(re.compile(match), kind) for match, kind in _DEFAULT_RULES]
        pattern = _compiled(given["pattern"], "pattern") if "pattern" in given else _PATTERN
        if pattern.groups != 1:
            raise InvalidInputError("--map pattern", "wants one group, the product's id")
        return cls(columns, tuple(rules), pattern, "pattern" in given)

    def first(self, key: str, row: Mapping[str, Any]) -> Any:
        """The first value under `key` that is not blank."""
        for name in self.columns[key]:
            if (value := row.get(name)) is not None and text(value) is not None:
                return value
        return None

    def rule_of(self, row: Mapping[str, Any]) -> Rule | None:
        """The first rule that matches the event and button names."""
        said = f"{_words(self.first('event', row))}, {_words(self.first('button', row))}"
        return next((rule for rule in self.rules if rule.match.search(said)), None)

    def products(self, row: Mapping[str, Any]) -> list[str]:
        """Ids in the first of the columns that holds any; each once."""
        for name in self.columns["products"]:
            found = [i for element in listed(row.get(name)) for i in self._ids(element)]
            if found:
                return list(dict.fromkeys(found))
        return []

    def _ids(self, element: Any) -> Iterator[str]:
        if isinstance(element, list):
            for inner in element:
                yield from self._ids(inner)
            return
        if isinstance(element, dict):
            named = [element[key] for key in _ID_KEYS if element.get(key) is not None]
            element = element if "$oid" in element else named[0] if named else None
        found = identity(element)
        if found is None:
            return
        if matches := self.pattern.findall(found):
            yield from matches
        elif not self.own_pattern and _PLAIN_ID.fullmatch(found):
            yield found


def read_web_log(path: Path, tables: Tables, reader: Reader, columns: dict[str, Any]) -> None:
    """Events of a log file, and items if the map names a catalogue.

    Records that are not about a product, or that no rule knows, are left out by reason; the same
    event logged twice counts once. Raises DataError and InvalidInputError.
    """
    log = LogMap.of(columns)
    tables.events.duplicates = "the same event logged again"
    if "items" in columns:
        read_mapped(path if path.is_dir() else path.parent, tables, reader,
                    table_maps({"items": columns["items"]}))  # fmt: skip
    report = tables.events.report
    for row in reader.rows(_file(path, columns.get("file")), (), report.bad):
        rule = log.rule_of(row)
        said = f"{log.first('event', row)} / {log.first('button', row)}"
        if rule is None or rule.kind is None:
            why = "no rule knows the event" if rule is None else "not an interaction with a product"
            report.leave_out(why, said)
            continue
        products = log.products(row)
        if not products:
            report.leave_out("no product in the record", said)
            continue
        if len(products) > 1:
            report.count("noted", "several products in one record: one event each", said)
        for product in products:
            _add_event(row, product, rule, log, tables)


def _add_event(
    row: Mapping[str, Any], product: str, rule: Rule, log: LogMap, tables: Tables
) -> None:
    fields = event_fields(
        {
            "user_id": log.first("user", row),
            "item_id": product,
            "kind": rule.kind,
            "weight": rule.weight,
            "occurred_ms": log.first("time", row),
            "session_id": log.first("session", row),
            "price": log.first("price", row),
        },
        tables.events.report,
    )
    if fields is not None:
        tables.events.add(fields)


def _words(value: Any) -> str:
    """ "AddToCart_btn" -> "add to cart btn"."""
    found = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text(value) or "")
    return " ".join(re.split(r"[\W_]+", found.lower())).strip()


def _rule(entry: Any, number: int) -> Rule:
    where = f"rules[{number}]"
    if not isinstance(entry, dict) or "match" not in entry or "kind" not in entry:
        raise InvalidInputError(f"--map {where}", 'wants {"match": …, "kind": …}')
    kind, weight = entry["kind"], entry.get("weight")
    if kind is not None and kind not in EVENT_WEIGHT:
        raise InvalidInputError(f"--map {where}.kind", f"is none of {', '.join(EVENT_WEIGHT)}")
    if weight is not None and not isinstance(weight, int | float):
        raise InvalidInputError(f"--map {where}.weight", "is not a number")
    return Rule(_compiled(entry["match"], f"{where}.match"), kind, weight)


def _compiled(pattern: Any, where: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise InvalidInputError(f"--map {where}", f"is no regular expression: {error}") from error


def _file(path: Path, named: Any) -> Path:
    if path.is_file():
        return path
    file = path / str(named) if named else one_of(path, _NAMES)
    if file is None or not file.is_file():
        raise DataError(f"{path} holds no {named or ', '.join(_NAMES)}")
    return file
