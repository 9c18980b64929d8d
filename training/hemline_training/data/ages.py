"""Ages out of what people type into a form: "27", "late twenties", "born 1990", "12/31/1990"."""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import date
from typing import Any

from hemline_training.data.values import UNREADABLE, Unreadable, day, text

AGE_GROUPS = ("under 18", "18-24", "25-34", "35-44", "45-54", "55-64", "65 and over")
_GROUP_STARTS = (18, 25, 35, 45, 55, 65)

# Younger and older answers are jokes or slips of the finger more often than shoppers.
YOUNGEST, OLDEST = 5, 110

_TENS = {
    name: 10 * number
    for number, name in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), start=2
    )
} | {"fourty": 40}
_BELOW_TWENTY = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_ONES = {name: number for number, name in enumerate(_BELOW_TWENTY.split(), start=1)}
_DECADES = {name.removesuffix("y") + "ies": ten for name, ten in _TENS.items()}
_DECADES |= {"teens": 13, "teenager": 13, "tens": 10}
_PARTS = {"early": 2, "mid": 5, "middle": 5, "late": 8}
_RANGE = re.compile(r"(\d{1,3}) ?(?:-|–|to|or|and) ?(\d{1,3})")
_DECADE = re.compile(r"\b([1-9])0(?:'?s)\b")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")


def age_group(age: int) -> str:
    """The group of AGE_GROUPS that an age in years lies in."""
    return AGE_GROUPS[bisect_right(_GROUP_STARTS, age)]


def age_of(answer: Any, on: date) -> int | Unreadable | None:
    """Age in years on a day, from a free-text answer, a number, a birth date or a year of birth.

    A range gives its middle ("25-34": 30), a decade its middle or what "early", "mid" and "late"
    say, a year of birth the age reached that year. None for a blank, UNREADABLE for an answer
    without an age in it, or one outside YOUNGEST to OLDEST.
    """
    if isinstance(answer, date):
        return _sensible(_years(answer, on))
    found = text(answer)
    if found is None or found.lower() in {"unknown", "secret", "prefer not to say"}:
        return None
    found = found.lower().strip(" .!~+<>")
    if (born := day(found)) is not None:
        return _sensible(_years(born.date(), on))
    if match := _RANGE.search(found):
        low, high = int(match[1]), int(match[2])
        return _sensible((low + high + 1) // 2) if low <= high else UNREADABLE
    if match := _YEAR.search(found):
        return _sensible(on.year - int(match[0]))
    words = re.findall(r"[a-z]+", found)
    part = next((_PARTS[w] for w in words if w in _PARTS), 5)
    if match := _DECADE.search(found):
        return _sensible(10 * int(match[1]) + part)
    for word in words:
        if word in _DECADES:
            return _sensible(_DECADES[word] + (2 if word.startswith("teen") else part))
    numbers = re.findall(r"\d+(?:\.\d+)?", found)
    if len(numbers) == 1:
        return _sensible(int(float(numbers[0])))
    return _sensible(_spelled(words)) if not numbers else UNREADABLE


def _spelled(words: list[str]) -> int:
    """twenty five -> 25; 0 when no number is spelled."""
    tens = [_TENS[w] for w in words if w in _TENS]
    ones = [_ONES[w] for w in words if w in _ONES]
    return sum(tens) + sum(ones) if len(tens) <= 1 and len(ones) <= 1 else 0


def _years(born: date, on: date) -> int:
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def _sensible(age: int) -> int | Unreadable:
    return age if YOUNGEST <= age <= OLDEST else UNREADABLE
