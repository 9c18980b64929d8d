"""Reading a CSV of unknown upbringing: a bad line costs itself, never its neighbours."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hemline.errors import CatalogueError

MAX_LINE_BYTES = 64 * 1024
_MAX_LINES_PER_ROW = 20


@dataclass(frozen=True)
class Dialect:
    """How a file of rows is written. `header` names the columns of a file that does not."""

    delimiter: str = ","
    quotes: bool = True
    header: tuple[str, ...] | None = None
    encoding: str = "utf-8"


COMMA_SEPARATED = Dialect()


def open_plain(path: Path) -> BinaryIO:
    """The file's bytes. Raises OSError."""
    return path.open("rb")


@dataclass(frozen=True)
class BadLine:
    """A line that is no row: its number in the file (from 1), why, and how it begins."""

    number: int
    reason: str
    beginning: str


def read_rows(
    path: Path,
    required: Sequence[str],
    on_bad_line: Callable[[BadLine], None],
    on_unknown_columns: Callable[[list[str]], None] = lambda _names: None,
    is_row: Callable[[dict[str, str]], bool] = lambda _row: True,
    dialect: Dialect = COMMA_SEPARATED,
    open_file: Callable[[Path], BinaryIO] = open_plain,
) -> Iterator[dict[str, str]]:
    """The rows of a file, one dict each; by default a UTF-8, comma-separated one with a header.

    A row may span lines inside quotes, but a line that is a row by itself (as many columns as the
    header, and `is_row` agrees) is never swallowed by an unclosed quote above it. Lines that cannot
    be read go to `on_bad_line` and reading goes on with the next. Raises CatalogueError when the
    file or one of the `required` columns is missing.
    """
    try:
        stream = open_file(path)
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror or error}") from error
    with stream:
        lines = _Lines(stream, on_bad_line, dialect)
        header = _header(lines, path, required, dialect)
        unknown = [name for name in header if name not in required]
        if unknown:
            on_unknown_columns(unknown)

        def is_whole_row(fields: list[str]) -> bool:
            same = len(fields) == len(header)
            return same and is_row(dict(zip(header, fields, strict=True)))

        for line in lines:
            fields = _parse(line.text, dialect)
            if fields is None:
                fields = _joined(line, lines, is_whole_row, dialect)
            if fields is None:
                lines.refuse(line, "broken quotes")
            elif len(fields) != len(header):
                few_or_many = "too few" if len(fields) < len(header) else "too many"
                lines.refuse(line, f"{few_or_many} columns")
            elif not is_whole_row(fields):
                lines.refuse(line, "no row of this table")
            else:
                yield dict(zip(header, fields, strict=True))


@dataclass(frozen=True)
class _Line:
    number: int
    text: str


class _Lines:
    """Decoded, non-blank lines with look-ahead; undecodable ones are reported and left out."""

    def __init__(
        self, stream: BinaryIO, on_bad_line: Callable[[BadLine], None], dialect: Dialect
    ) -> None:
        self._stream = stream
        self._dialect = dialect
        self._on_bad_line = on_bad_line
        self._number = 0
        self._ahead: list[_Line] = []

    def __iter__(self) -> Iterator[_Line]:
        while (line := self.peek(0)) is not None:
            self._ahead.pop(0)
            yield line

    def peek(self, distance: int) -> _Line | None:
        while len(self._ahead) <= distance:
            line = self._next()
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[distance]

    def skip(self, count: int) -> None:
        del self._ahead[:count]

    def refuse(self, line: _Line, reason: str) -> None:
        self._on_bad_line(BadLine(line.number, reason, line.text[:80]))

    def _next(self) -> _Line | None:
        while raw := self._stream.readline(MAX_LINE_BYTES):
            self._number += 1
            too_long = not raw.endswith(b"\n") and len(raw) == MAX_LINE_BYTES
            if too_long:
                self._skip_to_line_end()
            if self._number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            text, is_decoded = _decode(raw, self._dialect.encoding)
            line = _Line(self._number, text.rstrip("\r\n"))
            if too_long:
                self.refuse(line, f"a line longer than {MAX_LINE_BYTES} bytes")
            elif "\0" in text:
                self.refuse(line, "NUL bytes")
            elif not is_decoded:
                self.refuse(line, f"not {self._dialect.encoding.upper()}")
            elif text.strip():
                return line
        return None

    def _skip_to_line_end(self) -> None:
        while (rest := self._stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass


def _header(lines: _Lines, path: Path, required: Sequence[str], dialect: Dialect) -> list[str]:
    if dialect.header is not None:
        header = list(dialect.header)
    else:
        line = next(iter(lines), None)
        header = [name.strip() for name in (_parse(line.text, dialect) if line else None) or []]
    missing = [name for name in required if name not in header]
    if missing:
        raise CatalogueError(f"{path} lacks the column(s) {', '.join(missing)}")
    if len(set(header)) < len(header):
        raise CatalogueError(f"{path} names a column twice: {', '.join(header)}")
    return header


def _joined(
    first: _Line, lines: _Lines, is_whole_row: Callable[[list[str]], bool], dialect: Dialect
) -> list[str] | None:
    """The row that starts in `first` and closes its quotes some lines later, if there is one."""
    text = first.text
    for extra in range(_MAX_LINES_PER_ROW):
        line = lines.peek(extra)
        alone = None if line is None else _parse(line.text, dialect)
        if line is None or (alone is not None and is_whole_row(alone)):
            return None
        text += "\n" + line.text
        fields = _parse(text, dialect)
        if fields is not None and is_whole_row(fields):
            lines.skip(extra + 1)
            return fields
    return None


def _parse(text: str, dialect: Dialect) -> list[str] | None:
    if not dialect.quotes or ('"' not in text and "\r" not in text):
        return text.split(dialect.delimiter)
    try:
        source = io.StringIO(text, newline="\n")
        rows = list(csv.reader(source, strict=True, delimiter=dialect.delimiter))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _decode(raw: bytes, encoding: str) -> tuple[str, bool]:
    """The text, and whether it is whole; what cannot be decoded is replaced."""
    try:
        return raw.decode(encoding), True
    except UnicodeDecodeError:
        return raw.decode(encoding, errors="replace"), False
