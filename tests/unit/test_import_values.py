"""Single values as exports write them: text, numbers, times, lists, prices, ages, markup."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemline_training.data.ages import age_group, age_of
from hemline_training.data.convert import web_addresses
from hemline_training.data.markup import plain_text
from hemline_training.data.prices import Price, dated_prices, price, price_at
from hemline_training.data.values import (
    UNREADABLE,
    gender_of,
    identity,
    listed,
    moment_ms,
    number,
    text,
)

DAY_MS = 86_400_000
ON = date(2024, 6, 15)


@pytest.mark.parametrize("blank", ["", "  ", "nan", "NaN", "N/A", "null", "None", "-", "\\N", None])
def test_blanks_of_every_spelling_are_no_value(blank: Any) -> None:
    assert text(blank) is None
    assert number(blank) is None
    assert moment_ms(blank) is None
    assert listed(blank) == []
    assert age_of(blank, ON) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (12.0, "12"),
        (float("nan"), None),
        (1.5, "1.5"),
        (7, "7"),
        ("Bed\u00a0&amp; Bath\x00", "Bed & Bath"),
        ("half a surrogate \ud800!", "half a surrogate !"),
    ],
)
def test_text_of_any_scalar(raw: Any, expected: str | None) -> None:
    assert text(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("12", 12.0),
        ("1,234.5", 1234.5),
        (" 7 ", 7.0),
        (3, 3.0),
        ("inf", None),
        ("1,5 x", UNREADABLE),
        ("twelve", UNREADABLE),
        (True, UNREADABLE),
    ],
)
def test_numbers(raw: Any, expected: Any) -> None:
    assert number(raw) == expected


@pytest.mark.parametrize(
    ("raw", "day"),
    [
        ("2016-04-18", 16_909),
        ("2016-04-18T00:00:00Z", 16_909),
        ("2016-04-18 02:00:00+02:00", 16_909),
        ("2016-04-18 00:00:00 UTC", 16_909),
        ("20160418", 16_909),
        ("April 18, 2016", 16_909),
        ("18-Apr-2016", 16_909),
        ("18/04/2016", 16_909),
        ("04/18/2016", 16_909),
        ("1460937600", 16_909),
        ("1460937600000", 16_909),
        (1460937600000.0, 16_909),
        (1460937600000000, 16_909),
        (date(2016, 4, 18), 16_909),
    ],
)
def test_times_in_many_writings(raw: Any, day: int) -> None:
    assert moment_ms(raw) == day * DAY_MS


@pytest.mark.parametrize(
    "raw", ["04/05/2016", "2016-02-30", "soon", "1492-10-12", "9999-01-01", "Smarch 3, 2016", "17"]
)
def test_what_is_no_time_or_an_ambiguous_one_is_unreadable(raw: str) -> None:
    assert moment_ms(raw) is UNREADABLE


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("['1', '2']", ["1", "2"]),
        ('["a,b", null, "c"]', ["a,b", "c"]),
        ("1, 2 ;3|4", ["1", "2", "3", "4"]),
        ("{'0': 'x', '1': 'y'}", ["x", "y"]),
        ("[broken, 'list'", ["broken", "list"]),
        ([1, None, 2], [1, 2]),
        ("ObjectId('5f0c1e9b8d3f2a0001a1b2c3')", ["ObjectId('5f0c1e9b8d3f2a0001a1b2c3')"]),
        ("[" * 100_000, []),
        ("__import__('os').getcwd()", ["__import__('os').getcwd()"]),
    ],
)
def test_lists_however_they_are_written(raw: Any, expected: list[Any]) -> None:
    assert listed(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "ObjectId('5f0c1e9b8d3f2a0001a1b2c3')",
        '{"$oid": "5f0c1e9b8d3f2a0001a1b2c3"}',
        {"$oid": "5f0c1e9b8d3f2a0001a1b2c3"},
        "5f0c1e9b8d3f2a0001a1b2c3",
    ],
)
def test_object_ids_give_their_digits(raw: Any) -> None:
    assert identity(raw) == "5f0c1e9b8d3f2a0001a1b2c3"


@pytest.mark.parametrize(
    ("raw", "amount", "currency"),
    [
        ("£1,234.50", 1234.5, "GBP"),
        ("Rs. 799", 799.0, "INR"),
        ("25,00 €", 25.0, "EUR"),
        ("1.299,00 kr", 1299.0, "SEK"),
        ("USD 12.5", 12.5, "USD"),
        ("1,299", 1299.0, None),
        ("1.299.000 ₫", 1_299_000.0, None),
        ("₹1,29,999", 129_999.0, "INR"),
        ("Now only $5!", 5.0, "USD"),
        ("CHF 1'250.—", 1250.0, "CHF"),
        (49.99, 49.99, None),
    ],
)
def test_prices_as_text_with_their_currency(raw: Any, amount: float, currency: str | None) -> None:
    assert price(raw) == Price(amount, currency)


def test_a_price_takes_the_shops_currency_only_where_it_names_none() -> None:
    assert price("799", "INR") == Price(799.0, "INR")
    assert price("$799", "INR") == Price(799.0, "USD")


@pytest.mark.parametrize("raw", ["free", "-5", "$ -5.00", "10 - 20", "1e400", "9" * 40, -1.0])
def test_what_is_no_one_price_is_unreadable(raw: Any) -> None:
    assert price(raw) is UNREADABLE


def test_the_price_of_a_moment_comes_from_the_list_of_dated_ones() -> None:
    prices = dated_prices(
        "[{'amount': '100', 'startDate': '2020-01-01', 'endDate': None},"
        " {'amount': '80', 'startDate': '2020-06-01', 'endDate': '2020-07-01'}]",
        "EUR",
    )
    assert prices is not UNREADABLE
    january, june, july, before = (
        moment_ms(day) for day in ("2020-01-05", "2020-06-05", "2020-07-01", "2019-12-31")
    )
    assert price_at(prices, january) == Price(100.0, "EUR")
    assert price_at(prices, june) == Price(80.0, "EUR")
    assert price_at(prices, july) == Price(100.0, "EUR")
    assert price_at(prices, before) is None
    assert price_at(prices, None) == Price(80.0, "EUR")
    assert dated_prices("[{'amount': 'gratis'}]") is UNREADABLE
    assert dated_prices("[1, 2]") is UNREADABLE


@pytest.mark.parametrize(
    ("answer", "age"),
    [
        ("27", 27),
        (27.0, 27),
        ("27 years old", 27),
        ("I'm 31!", 31),
        ("25-34", 30),
        ("between 20 and 30", 25),
        ("over 40", 40),
        ("65+", 65),
        ("twenty five", 25),
        ("thirty-one", 31),
        ("late twenties", 28),
        ("mid 30s", 35),
        ("early 40's", 42),
        ("born in 1990", 34),
        ("1990", 34),
        ("1990-06-15", 34),
        ("06/16/1990", 33),
        (date(1990, 6, 16), 33),
        ("teenager", 15),
        ("seventeen", 17),
    ],
)
def test_ages_out_of_free_answers_and_birth_dates(answer: Any, age: int) -> None:
    assert age_of(answer, ON) == age


@pytest.mark.parametrize(
    "answer", ["ageless", "117", "3", "2 kids, 40", "1850", "0", "34-25", "old"]
)
def test_an_answer_without_a_sensible_age_is_unreadable(answer: str) -> None:
    assert age_of(answer, ON) is UNREADABLE


def test_a_secret_age_is_unknown_not_wrong() -> None:
    assert age_of("prefer not to say", ON) is None


@pytest.mark.parametrize(
    ("age", "group"),
    [(17, "under 18"), (18, "18-24"), (24, "18-24"), (25, "25-34"), (65, "65 and over")],
)
def test_ages_are_grouped(age: int, group: str) -> None:
    assert age_group(age) == group


def test_genders_as_forms_hold_them() -> None:
    assert [gender_of(g) for g in ("F", "Woman", "m", "male", "X", "", "?", None)] == [
        *("female", "female", "male", "male", "other"),
        *(None, None, None),
    ]


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<p>Soft&nbsp;jersey</p><ul><li>Slim</li><li>V-neck</li></ul>", "Soft jersey Slim V-neck"),
        ("<style>p{}</style>Red<script>alert(1)</script> dress", "Red dress"),
        ("3 < 5 and 5 > 3", "3 < 5 and 5 > 3"),
        ("no markup", "no markup"),
    ],
)
def test_descriptions_lose_their_markup(markup: str, words: str) -> None:
    assert plain_text(markup) == words


def test_web_addresses_however_a_field_holds_them() -> None:
    assert web_addresses("['https://a/1.jpg', 'https://a/2.jpg', 'https://a/1.jpg']") == [
        "https://a/1.jpg",
        "https://a/2.jpg",
    ]
    assert web_addresses("http://a/1.jpg;//b/2.jpg, ftp://c/3.jpg") == [
        "http://a/1.jpg",
        "https://b/2.jpg",
    ]
    assert web_addresses("[{'url': 'https://a/1.jpg'}]") == ["https://a/1.jpg"]
    assert web_addresses("data/images\\1.jpg") == []


@given(st.text(max_size=60))
def test_no_text_makes_a_reader_raise(anything: str) -> None:
    for read in (text, identity, number, moment_ms, listed, price, dated_prices, plain_text):
        read(anything)  # type: ignore[operator]
    found = age_of(anything, ON)
    assert found is None or found is UNREADABLE or 5 <= found <= 110
    assert (parsed := price(anything)) is None or parsed is UNREADABLE or parsed.amount >= 0
    stamp = moment_ms(anything)
    assert stamp is None or stamp is UNREADABLE or 0 <= stamp < 4_102_444_800_000
