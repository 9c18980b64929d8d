"""MovieLens in each of its writings: 100k (u.data, with or without header), 1M (.dat) and .csv."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from hemline.errors import DataError
from hemline_training.catalogue.csv_rows import Dialect
from hemline_training.data.ages import age_of
from hemline_training.data.source import OnBad, Reader, one_of
from hemline_training.data.tables import Table, Tables
from hemline_training.data.values import UNREADABLE, gender_of, moment_ms, number, text

_BEST_RATING = 5.0
_COLLECTED = date(1998, 4, 22)
_YEAR = re.compile(r"\((\d{4})\)\s*$")
_GENRE_NAMES = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
)
_GENRES_100K = tuple(_GENRE_NAMES.split("|"))
_RATINGS = ("user", "item", "rating", "timestamp")
_USERS = ("user", "age", "gender", "occupation", "zip")
_USERS_1M = ("user", "gender", "age", "occupation", "zip")
_ITEMS_100K = ("item", "title", "releaseDate", "videoReleaseDate", "imdbURL", *_GENRES_100K)
_NAMES = {"userId": "user", "movieId": "item", "zip_code": "zip"}  # of the .csv writing
# MovieLens 1M gives the youngest age of a group of its own; this is about the group's middle.
_AGES_1M = {1: 15, 18: 21, 25: 29, 35: 39, 45: 47, 50: 52, 56: 61}


def read_movielens(path: Path, tables: Tables, reader: Reader, _columns: dict[str, Any]) -> None:
    """Ratings as purchases whose weight is the rating; users and films where the files are there.

    Raises DataError when the folder has no ratings.
    """
    writing = _writing(path)
    if writing.users is not None:
        for row in writing.rows(reader, writing.users, tables.users, writing.user_columns):
            _add_user(row, tables, writing.ages_are_groups)
    if writing.items is not None:
        for row in writing.rows(reader, writing.items, tables.items, writing.item_columns):
            _add_item(row, tables)
    for row in writing.rows(reader, writing.ratings, tables.events, _RATINGS):
        _add_rating(row, tables)


@dataclass(frozen=True)
class _Writing:
    ratings: Path
    items: Path | None
    users: Path | None
    delimiter: str
    encoding: str
    item_columns: tuple[str, ...]
    user_columns: tuple[str, ...] = _USERS
    ages_are_groups: bool = False

    def rows(
        self, reader: Reader, path: Path, table: Table, columns: tuple[str, ...]
    ) -> Iterator[dict[str, Any]]:
        """Rows with our column names, whether or not the file names its own."""
        header = _first_line(path)
        delimiter = self.delimiter
        if delimiter == "\t" and "\t" not in header:
            delimiter = "|"
        named = not header.split(delimiter)[0].isdecimal()
        dialect = Dialect(delimiter, delimiter == ",", None if named else columns, self.encoding)
        bad: OnBad = table.report.bad
        for row in reader.rows(path, (), bad, dialect):
            yield {_NAMES.get(name, name): value for name, value in row.items()}


def _writing(path: Path) -> _Writing:
    if path.is_file():
        path = path.parent
    if ratings := one_of(path, ["u.data"]):
        users, items = one_of(path, ["u.user"]), one_of(path, ["u.item"])
        # GroupLens' own copy is Latin-1, others were turned into UTF-8.
        encoding = "utf-8" if items is None or _is_utf8(items) else "latin-1"
        return _Writing(ratings, items, users, "\t", encoding, _ITEMS_100K)
    if ratings := one_of(path, ["ratings.dat"]):
        users, items = one_of(path, ["users.dat"]), one_of(path, ["movies.dat"])
        columns = ("item", "title", "genres")
        return _Writing(ratings, items, users, "::", "latin-1", columns, _USERS_1M, True)
    if ratings := one_of(path, ["ratings.csv"]):
        items = one_of(path, ["movies.csv"])
        return _Writing(ratings, items, None, ",", "utf-8", ("item", "title", "genres"))
    raise DataError(f"{path} holds none of u.data, ratings.dat and ratings.csv")


def _add_user(row: dict[str, Any], tables: Tables, ages_are_groups: bool) -> None:
    user: dict[str, Any] = {
        "user_id": text(row.get("user")),
        "gender": gender_of(row.get("gender")),
        "postal_code": text(row.get("zip")),
        "imputed": [],
    }
    if occupation := text(row.get("occupation")):
        user["attributes"] = json.dumps({"occupation": occupation})
    age = number(row.get("age"))
    if ages_are_groups and isinstance(age, float) and int(age) in _AGES_1M:
        user["age"], user["imputed"] = _AGES_1M[int(age)], ["age"]
    elif (years := age_of(row.get("age"), on=_COLLECTED)) is UNREADABLE:
        example = f"{user['user_id']}: {row['age']}"
        tables.users.report.count("repaired", "age: no age, left unknown", example)
    else:
        user["age"] = years
    tables.add_user(user)


def _add_item(row: dict[str, Any], tables: Tables) -> None:
    title = text(row.get("title"))
    genres = [g for g in _GENRES_100K if text(row.get(g)) == "1"]
    genres = genres or [g for g in (row.get("genres") or "").split("|") if g and "(no " not in g]
    year = _YEAR.search(title or "")
    tables.items.add(
        {
            "item_id": text(row.get("item")),
            "title": title,
            "year": int(year[1]) if year else None,
            "master_category": "Films",
            "article_type": genres[0] if genres else None,
            "description": ", ".join(genres) or None,
        }
    )


def _add_rating(row: dict[str, Any], tables: Tables) -> None:
    rating, moment = number(row.get("rating")), moment_ms(row.get("timestamp"))
    example = ", ".join(f"{name}={value}" for name, value in row.items())
    if rating is UNREADABLE or rating is None or not 0 < rating <= _BEST_RATING:
        tables.events.report.bad("rating: none, or not above 0 and at most 5", example)
    elif moment is UNREADABLE:
        tables.events.report.bad("timestamp: no time", example)
    else:
        tables.events.add(
            {
                "user_id": text(row.get("user")),
                "item_id": text(row.get("item")),
                "kind": "purchase",
                "weight": rating,
                "rating": rating,
                "occurred_ms": moment,
            }
        )


def _first_line(path: Path) -> str:
    with Reader(progress=False).open(path) as file:
        return file.readline(4096).decode("utf-8", errors="replace").strip()


def _is_utf8(path: Path) -> bool:
    with Reader(progress=False).open(path) as file:
        try:
            for line in file:
                line.decode("utf-8")
        except UnicodeDecodeError:
            return False
    return True
