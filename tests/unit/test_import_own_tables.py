"""Shops' exports, tables of one's own with a column map, and raw web logs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemline.errors import DataError, HemlineError, InvalidInputError
from imported import imported


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_an_asos_export_gives_up_its_printed_lists_and_dicts(tmp_path: Path) -> None:
    details = [
        {"Product Details": "Coats by <b>New Look</b> Low-key layering"},
        {"Product Code": "126704571"},
        {"Brand": "By New Look Since setting up shop in the 60s"},
    ]
    source = write_csv(
        tmp_path / "asos.csv",
        [
            {
                "": "0",
                "url": "https://shop/p/1",
                "name": "New Look trench coat for women",
                "size": "UK 4,UK 6 - Out of stock",
                "category": "New Look trench coat in camel",
                "price": "49.99",
                "color": "Neutral",
                "sku": "126704571.0",
                "description": str(details),
                "images": "['https://img/1.jpg', 'https://img/2.jpg']",
            },
            {
                "name": "Sold out boots",
                "size": "UK 4 - Out of stock",
                "sku": "2",
                "price": "£1,049",
                "images": "soon",
            },
            {"name": "Without an id", "price": "1"},
        ],
    )

    done = imported("asos", source, tmp_path / "out", max_bad_share=0.5)

    coat, boots = done.items
    assert coat["item_id"] == "126704571"
    assert coat["description"].startswith("Coats by New Look Low-key layering")
    assert (coat["brand"], coat["gender"], coat["colour"]) == ("New Look", "Women", "Neutral")
    assert coat["price"] == pytest.approx(49.99) and coat["currency"] == "GBP"
    assert coat["image_urls"] == ["https://img/1.jpg", "https://img/2.jpg"]
    assert (coat["in_stock"], boots["in_stock"], boots["price"]) == (True, False, 1049.0)
    assert done.counts("items", "noted") == {"images: no web address in it": 1}
    assert done.counts("items", "dropped") == {"no item_id": 1}


def test_a_myntra_export_is_html_and_rupees(tmp_path: Path) -> None:
    source = write_csv(
        tmp_path / "fashion.csv",
        [
            {
                "p_id": "17048614",
                "name": "Khushal K Women Black Ethnic Motifs Kurta",
                "price": "Rs. 5,099",
                "colour": "Black",
                "brand": "Khushal K",
                "img": "http://img/a.jpg; http://img/b.jpg",
                "description": "<p>Black printed <b>Kurta</b></p><br>Has a mandarin collar",
            },
            {"p_id": "17048614", "name": "The same again", "price": "", "img": ""},
            {"p_id": "9", "name": "Odd price", "price": "ask us", "img": ""},
        ],
    )

    done = imported("myntra", source, tmp_path / "out")

    kurta, odd = done.items
    assert kurta["description"] == "Black printed Kurta Has a mandarin collar"
    assert (kurta["price"], kurta["currency"], kurta["gender"]) == (5099.0, "INR", "Women")
    assert kurta["image_urls"] == ["http://img/a.jpg", "http://img/b.jpg"]
    assert "price" not in odd
    assert done.counts("items", "merged") == {"item_id repeated: the first row counts": 1}
    assert done.counts("items", "repaired") == {
        "description: HTML taken off": 1,
        "price: cannot be read, left unknown": 1,
    }


def test_a_shop_export_without_an_id_says_what_it_looked_for(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "x.csv", [{"colour": "red", "name": "a"}])
    with pytest.raises(DataError, match=r"lacks a column for item_id: sku, p_id"):
        imported("asos", source, tmp_path / "out")


MAP = {
    "events": {
        "file": "log.parquet",
        "columns": {
            "user_id": ["country", "customer"],
            "item_id": "sku",
            "occurred_ms": "when",
            "price": "paid",
            "kind": {
                "column": "action",
                "values": {"addtocart": "bag", "bought": "purchase"},
                "other": "skip",
            },
        },
    },
    "users": {
        "file": "people.csv",
        "columns": {
            "user_id": ["country", "customer"],
            "age": "how old are you?",
            "city": "town",
            "region": "state",
            "attributes": ["newsletter", "shoe"],
        },
    },
    "items": {
        "file": "goods.csv",
        "columns": {"item_id": "sku", "title": "name", "price": "prices", "in_stock": "stock"},
    },
}


def own_tables(folder: Path) -> Path:
    folder.mkdir()
    table = pa.table(
        {
            "country": ["de", "de", "at"],
            "customer": pa.array([1, 1, 2]),
            "sku": ["a", "b", "a"],
            "when": pa.array([1_600_000_000_000_000] * 3, pa.timestamp("us")),
            "paid": ["12,50 €", None, "free"],
            "action": ["addtocart", "looked", "bought"],
        }
    )
    pq.write_table(table, folder / "log.parquet")
    write_csv(
        folder / "people.csv",
        [
            {"country": "de", "customer": n, "how old are you?": age, "town": town, "state": state,
             "newsletter": "yes", "shoe": ""}
            for n, age, town, state in [
                (1, "mid thirties", "Munich", ""),
                (2, "", "munich", "Bavaria"),
                (3, "", "Munich", "Bavaria"),
                (4, "", "Munich", "Bavaria"),
                (5, "", "", "Bavaria"),
                (6, "", "Atlantis", ""),
            ]
        ],
    )  # fmt: skip
    prices = [{"price": 10, "from": "2020-01-01", "to": "2020-02-01"}, {"price": 8, "from": ""}]
    write_csv(
        folder / "goods.csv",
        [
            {"sku": "a", "name": "Dress", "prices": str(prices), "stock": "no"},
            {"sku": "b", "name": "", "prices": "[broken", "stock": "perhaps"},
        ],
    )
    return folder


def test_a_column_map_brings_in_tables_of_any_names(tmp_path: Path) -> None:
    done = imported("table", own_tables(tmp_path / "own"), tmp_path / "out", columns=MAP)

    first, last = done.events
    assert (first["user_id"], first["kind"], first["weight"]) == ("de:1", "bag", 4.0)
    assert (first["price"], first["currency"]) == (12.5, "EUR")
    assert first["occurred_ms"] == 1_600_000_000_000
    assert (last["user_id"], last["kind"]) == ("at:2", "purchase") and "price" not in last
    assert done.counts("events", "dropped") == {"kind: a value the map skips": 1}
    assert done.counts("events", "repaired") == {"price: cannot be read, left unknown": 1}

    dress, nameless = done.items
    assert (dress["title"], dress["price"], dress["in_stock"]) == ("Dress", 10.0, False)
    assert (nameless["title"], nameless["imputed"], nameless["in_stock"]) == ("b", ["title"], True)


def test_city_and_region_are_completed_from_each_other_and_marked(tmp_path: Path) -> None:
    done = imported("table", own_tables(tmp_path / "own"), tmp_path / "out", columns=MAP)

    users = {user["user_id"]: user for user in done.users}
    assert users["de:1"]["region"] == "Bavaria" and users["de:1"]["imputed"] == ["region"]
    assert users["de:5"]["city"] == "Munich" and users["de:5"]["imputed"] == ["city"]
    assert "region" not in users["de:6"] and users["de:6"]["imputed"] == []
    assert users["de:1"]["age"] == 35
    assert json.loads(users["de:1"]["attributes"]) == {"newsletter": "yes"}
    assert done.counts("users", "imputed") == {
        "region: completed from the city": 1,
        "city: completed from the region": 1,
    }
    assert done.counts("users", "noted") == {
        "age: left unknown, fewer than 50 users name one": 6  # one of them known from events alone
    }


def test_an_id_of_many_columns_that_is_too_long_is_its_digest(tmp_path: Path) -> None:
    rows = [{"a": "x" * 90, "b": n * 90, "i": 1} for n in ("y", "z", "y")]
    columns = {"events": {"columns": {"user_id": ["a", "b"], "item_id": "i"}}}
    source = write_csv(tmp_path / "log.csv", rows)
    done = imported("table", source, tmp_path / "out", columns=columns)
    assert [len(user["user_id"]) for user in done.users] == [32, 32]


def test_tables_that_bear_the_schemas_names_need_no_map(tmp_path: Path) -> None:
    source = write_csv(
        tmp_path / "events.csv",
        [{"user_id": "u", "item_id": "i", "kind": "wish", "occurred_ms": "2020-01-01", "x": 1}],
    )
    done = imported("table", source, tmp_path / "out")
    assert done.events[0]["kind"] == "wish"

    with pytest.raises(DataError, match="give a column map"):
        imported("table", write_csv(tmp_path / "stuff.csv", [{"a": 1}]), tmp_path / "out2")
    with pytest.raises(DataError, match=r"events.csv lacks the column\(s\) item_id"):
        imported("table", write_csv(source, [{"user_id": 1}]), tmp_path / "out2")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"orders": {}}, "--map orders: is none of items, users, events"),
        ({"items": {"columns": []}}, "--map items: wants"),
        ({"items": {"columns": {"title": "t"}}}, "--map items.columns: lacks item_id"),
        ({"items": {"columns": {"item_id": "i", "colr": "c"}}}, "items.columns.colr: is none of"),
        ({"items": {"columns": {"item_id": 3}}}, "items.columns.item_id: wants a column"),
        (
            {"items": {"columns": {"item_id": {"column": "i", "other": "drop"}}}},
            "items.columns.item_id.other: is none of keep, skip, bad",
        ),
        ({"items": {"columns": {"item_id": "nope"}}}, r"lacks the column\(s\) nope"),
    ],
)
def test_a_wrong_map_is_refused_at_the_place_that_is_wrong(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "goods.csv", [{"i": 1}])
    with pytest.raises(HemlineError, match=message):
        imported("table", source, tmp_path / "out", columns=columns)


LOG = [
    {"event_name": "ButtonClick", "button_name": "Add to Cart", "products": "['11', '12']"},
    {"event_name": "product_view", "button_name": "", "url": "https://shop/p/42-red-dress?x=1"},
    {"event_name": "click", "button_name": "heart_icon",
     "products": "ObjectId('" + "a" * 24 + "')"},
    {"event_name": "click", "button_name": "remove from wishlist", "products": "12"},
    {"event_name": "purchase", "button_name": "", "products": '[{"_id": {"$oid": "' + "b" * 24
     + '"}, "qty": 2}]'},
    {"event_name": "heartbeat_ping", "button_name": "", "products": "12"},
    {"event_name": "quiz", "button_name": "ok", "products": "12"},
    {"event_name": "product_view", "button_name": "", "url": "https://shop/about"},
]  # fmt: skip


def log_file(path: Path, extra: dict[str, Any] | None = None) -> Path:
    rows = [
        {"user_id": "u1", "timestamp": 1_600_000_000 + n, "products": "", "url": ""} | row
        for n, row in enumerate(LOG)
    ]
    return write_csv(path, [{**row, **(extra or {})} for row in rows])


def test_a_raw_log_becomes_events_by_what_was_done_to_which_product(tmp_path: Path) -> None:
    done = imported("web-log", log_file(tmp_path / "log.csv"), tmp_path / "out")

    assert [(e["kind"], e["item_id"], e["occurred_ms"] % 100_000) for e in done.events] == [
        ("bag", "11", 0),
        ("bag", "12", 0),
        ("view", "42-red-dress", 1000),
        ("wish", "a" * 24, 2000),
        ("purchase", "b" * 24, 4000),
    ]
    assert done.counts("events", "dropped") == {
        "not an interaction with a product": 1,
        "no rule knows the event": 2,
        "no product in the record": 1,
    }


def test_rules_pattern_prices_and_catalogue_of_a_log_come_from_its_map(tmp_path: Path) -> None:
    prices = [
        {"price": "100", "start": "2020-01-01", "end": "2020-09-13"},
        {"price": "90", "start": "2020-09-13"},
    ]
    folder = tmp_path / "shop"
    folder.mkdir()
    log_file(folder / "clicks.csv", {"price_list": str(prices), "user_id": "", "anon": "x"})
    (folder / "goods.jsonl").write_text('{"_id": {"$oid": "42"}, "name": "Red dress"}\n')
    columns = {
        "file": "clicks.csv",
        "user": ["user_id", "anon"],
        "price": "price_list",
        "products": ["url"],
        "pattern": r"/p/(\d+)",
        "rules": [{"match": "^product view", "kind": "click", "weight": 0.5}],
        "items": {"file": "goods.jsonl", "columns": {"item_id": "_id", "title": "name"}},
    }

    done = imported("web-log", folder, tmp_path / "out", columns=columns)

    [event] = done.events
    assert (event["user_id"], event["item_id"], event["kind"]) == ("x", "42", "click")
    assert (event["weight"], event["price"]) == (0.5, 90.0)
    assert done.items[0]["title"] == "Red dress"


def test_an_event_logged_twice_counts_once(tmp_path: Path) -> None:
    row = {"event": "view", "user_id": "u", "product_id": 5, "ts": "2020-01-01T10:00:00"}
    done = imported("web-log", write_csv(tmp_path / "log.csv", [row, row]), tmp_path / "out")
    assert len(done.events) == 1 and done.events[0]["quantity"] == 1
    assert done.counts("events", "merged") == {"the same event logged again": 1}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"usr": "x"}, "--map usr: is none of user"),
        ({"user": 5}, "--map user: wants a column"),
        ({"pattern": "("}, "--map pattern: is no regular expression"),
        ({"pattern": "x"}, "--map pattern: wants one group"),
        ({"rules": [{"match": "x"}]}, r"--map rules\[0\]: wants"),
        ({"rules": [{"match": "x", "kind": "buy"}]}, r"--map rules\[0\].kind: is none of view"),
    ],
)
def test_a_wrong_log_map_is_refused_by_its_key(
    columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        imported("web-log", log_file(tmp_path / "log.csv"), tmp_path / "out", columns=columns)


def test_a_map_for_a_format_with_columns_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="takes no map"):
        imported("baskets", tmp_path, tmp_path / "out", columns={"items": {}})
