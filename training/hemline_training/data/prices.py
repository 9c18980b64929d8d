"""Prices as exports write them: text with a currency, or lists of prices with validity dates."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hemline_training.data.values import UNREADABLE, Unreadable, fields_of, moment_ms

_CURRENCIES = {
    "£": "GBP",
    "€": "EUR",
    "₹": "INR",
    "¥": "JPY",
    "₽": "RUB",
    "₩": "KRW",
    "₺": "TRY",
    "﷼": "IRR",
    "$": "USD",
    "us$": "USD",
    "a$": "AUD",
    "c$": "CAD",
    "rs": "INR",
    "rs.": "INR",
    "mrp": "INR",
    "kr": "SEK",
    "zł": "PLN",
    "руб": "RUB",
    "руб.": "RUB",
    "toman": "IRT",
    "tomans": "IRT",
}
_ISO_4217 = (
    "AED AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF IDR ILS INR IRR JPY KRW MXN MYR NOK NZD PHP "
    "PLN RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR"
)
_CODES = frozenset(_ISO_4217.split())
_AMOUNT = re.compile(r"\d[\d.,'\u00a0\u202f ]*")
_MAX_PRICE = 1e9


@dataclass(frozen=True)
class Price:
    """An amount in units of `currency` (ISO 4217), which is None where the source names none."""

    amount: float
    currency: str | None


@dataclass(frozen=True)
class DatedPrice:
    """A price and when it holds, from `start_ms` up to `end_ms`; None is open."""

    price: Price
    start_ms: int | None
    end_ms: int | None


def price(value: Any, currency: str | None = None) -> Price | Unreadable | None:
    """A price from a number or a text: "£1,234.50", "Rs. 799", "25,00 €", "1.299,00 kr".

    `currency` is used where the text names none. The last of several separators, or a single one
    followed by one or two digits, is the decimal one. None for a blank; UNREADABLE for a negative
    price, two amounts, or no amount at all.
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        if math.isnan(value):
            return None
        return Price(float(value), currency) if 0 <= value <= _MAX_PRICE else UNREADABLE
    found = " ".join(str(value).split())
    if found.lower() in {"", "nan", "none", "null", "n/a", "na", "-"}:
        return None
    amounts = _AMOUNT.findall(found)
    if len(amounts) != 1 or re.search(r"-\s*[^\d\s]*\s*\d", found):
        return UNREADABLE
    amount = _amount(amounts[0])
    if amount is None or amount > _MAX_PRICE:
        return UNREADABLE
    around = _AMOUNT.sub(" ", found).split()
    return Price(amount, next(filter(None, map(_currency, around)), currency))


def dated_prices(value: Any, currency: str | None = None) -> list[DatedPrice] | Unreadable:
    """A list of prices with dates: [{"price": "12", "start": "2023-01-01", "end": null}, …].

    Keys are recognised by their words (price, amount, value; start, from, since; end, to, until).
    UNREADABLE when the field, or any price or date in it, cannot be read.
    """
    found = fields_of(value)
    if found is UNREADABLE or found is None:
        return [] if found is None else UNREADABLE
    dated = []
    for entry in [found] if isinstance(found, dict) else found if isinstance(found, list) else []:
        if not isinstance(entry, dict):
            return UNREADABLE
        amount = price(_by_word(entry, ("price", "amount", "value")), currency)
        start = moment_ms(_by_word(entry, ("start", "from", "since", "begin")))
        end = moment_ms(_by_word(entry, ("end", "until", "to", "expire")))
        if amount is UNREADABLE or amount is None or start is UNREADABLE or end is UNREADABLE:
            return UNREADABLE
        named = _by_word(entry, ("currency",))
        if named is not None and amount.currency is None:
            amount = Price(amount.amount, _currency(str(named)))
        dated.append(DatedPrice(amount, start, end))
    return dated


def price_at(dated: Sequence[DatedPrice], at_ms: int | None) -> Price | None:
    """The price that holds at a time (of several the one that began last); without one, the newest.

    None when no price holds then.
    """
    holding = [
        d
        for d in dated
        if at_ms is None or ((d.start_ms or 0) <= at_ms and (d.end_ms is None or at_ms < d.end_ms))
    ]
    return max(holding, key=lambda d: d.start_ms or 0).price if holding else None


def _amount(digits: str) -> float | None:
    digits = re.sub(r"[\s']", "", digits).rstrip(".,")
    separators = [c for c in digits if c in ".,"]
    last = max(digits.rfind("."), digits.rfind(","))
    decimals = len(digits) - last - 1
    # "1,299" and "1.299" are thousands; "1,29" and "12.5" are not; "1.299,00" says it itself.
    is_decimal = bool(separators) and (
        (len(set(separators)) == 2 and separators.count(digits[last]) == 1)
        or (len(separators) == 1 and decimals != 3)
    )
    whole, fraction = (digits[:last], digits[last + 1 :]) if is_decimal else (digits, "")
    whole = whole.replace(".", "").replace(",", "")
    try:
        return float(f"{whole}.{fraction or 0}")
    except ValueError:
        return None


def _currency(word: str) -> str | None:
    word = word.strip("():,/-")
    return word.upper() if word.upper() in _CODES else _CURRENCIES.get(word.lower())


def _by_word(entry: Mapping[str, Any], words: Sequence[str]) -> Any:
    for word in words:
        for key in entry:
            if word in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(key)).lower()):
                return entry[key]
    return None
