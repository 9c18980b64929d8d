"""Pairs of user and item without anything else, as the benchmarks of collaborative filtering come.

One file or a folder of train, valid and test files: text with `user item item …` a line (LightGCN's
way), `user,item` or tab-separated a line, or .npy of integers, shape (2, N) or (N, 2).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemline.errors import DataError
from hemline_training.data.source import Reader, one_of
from hemline_training.data.tables import Tables

_SPLITS = {
    "train": ("train",),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test",),
}
_ENDINGS = (".npy", ".txt", ".tsv", ".csv", ".inter", ".dat")
_MAX_LINE_BYTES = 4 << 20  # about half a million items of one user
_PAIRS_PER_CHUNK = 65_536


def read_pairs(path: Path, tables: Tables, reader: Reader, _columns: dict[str, Any]) -> None:
    """Events without time. A pair that occurs again in one split counts once.

    Raises DataError when no file is there or an array has another shape.
    """
    tables.events.duplicates = "the same pair again"
    for split, file in _files(path):
        if file.suffix == ".npy":
            _read_array(file, split, tables)
        else:
            _read_text(file, split, tables, reader)


def _files(path: Path) -> list[tuple[str | None, Path]]:
    if path.is_file():
        return [(None, path)]
    found: list[tuple[str | None, Path]] = []
    for split, names in _SPLITS.items():
        file = one_of(path, [name + ending for name in names for ending in _ENDINGS])
        if file is not None:
            found.append((split, file))
    if not found:
        raise DataError(f"{path} holds no train, valid or test file ({', '.join(_ENDINGS)})")
    return found


def _read_text(file: Path, split: str | None, tables: Tables, reader: Reader) -> None:
    report = tables.events.report
    for number, line in reader.lines(file, report.bad, _MAX_LINE_BYTES):
        where = f"{file.name} line {number}: {line[:80]}"
        if "," in line or "\t" in line:
            user, *items = (part.strip() for part in re.split("[,\t]", line))
            if len(items) != 1:
                report.bad("not a pair of user and item (more columns: use `table`)", where)
                continue
            if number == 1 and not items[0].isdecimal() and not user.isdecimal():
                report.count("noted", "a header, not a pair", where)
                continue
        else:
            user, *items = line.split()
        if re.search(r"[|;:]", line):
            report.bad("not separated by blanks, a comma or a tab", where)
            continue
        if not items:
            report.count("noted", "a user without items", where)
        for item in items:
            tables.events.add({"user_id": user, "item_id": item, "split": split})


def _read_array(file: Path, split: str | None, tables: Tables) -> None:
    try:
        array: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file} is no readable .npy file: {error}") from error
    if array.ndim != 2 or 2 not in array.shape or array.dtype.kind not in "iuU":
        raise DataError(
            f"{file} has shape {array.shape} of {array.dtype}; pairs are integers or strings of "
            "shape (2, N), users above items, or (N, 2)"
        )
    pairs = array.T if array.shape[0] == 2 else array
    for start in range(0, len(pairs), _PAIRS_PER_CHUNK):
        for user, item in pairs[start : start + _PAIRS_PER_CHUNK].tolist():
            if isinstance(user, int) and (user < 0 or item < 0):
                tables.events.report.bad("a negative id", f"{file.name}: {user}, {item}")
            else:
                tables.events.add({"user_id": str(user), "item_id": str(item), "split": split})
