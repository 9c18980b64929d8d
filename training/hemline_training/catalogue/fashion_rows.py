"""The two tables of the Fashion Product Images export, read into typed rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hemline_training.catalogue.csv_rows import BadLine, read_rows
from hemline_training.catalogue.report import ImportReport
from hemline_training.catalogue.titles import clean_title, unglue_gender
from hemline_training.data.values import known

PRODUCT_COLUMNS = ("product_id", "title", "description", "category", "image_url")
STYLE_COLUMNS = ("id", "gender", "articleType", "season", "year")
_OTHER_STYLE_COLUMNS = {
    "masterCategory",
    "subCategory",
    "baseColour",
    "usage",
    "productDisplayName",
    "image",
}


@dataclass(frozen=True)
class Product:
    """One row of products.csv, its description taken apart. None where blank."""

    product_id: str
    title: str
    master_category: str | None
    sub_category: str | None
    article_type: str | None
    colour: str | None
    usage: str | None


@dataclass(frozen=True)
class Style:
    """What styles_15k.csv adds to a product. None where blank."""

    gender: str | None = None
    article_type: str | None = None
    season: str | None = None
    year: int | None = None


def read_products(path: Path, report: ImportReport) -> dict[str, Product]:
    """products.csv by product_id, in file order; adds its rows to `report.rows_in`.

    Raises CatalogueError when the file or a column is missing.
    """

    def skip(line: BadLine) -> None:
        report.rows_in += 1
        example = f"line {line.number}: {line.beginning}"
        report.count("dropped", f"unreadable: {line.reason}", example)

    unknown = _note_unknown_columns(path, report, set())
    products: dict[str, Product] = {}
    for row in read_rows(path, PRODUCT_COLUMNS, skip, unknown, _has_number("product_id")):
        report.rows_in += 1
        product_id = row["product_id"].strip()
        title = clean_title(row["title"])
        parts = [known(part) for part in row["description"].split(" - ")]
        if product_id in products:
            report.count("dropped", "product_id repeated, the first row wins", product_id)
        elif known(title) is None:
            report.count("dropped", "no title", product_id)
        elif len(parts) != 5:
            example = f"{product_id}: {row['description']}"
            report.count("dropped", "description is not five parts", example)
        else:
            if title != row["title"]:
                report.count("repaired", "title: white space or entities", repr(row["title"]))
            unglued = unglue_gender(title)
            if unglued != title:
                report.count("repaired", "title: gender word glued to its neighbour", title)
            if "\\" in row["image_url"]:
                example = row["image_url"]
                report.count("repaired", "image_url: Windows path, image joined by id", example)
            if known(row["category"]) != parts[0]:
                example = f"{product_id}: {row['category']} / {parts[0]}"
                report.count("noted", "category is not the description's, which wins", example)
            products[product_id] = Product(product_id, unglued, *parts)
    return products


def read_styles(path: Path, report: ImportReport) -> dict[str, Style]:
    """styles_15k.csv by id. Raises CatalogueError when the file or a column is missing."""

    def skip(line: BadLine) -> None:
        example = f"line {line.number}: {line.beginning}"
        report.count("noted", f"{path.name} unreadable: {line.reason}", example)

    styles: dict[str, Style] = {}
    unknown = _note_unknown_columns(path, report, _OTHER_STYLE_COLUMNS)
    for row in read_rows(path, STYLE_COLUMNS, skip, unknown, _has_number("id")):
        year = row["year"].strip()
        in_range = year.isdecimal() and 1900 <= int(year) <= 2100
        if year and not in_range:
            report.count("noted", f"{path.name}: year out of range, left unknown", year)
        styles.setdefault(
            row["id"].strip(),
            Style(
                gender=known(row["gender"]),
                article_type=known(row["articleType"]),
                season=known(row["season"]),
                year=int(year) if in_range else None,
            ),
        )
    return styles


def _has_number(column: str) -> Callable[[dict[str, str]], bool]:
    """Ids of this export are numbers: what has none is no row but the rest of a broken one."""
    return lambda row: row[column].strip().isdecimal()


def _note_unknown_columns(
    path: Path, report: ImportReport, expected: set[str]
) -> Callable[[list[str]], None]:
    def note(names: list[str]) -> None:
        for name in names:
            if name not in expected:
                report.count("noted", "unknown columns, ignored", f"{path.name}: {name}")

    return note
