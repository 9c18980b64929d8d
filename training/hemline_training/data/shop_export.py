"""Catalogues scraped or exported from ASOS and Myntra: items alone, their pictures as addresses.

The copies that go round differ in their columns, so each field is looked for under several names.
What is common to them: pictures in a list that was printed ("['https://…', …]"), or between commas
or semicolons; prices as text with a currency; descriptions in HTML, or as a list of one-key dicts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemline.errors import DataError
from hemline_training.catalogue.titles import gender_of_title
from hemline_training.data.convert import item_fields
from hemline_training.data.markup import plain_text
from hemline_training.data.source import Reader
from hemline_training.data.tables import Tables
from hemline_training.data.values import UNREADABLE, fields_of, text

_ENDINGS = (".csv", ".jsonl", ".json", ".parquet", ".csv.gz")

_SAME = ("sub_category", "article_type", "colour", "season", "year", "usage")
_ALIASES: dict[str, tuple[str, ...]] = {
    "item_id": ("sku", "p_id", "product_id", "productid", "product_code", "id", "asin"),
    "title": ("name", "product_name", "productname", "title", "products"),
    "brand": ("brand", "brand_name", "brandname", "productbrand", "seller"),
    "gender": ("gender", "ideal_for"),
    "master_category": ("master_category", "mastercategory"),
    "sub_category": ("individual_category", "category_by_gender", "subcategory"),
    "article_type": ("article_type", "articletype", "product_type"),
    "colour": ("colour", "color", "primarycolor", "base_colour", "basecolour"),
    "price": ("price", "discounted_price", "discountprice_(in_rs)", "price_(inr)", "mrp"),
    "description": ("description", "product_details", "details"),
    "image_urls": ("images", "img", "image", "image_url", "image_urls", "imgs"),
}


@dataclass(frozen=True)
class Shop:
    """What the exports of one shop leave unsaid."""

    name: str
    currency: str


ASOS = Shop("ASOS", "GBP")
MYNTRA = Shop("Myntra", "INR")


def read_asos(path: Path, tables: Tables, reader: Reader, _columns: dict[str, Any]) -> None:
    """Items of an ASOS export. Raises DataError as `read_shop_export`."""
    read_shop_export(path, tables, reader, ASOS)


def read_myntra(path: Path, tables: Tables, reader: Reader, _columns: dict[str, Any]) -> None:
    """Items of a Myntra export. Raises DataError as `read_shop_export`."""
    read_shop_export(path, tables, reader, MYNTRA)


def read_shop_export(path: Path, tables: Tables, reader: Reader, shop: Shop) -> None:
    """Items of one file. Raises DataError when there is none, or no column for an id or a title."""
    file = _file(path)
    report = tables.items.report
    names: dict[str, str] | None = None
    for raw in reader.rows(file, (), report.bad):
        if names is None:
            names = _names(raw, file)
        row = {field: raw.get(name) for field, name in names.items()}
        details = _details(row.get("description"))
        if details is not None:
            row["description"] = " ".join(details.values())
            row["brand"] = row.get("brand") or _brand(details)
        if (stock := _stock(raw)) is not None:
            row["in_stock"] = stock
        row["currency"] = shop.currency
        row["gender"] = row.get("gender") or gender_of_title(text(row.get("title")) or "")
        if row.get("description") is not None and "<" in str(row["description"]):
            report.count("repaired", "description: HTML taken off", str(row["description"]))
        fields = item_fields(row, report)
        if fields is not None:
            if text(row.get("image_urls")) is not None and "image_urls" not in fields:
                report.count("noted", "images: no web address in it", str(row["image_urls"]))
            tables.items.add(fields)


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(f for f in path.iterdir() if f.name.lower().endswith(_ENDINGS))
    if len(files) != 1:
        found = ", ".join(f.name for f in files) or "none"
        raise DataError(f"{path} should hold one {'/'.join(_ENDINGS)} file; found {found}")
    return files[0]


def _names(row: Mapping[str, Any], file: Path) -> dict[str, str]:
    """Our field -> the file's column."""
    columns = {re.sub(r"\s+", "_", name.strip().lower()): name for name in row}
    found = {}
    for field, aliases in _ALIASES.items():
        wanted: Sequence[str] = (*aliases, field) if field in _SAME else aliases
        name = next((columns[alias] for alias in wanted if alias in columns), None)
        if name is not None:
            found[field] = name
    if missing := [field for field in ("item_id", "title") if field not in found]:
        wanted_names = "; ".join(f"{f}: {', '.join(_ALIASES[f])}" for f in missing)
        raise DataError(f"{file} lacks a column for {wanted_names}")
    return found


def _details(value: Any) -> dict[str, str] | None:
    """[{"Product Details": "…"}, {"Brand": "…"}] as one dict; None for any other text."""
    if value is None or str(value).lstrip()[:1] not in ("[", "{"):
        return None
    found = fields_of(value)
    if found is UNREADABLE or not isinstance(found, list | dict):
        return None
    entries = found if isinstance(found, list) else [found]
    return {
        str(name): plain_text(str(words))
        for entry in entries
        if isinstance(entry, dict)
        for name, words in entry.items()
    }


def _brand(details: Mapping[str, str]) -> str | None:
    """ "Brand": "By Topshop The one …" begins with the brand, as far as capitals go."""
    said = details.get("Brand", "").removeprefix("By ")
    words = []
    for word in said.split()[:4]:
        if not word[:1].isupper() and not word[:1].isdigit():
            break
        words.append(word)
    return " ".join(words[:2]) or None


def _stock(raw: Mapping[str, Any]) -> bool | None:
    """From ASOS' sizes, "UK 4, UK 6 - Out of stock": in stock while one size is."""
    sizes = text(raw.get("size"))
    if sizes is None or "out of stock" not in sizes.lower():
        return None
    return any("out of stock" not in size.lower() for size in sizes.split(","))
