"""H&M's competition data: articles.csv, customers.csv, transactions_train.csv and images/.

A transaction names one piece; the same article twice on a receipt is two equal lines, which become
one event with quantity 2. Prices are scaled, without currency. Leading zeros belong to the ids.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from hemline.errors import BadImageError, DataError
from hemline_training.catalogue.titles import gender_of_title
from hemline_training.data.ages import age_of
from hemline_training.data.pictures import small_image
from hemline_training.data.report import TableReport
from hemline_training.data.source import Reader, one_of
from hemline_training.data.tables import Tables
from hemline_training.data.values import UNREADABLE, moment_ms, number, text

_ARTICLE = ("article_id", "product_code", "prod_name", "product_type_name", "product_group_name")
_CUSTOMER = ("customer_id", "age")
_TRANSACTION = ("t_dat", "customer_id", "article_id", "price")
_ABOUT_CUSTOMER = ("FN", "Active", "club_member_status", "fashion_news_frequency")
_CHANNELS = {"1": "store", "2": "online"}
_GENDERS = {"ladieswear": "Women", "menswear": "Men", "divided": None, "sport": None}
_ID_DIGITS = 10
_LAST_DAY = date(2020, 9, 22)  # of the competition's log: ages are as of then


def read_hm(path: Path, tables: Tables, reader: Reader, _columns: dict[str, Any]) -> None:
    """Articles, customers and transactions, as many of the three as are there.

    Raises DataError when none is, or a column is missing.
    """
    tables.equal_events_are_quantity()
    articles = one_of(path, ["articles.csv", "articles.parquet"])
    customers = one_of(path, ["customers.csv", "customers.parquet"])
    transactions = one_of(path, ["transactions_train.csv", "transactions_train.parquet"])
    transactions = transactions or one_of(path, ["transactions.csv", "transactions.parquet"])
    if articles is None and transactions is None:
        raise DataError(f"{path} holds neither articles.csv nor transactions_train.csv")
    if articles is not None:
        images = path / "images"
        for row in reader.rows(articles, _ARTICLE, tables.items.report.bad):
            _add_article(row, images if images.is_dir() else None, tables)
    if customers is not None:
        for row in reader.rows(customers, _CUSTOMER, tables.users.report.bad):
            _add_customer(row, tables)
    if transactions is not None:
        for row in reader.rows(transactions, _TRANSACTION, tables.events.report.bad):
            _add_transaction(row, tables)


def _article_id(value: Any, report: TableReport) -> str | None:
    found = text(value)
    if found is not None and found.isdecimal() and len(found) < _ID_DIGITS:
        report.count("repaired", "article_id: leading zeros restored", found)
        return found.zfill(_ID_DIGITS)
    return found


def _add_article(row: dict[str, Any], images: Path | None, tables: Tables) -> None:
    article_id, title = _article_id(row["article_id"], tables.items.report), text(row["prod_name"])
    item: dict[str, Any] = {
        "item_id": article_id,
        "title": title,
        "description": text(row.get("detail_desc")),
        "gender": _gender(row, title or ""),
        "master_category": text(row["product_group_name"]),
        "sub_category": text(row.get("garment_group_name")),
        "article_type": text(row["product_type_name"]),
        "colour": text(row.get("colour_group_name")),
        "variant_group": text(row["product_code"]),
    }
    if item["description"] is None:
        tables.items.report.count("noted", "description: missing", str(article_id))
    if images is not None and article_id is not None:
        item["image"] = _image(images, article_id, tables)
    tables.items.add(item)


def _gender(row: dict[str, Any], title: str) -> str | None:
    group = (text(row.get("index_group_name")) or "").casefold()
    section = (text(row.get("section_name")) or "").casefold()
    if group.startswith("baby"):
        for word in ("boy", "girl"):
            if word in section:
                return word.title() + "s"
        return "Kids"
    if group in ("divided", "sport"):
        if section.startswith(("women", "ladies")):
            return "Women"
        return "Men" if section.startswith("men") else gender_of_title(title, 0)
    return _GENDERS.get(group)


def _image(images: Path, article_id: str, tables: Tables) -> bytes | None:
    """images/010/0108775015.jpg: the folder is the id's first three digits."""
    path = images / article_id[:3] / f"{article_id}.jpg"
    try:
        return small_image(path.read_bytes())
    except FileNotFoundError:
        tables.items.report.count("noted", "image: none in the folder", article_id)
    except (OSError, BadImageError) as error:
        tables.items.report.count("noted", "image: broken, left out", f"{article_id}: {error}")
    return None


def _add_customer(row: dict[str, Any], tables: Tables) -> None:
    user: dict[str, Any] = {
        "user_id": text(row["customer_id"]),
        "postal_code": text(row.get("postal_code")),
    }
    about = {name: said for name in _ABOUT_CUSTOMER if (said := text(row.get(name))) is not None}
    if about:
        user["attributes"] = json.dumps(about)
    age = age_of(row["age"], _LAST_DAY)
    if age is UNREADABLE:
        example = f"{user['user_id']}: {row['age']}"
        tables.users.report.count("repaired", "age: no age, left unknown", example)
    else:
        user["age"] = age
    tables.add_user(user)


def _add_transaction(row: dict[str, Any], tables: Tables) -> None:
    moment, price = moment_ms(row["t_dat"]), number(row["price"])
    if not isinstance(moment, int) or price is UNREADABLE:
        reason = "price: not a number" if isinstance(moment, int) else "t_dat: no date"
        tables.events.report.bad(reason, ", ".join(f"{k}={v}" for k, v in row.items()))
        return
    channel = text(row.get("sales_channel_id"))
    tables.events.add(
        {
            "user_id": text(row["customer_id"]),
            "item_id": _article_id(row["article_id"], tables.events.report),
            "kind": "purchase",
            "occurred_ms": moment,
            "price": price,
            "context": None if channel is None else _CHANNELS.get(channel, channel),
        }
    )
