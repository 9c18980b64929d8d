"""Reading the files of a source a batch at a time: CSV, JSON lines or parquet, plain or gzipped."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from hemline.errors import DataError
from hemline_training.catalogue.csv_rows import COMMA_SEPARATED, BadLine, Dialect, read_rows

_ROWS_PER_BATCH = 2048
_MAX_JSON_LINE_BYTES = 1 << 20

OnBad = Callable[[str, str], None]


@dataclass(frozen=True)
class Reader:
    """How the files of one import are read; `progress` shows a bar for each on a terminal."""

    progress: bool = True

    @property
    def hidden(self) -> bool | None:
        """What tqdm takes: None hides its bars where stderr is no terminal."""
        return None if self.progress else True

    def rows(
        self,
        path: Path,
        required: Sequence[str],
        on_bad: OnBad,
        dialect: Dialect = COMMA_SEPARATED,
        is_row: Callable[[dict[str, str]], bool] = lambda _row: True,
    ) -> Iterator[dict[str, Any]]:
        """The rows of a .csv, .json(l) or .parquet file, plain or .gz, one dict each.

        What cannot be read goes to `on_bad` as (reason, example). Raises DataError when the file
        is missing, broken as a whole, or lacks one of the `required` columns.
        """
        name = path.name.removesuffix(".gz")
        if name.endswith((".parquet", ".pq")):
            yield from self._parquet(path, required)
        elif name.endswith((".json", ".jsonl", ".ndjson")):
            yield from self._json_lines(path, required, on_bad)
        else:

            def bad(line: BadLine) -> None:
                on_bad(f"unreadable: {line.reason}", f"line {line.number}: {line.beginning}")

            yield from read_rows(path, required, bad, is_row=is_row, dialect=dialect,
                                 open_file=self.open)  # fmt: skip

    def lines(self, path: Path, on_bad: OnBad, max_bytes: int) -> Iterator[tuple[int, str]]:
        """Non-blank lines of a UTF-8 text with their numbers. Raises DataError."""
        number = 0
        with self.open(path) as file:
            while raw := file.readline(max_bytes):
                number += 1
                if len(raw) == max_bytes and not raw.endswith(b"\n"):
                    while (rest := file.readline(max_bytes)) and not rest.endswith(b"\n"):
                        pass
                    on_bad(f"unreadable: a line longer than {max_bytes} bytes", f"line {number}")
                    continue
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError:
                    on_bad("unreadable: not UTF-8", f"line {number}")
                    continue
                if line:
                    yield number, line

    def open(self, path: Path) -> BinaryIO:
        """The bytes of a file, decompressed, its progress shown. Raises DataError."""
        try:
            size = path.stat().st_size
            raw = _Watched(path, tqdm(total=size, desc=path.name, unit="B", unit_scale=True,
                                      disable=self.hidden, leave=False))  # fmt: skip
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        if path.suffix == ".gz":
            return io.BufferedReader(_Gunzipped(path, raw), 1 << 18)
        return io.BufferedReader(raw, 1 << 18)

    def _json_lines(
        self, path: Path, required: Sequence[str], on_bad: OnBad
    ) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for number, line in self.lines(path, on_bad, _MAX_JSON_LINE_BYTES):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                on_bad("unreadable: no JSON", f"line {number}: {line[:80]}")
                continue
            if not isinstance(row, dict):
                on_bad("unreadable: no JSON object", f"line {number}: {line[:80]}")
                continue
            if len(seen) < 10_000:
                seen.update(row)
            yield row
        if missing := [name for name in required if name not in seen]:
            raise DataError(f"{path} lacks the key(s) {', '.join(missing)}")

    def _parquet(self, path: Path, required: Sequence[str]) -> Iterator[dict[str, Any]]:
        try:
            # Without these two a row group would be held in memory whole.
            file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
            missing = [name for name in required if name not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path} lacks the column(s) {', '.join(missing)}")
            with tqdm(total=file.metadata.num_rows, desc=path.name, unit="row",
                      disable=self.hidden, leave=False) as bar:  # fmt: skip
                for batch in file.iter_batches(_ROWS_PER_BATCH):
                    yield from batch.to_pylist()
                    bar.update(batch.num_rows)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read: {error}") from error


class _Watched(io.RawIOBase):
    """A file that tells a progress bar how far it was read."""

    def __init__(self, path: Path, bar: Any) -> None:
        self._file = path.open("rb", buffering=0)
        self._bar = bar

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._file.readinto(buffer)
        self._bar.update(count or 0)
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._bar.close()
        super().close()


class _Gunzipped(io.RawIOBase):
    """A gzipped file whose damage is a DataError like that of any other."""

    def __init__(self, path: Path, raw: io.RawIOBase) -> None:
        self._path = path
        self._raw = raw
        self._gzip = gzip.GzipFile(fileobj=io.BufferedReader(raw), mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._gzip.read(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._path} is a damaged gzip file: {error}") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._gzip.close()
            self._raw.close()
        super().close()


def one_of(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of the files that is there, plain or gzipped; None when none is."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None
