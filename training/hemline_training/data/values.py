"""Single values as exports write them, by type: text, numbers, times and lists, or None for blank.

None of these functions raises on bad input. What is there but cannot be read is told apart from
what is missing: `number`, `moment_ms` and `fields_of` return UNREADABLE for it.
"""

from __future__ import annotations

import ast
import json
import math
import re
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Final, Literal

from hemline_training.catalogue.titles import clean_title

MAX_LIST_CHARACTERS = 64 * 1024

_BLANK = {"", "nan", "na", "n/a", "none", "null", "nat", "undefined", "\\n", "-", "--", "?"}

_MONTH_NAMES = (
    "january february march april may june july august september october november december"
)
_MONTHS = {
    name[:length]: number
    for number, name in enumerate(_MONTH_NAMES.split(), start=1)
    for length in (3, 4, len(name))
}
_GENDERS = {
    "female": {"f", "female", "woman", "women", "w", "girl", "lady", "she"},
    "male": {"m", "male", "man", "men", "boy", "he"},
    "other": {"o", "x", "other", "non-binary", "nonbinary", "diverse", "they"},
}
_ENGLISH_DATE = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_DAY_FIRST = re.compile(r"(\d{1,2})[ \-]([A-Za-z]{3,9})\.?[ \-,]+(\d{4})")
_SLASHES = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})(?: (\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_EPOCH = re.compile(r"\d{9,17}(?:\.\d+)?")
_OBJECT_ID = re.compile(r"""ObjectId\(\s*['"]([0-9a-fA-F]{24})['"]\s*\)""")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class _Unreadable(Enum):
    UNREADABLE = "unreadable"


UNREADABLE: Final = _Unreadable.UNREADABLE
Unreadable = Literal[_Unreadable.UNREADABLE]


def known(value: str) -> str | None:
    """The cleaned value, or None for a blank, "nan", "N/A" and the like."""
    if value.isprintable() and "&" not in value:  # as most are: a fifth of the time
        value = " ".join(value.split())
    else:
        value = clean_title(value)
    return None if value.lower() in _BLANK else value


def text(value: Any) -> str | None:
    """Any scalar as cleaned text; whole floats (an id column that had blanks) lose their ".0"."""
    if value is None:
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return known(str(value))


def identity(value: Any) -> str | None:
    """An id: as `text`, but ObjectId('5f…') and {"$oid": "5f…"} give the hexadecimal digits, and a
    whole number that went through a float column ("1267.0") loses its ".0" as a float does."""
    if isinstance(value, dict) and "$oid" in value:
        value = value["$oid"]
    found = text(value)
    if found is not None and found.endswith(".0") and found[:-2].isdecimal():
        return found[:-2]
    if found is not None and "ObjectId" in found and (match := _OBJECT_ID.search(found)):
        return match.group(1)
    if found is not None and found.startswith("{") and "$oid" in found:
        fields = fields_of(found)
        return identity(fields) if isinstance(fields, dict) else found
    return found


def number(value: Any) -> float | Unreadable | None:
    """A finite number; "1,234.5", " 7 " and 7 are numbers."""
    if isinstance(value, bool):
        return UNREADABLE
    if isinstance(value, int | float):
        value = float(value)
    else:
        found = text(value)
        if found is None:
            return None
        try:
            value = float(found)
        except ValueError:
            try:
                value = float(found.replace(",", "") if re.search(r",\d{3}(\D|$)", found) else "")
            except ValueError:
                return UNREADABLE
    return value if math.isfinite(value) else None


def moment_ms(value: Any) -> int | Unreadable | None:
    """Unix time in milliseconds of a date or a time, UTC where it names no zone.

    Reads ISO 8601, "April 18, 2016", "01-Jan-1995", day and month with slashes or dots where one of
    them is over 12 (else it is ambiguous, so UNREADABLE), and Unix time in s, ms or µs. Nothing
    before 1970 and nothing after 2100 is a time of an event.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        return _milliseconds(value)
    if isinstance(value, date):
        return _milliseconds(datetime(value.year, value.month, value.day))
    return _moment_ms(str(value) if not isinstance(value, float) else repr(value))


@lru_cache(maxsize=8192)
def _moment_ms(value: str) -> int | Unreadable | None:
    found = known(value)
    if found is None:
        return None
    moment = day(found)
    if moment is not None:
        return _milliseconds(moment)
    if _EPOCH.fullmatch(found):
        seconds = float(found)
        while seconds > 4_102_444_800:  # the year 2100: then it counts ms or µs
            seconds /= 1000
        return round(seconds * 1000)
    return UNREADABLE


def day(found: str) -> datetime | None:
    """A written date or time; None when it is none, or when day and month cannot be told apart."""
    try:
        if match := _SLASHES.fullmatch(found):
            first, second, year = (int(part) for part in match.groups()[:3])
            if (first > 12) == (second > 12) and first != second:
                return None
            month, of_month = (second, first) if first > 12 else (first, second)
            hour, minute, second_of = (int(part or 0) for part in match.groups()[3:])
            return datetime(year, month, of_month, hour, minute, second_of)
        if match := _ENGLISH_DATE.fullmatch(found):
            name, of, year_text = match.groups()
        elif match := _DAY_FIRST.fullmatch(found):
            of, name, year_text = match.groups()
        else:
            plain_number = found.isdecimal() and len(found) != 8
            return None if plain_number else datetime.fromisoformat(found.removesuffix(" UTC"))
        return datetime(int(year_text), _MONTHS[name.lower()], int(of))
    except (ValueError, KeyError):
        return None


def _milliseconds(moment: datetime) -> int | Unreadable:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - _EARLIEST).total_seconds()
    return round(seconds * 1000) if 0 <= seconds < 4_102_444_800 else UNREADABLE


def fields_of(value: Any) -> Any | Unreadable | None:
    """What a JSON-like text holds: JSON, or Python's way of writing lists and dicts."""
    if value is None or isinstance(value, list | dict):
        return value
    found = str(value).strip()
    if found.lower() in _BLANK:
        return None
    if len(found) > MAX_LIST_CHARACTERS:
        return UNREADABLE
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(_OBJECT_ID.sub(r"'\1'", found))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return UNREADABLE


def listed(value: Any) -> list[Any]:
    """The elements of a list in a field: JSON-like, or separated by commas, semicolons or bars.

    "['1', '2']", "1,2", "1; 2", "1|2" and [1, 2] all have two; a dict has its values; a scalar is
    a list of itself. Blanks are left out.
    """
    if value is None:
        return []
    if not isinstance(value, list | dict | tuple):
        found = str(value).strip()
        if found[:1] in "[{(" and found:
            parsed = fields_of(found)
            value = found.strip("[](){}") if parsed is UNREADABLE else parsed
        else:
            value = found
    if isinstance(value, dict):
        value = [value] if "$oid" in value else list(value.values())
    if isinstance(value, list | tuple):
        return [element for element in value if text_or_nested(element) is not None]
    if value is None:
        return []
    parts = re.split(r"\s*[;|]\s*|\s*,\s*", str(value))
    return [part for raw in parts if (part := known(raw.strip("'\" "))) is not None]


class Once:
    """Whether a value is met for the first time; in bounded memory, so now and then once more."""

    def __init__(self, most: int = 20_000) -> None:
        self._seen: set[object] = set()
        self._most = most

    def __call__(self, value: object) -> bool:
        if value in self._seen:
            return False
        if len(self._seen) >= self._most:
            self._seen.clear()
        self._seen.add(value)
        return True


def gender_of(value: Any) -> str | None:
    """female, male or other, from what forms hold ("F", "Woman", "m"); None when unknown."""
    found = (text(value) or "").casefold().strip(" .")
    for gender, words in _GENDERS.items():
        if found in words:
            return gender
    return None


def text_or_nested(value: Any) -> Any:
    """Lists and dicts as they are, scalars as `text`."""
    return value if isinstance(value, list | dict | tuple) else text(value)
