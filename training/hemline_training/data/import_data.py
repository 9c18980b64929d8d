"""The import from a source's path to a finished folder: read, settle, write, and only then appear.

import_data("movielens", Path("u.data's folder"), Path(".hemline/data/ml"))
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from hemline.errors import DataError, InvalidInputError
from hemline_training.data.formats import FORMATS
from hemline_training.data.report import DEFAULT_MAX_BAD_SHARE, DataReport
from hemline_training.data.schema import REPORT_FILE, SCHEMAS
from hemline_training.data.source import Reader
from hemline_training.data.tables import Tables


def import_data(
    format: str,
    path: Path,
    out: Path,
    max_bad_share: float = DEFAULT_MAX_BAD_SHARE,
    columns: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> DataReport:
    """Reads `path` in one of FORMATS and leaves the folder `out` with the tables and a report.

    `columns` is the column map of the formats that take one. `out` may be an older import, which
    is replaced. Until everything is written nothing appears at `out`.

    Raises DataError when the source cannot be used or `out` is a folder of something else,
    TooManyBadRowsError past `max_bad_share`, InvalidInputError for an unknown format or a wrong
    column map.
    """
    chosen = FORMATS.get(format)
    if chosen is None:
        raise InvalidInputError("FORMAT", f"{format!r} is none of {', '.join(FORMATS)}")
    if columns is not None and not chosen.takes_columns:
        raise InvalidInputError("--map", f"{format} has columns of its own and takes no map")
    if not 0 <= max_bad_share <= 1:
        raise InvalidInputError("--max-bad-share", f"{max_bad_share} is not from 0 to 1")
    if not path.exists():
        raise DataError(f"{path} does not exist")
    _check_replaceable(out)
    _remove_abandoned(out)
    temporary = out.parent / f".{out.name}.{os.getpid()}.tmp"
    temporary.mkdir(parents=True)
    try:
        spools, folder = temporary / "spools", temporary / "data"
        folder.mkdir()
        tables = Tables(spools, max_bad_share)
        chosen.read(path, tables, Reader(progress), dict(columns or {}))
        tables.write(folder)
        all_tables = (tables.items, tables.users, tables.events)
        report = DataReport(format, path.name, {t.name: t.report for t in all_tables})
        if not any(t.report.rows_out for t in all_tables):
            fault = _most_frequent_fault(report)
            raise DataError(f"{path} has no usable row; {format} is {chosen.expects}{fault}")
        for name in (*(f"{table}.parquet" for table in SCHEMAS), REPORT_FILE):
            report.files[name] = str(out / name)
        report.write(folder / REPORT_FILE)
        _replace(out, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def _check_replaceable(out: Path) -> None:
    """Only an older import or an empty folder may make way for the new one."""
    if out.is_dir() and (not any(out.iterdir()) or (out / REPORT_FILE).is_file()):
        return
    if out.exists():
        raise DataError(f"{out} is there and no imported data folder; choose another --out")


def _remove_abandoned(out: Path) -> None:
    """What an import to the same folder left when it was killed: it can be as large as the data."""
    for folder in out.parent.glob(f".{out.name}.*.tmp"):
        process = folder.name.removesuffix(".tmp").rpartition(".")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _replace(out: Path, folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    old = folder.with_name("old")
    if out.exists():
        out.rename(old)
    try:
        folder.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise


def _most_frequent_fault(report: DataReport) -> str:
    faults = [
        (reason.count, name)
        for table in report.tables.values()
        for name, reason in table.reasons.items()
        if reason.kind == "dropped"
    ]
    return f"; most often: {max(faults)[1]}" if faults else ""
