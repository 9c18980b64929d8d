"""The formats `hemline data import` knows, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemline_training.data.baskets import read_baskets
from hemline_training.data.fashion import read_fashion_products
from hemline_training.data.hm import read_hm
from hemline_training.data.movielens import read_movielens
from hemline_training.data.pairs import read_pairs
from hemline_training.data.rent_the_runway import read_rent_the_runway
from hemline_training.data.shop_export import read_asos, read_myntra
from hemline_training.data.source import Reader
from hemline_training.data.table import read_table
from hemline_training.data.tables import Tables
from hemline_training.data.web_log import read_web_log

# Called with the path, the tables to fill, how to read, and the column map.
Read = Callable[[Path, Tables, Reader, dict[str, Any]], None]


@dataclass(frozen=True)
class Format:
    """How a format is read, and what it expects at the path, in a line."""

    read: Read
    expects: str
    takes_columns: bool = False


FORMATS: dict[str, Format] = {
    "fashion-products": Format(
        read_fashion_products, "a folder of products.csv, styles_15k.csv and images_60x80.parquet"
    ),
    "hm": Format(read_hm, "a folder of articles, customers, transactions_train (.csv) and images/"),
    "asos": Format(read_asos, "one .csv, .jsonl or .parquet of products"),
    "myntra": Format(read_myntra, "one .csv, .jsonl or .parquet of products"),
    "table": Format(read_table, "tables of your own, with a column map", takes_columns=True),
    "web-log": Format(read_web_log, "a log of events and buttons", takes_columns=True),
    "rent-the-runway": Format(read_rent_the_runway, "rentals as .parquet, .csv or .json(.gz)"),
    "movielens": Format(read_movielens, "a folder with u.data, ratings.dat or ratings.csv"),
    "pairs": Format(read_pairs, "train, valid, test as .npy or text, or one such file"),
    "baskets": Format(read_baskets, "a text file, one basket a line, items between commas"),
}
