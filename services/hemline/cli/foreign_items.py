"""Items from other platforms, read from a file and sent in portions the gateway accepts.

A row that cannot be used is reported and left out; it never stops the others.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hemline.cli.client import Gateway
from hemline.errors import BadImageError, InvalidInputError
from hemline.images import MAX_IMAGE_BYTES, check_image_header
from hemline.v1 import user_pb2
from hemline.wire import EVENT_KINDS

COLUMNS = ("title", "image", "category", "price", "currency", "weight", "kind")
MAX_ITEMS = 200
MAX_BYTES = 12 * 1024 * 1024  # of one request, below gRPC's limit of 16 MiB

Numbered = tuple[int, user_pb2.ForeignItem]


@dataclass(frozen=True)
class BadRow:
    """A row left out. number: 1 for the first row of the file."""

    number: int
    field: str
    reason: str


@dataclass
class ImportResult:
    rows: int = 0
    accepted: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    ignored_columns: list[str] = field(default_factory=list)
    import_ids: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def import_file(
    gateway: Gateway, user_id: str, path: Path, platform: str = "", replace: bool = False
) -> ImportResult:
    """Import a .csv, .json or .jsonl file for a shopper.

    Raises InvalidInputError for a file that cannot be read as one of them, and what the gateway
    raises for anything but a bad item.
    """
    result = ImportResult()
    good: list[Numbered] = []
    ignored: dict[str, None] = {}
    for number, row in enumerate(read_rows(path), start=1):
        result.rows = number
        try:
            good.append((number, foreign_item(row, path.parent)))
            ignored |= dict.fromkeys(name for name in row if name not in COLUMNS)
        except InvalidInputError as error:
            result.bad_rows.append(BadRow(number, error.field, error.reason))
    result.ignored_columns = list(ignored)
    for portion in portions(good):
        forget = replace and not result.accepted
        _send(gateway, user_id, portion, platform, forget, result)
    result.bad_rows.sort(key=lambda bad: bad.number)
    return result


def read_rows(path: Path) -> Iterator[Any]:
    """The rows of a file, as its suffix says. Raises InvalidInputError."""
    suffix = path.suffix.lower()
    text = path.read_text(encoding="utf-8-sig")
    try:
        if suffix == ".csv":
            yield from csv.DictReader(text.splitlines())
        elif suffix in (".jsonl", ".ndjson"):
            yield from (_object(line) for line in text.splitlines() if line.strip())
        elif suffix == ".json":
            rows = json.loads(text)
            if not isinstance(rows, list):
                raise InvalidInputError(str(path), "is not a list of objects")
            yield from rows
        else:
            raise InvalidInputError(str(path), "is not a .csv, .json or .jsonl file")
    except (csv.Error, json.JSONDecodeError) as error:
        raise InvalidInputError(str(path), f"cannot be read: {error}") from error


def foreign_item(row: Any, folder: Path) -> user_pb2.ForeignItem:
    """One row as a message, its image read from below `folder`. Raises InvalidInputError."""
    if not isinstance(row, dict):
        raise InvalidInputError("row", "is not a readable object")
    text = {name: str(row.get(name) or "").strip() for name in COLUMNS}
    if not text["title"] and not text["image"]:
        raise InvalidInputError("title", "title or image must be given")
    for name, most in (("title", 512), ("category", 128)):
        if len(text[name]) > most:
            raise InvalidInputError(name, f"has more than {most} characters")
    if text["kind"] and text["kind"].lower() not in EVENT_KINDS:
        raise InvalidInputError("kind", f"{text['kind']!r} is not one of {', '.join(EVENT_KINDS)}")
    weight = _number("weight", text["weight"])
    if weight is not None and not 0 < weight <= 100:
        raise InvalidInputError("weight", f"{weight:g} is not above 0 and at most 100")
    return user_pb2.ForeignItem(
        title=text["title"],
        image=_image(folder / text["image"]) if text["image"] else b"",
        category=text["category"],
        price=_number("price", text["price"]),
        currency=text["currency"],
        weight=weight or 0.0,
        kind=EVENT_KINDS.get(text["kind"].lower(), 0),
    )


def portions(items: list[Numbered]) -> Iterator[list[Numbered]]:
    """The items in order, in lists that each fit into one request."""
    portion: list[Numbered] = []
    size = 0
    for number, item in items:
        bytes_more = item.ByteSize()
        if portion and (len(portion) == MAX_ITEMS or size + bytes_more > MAX_BYTES):
            yield portion
            portion, size = [], 0
        portion.append((number, item))
        size += bytes_more
    if portion:
        yield portion


def _send(
    gateway: Gateway,
    user_id: str,
    portion: list[Numbered],
    platform: str,
    replace: bool,
    result: ImportResult,
) -> None:
    try:
        answer = gateway.import_history(user_id, [i for _, i in portion], platform, replace)
    except InvalidInputError as error:
        if not error.field.startswith("items["):  # of the request, not of an item
            raise
        # No item of this portion was usable; the gateway names the first alone.
        index = int(error.field.removeprefix("items[").partition("]")[0])
        for place, (number, _) in enumerate(portion):
            reason = error.reason if place == index else "was refused with the rows around it"
            name = error.field.rpartition(".")[2] if place == index else "row"
            result.bad_rows.append(BadRow(number, name, reason))
        return
    result.accepted += answer.accepted
    result.import_ids.append(answer.import_id)
    for bad in answer.errors:
        result.bad_rows.append(BadRow(portion[bad.index][0], bad.field, bad.message))


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None  # a bad row, not a bad file


def _number(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError(name, f"{text!r} is not a number") from None


def _image(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise BadImageError("image", f"{path.name} has more than 8 MiB")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError("image", f"{path.name}: {error.strerror}") from error
    check_image_header(data)
    return data
