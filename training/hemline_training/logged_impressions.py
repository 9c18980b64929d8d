"""Reading what a known policy showed to whom, and whether it was clicked.

Two kinds of data have it: the Open Bandit Dataset's files (Saito et al., NeurIPS 2021 Datasets and
Benchmarks; `zozotown_clicks` is of that kind), and an imported folder whose events carry a
propensity. A user of the first is whoever shares the four user features: there are no ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from hemline.errors import DataError, InvalidInputError
from hemline_training.datasets import read_events
from hemline_training.interactions import I64
from hemline_training.off_policy import Impressions

_COLUMNS = ("timestamp", "item_id", "position", "click", "propensity_score")
_USER_FEATURES = "user_feature_"


@dataclass(frozen=True)
class Logged:
    """Impressions, oldest first. users: int64 (n,), rows of n_users; times_ms: int64 (n,).

    Items of the log are rows of n_items; tables as in `Feedback`, where the data has them.
    """

    log: Impressions
    users: I64
    n_users: int
    times_ms: I64
    user_table: pa.Table | None = field(default=None, repr=False)
    item_table: pa.Table | None = field(default=None, repr=False)


def read_logged(path: Path) -> Logged | None:
    """The impressions at `path`: a CSV, or a folder that holds one, or imported events.

    None where there are none. Raises DataError for several such CSVs in a folder or a broken one,
    InvalidInputError for a propensity outside (0, 1] or a click that is neither 0 nor 1.
    """
    if path.is_dir() and (path / "events.parquet").is_file():
        return _imported(path)
    files = [path] if path.is_file() else sorted(path.glob("*.csv"))
    files = [file for file in files if _is_bandit(file)]
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise DataError(f"{path} holds several logs of impressions ({names}); name one of them")
    return _open_bandit(files[0]) if files else None


def _is_bandit(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as lines:
        return set(_COLUMNS) <= set(lines.readline().strip().split(","))


def _open_bandit(file: Path) -> Logged:
    with file.open(encoding="utf-8") as lines:
        header = lines.readline().strip().split(",")
    features = [name for name in header if name.startswith(_USER_FEATURES)]
    types = {name: pa.string() for name in features} | {
        "timestamp": pa.timestamp("us", "UTC"),
        "item_id": pa.int64(),
        "position": pa.int64(),
        "click": pa.float64(),
        "propensity_score": pa.float64(),
    }
    options = pacsv.ConvertOptions(include_columns=[*_COLUMNS, *features], column_types=types)
    try:
        table = pacsv.read_csv(file, convert_options=options)
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: {error}") from error
    missing = [name for name in _COLUMNS if table[name].null_count]
    if missing:
        raise DataError(f"{file}: {', '.join(missing)} is empty in some rows")
    table = table.sort_by("timestamp")
    who = ["\t".join(map(str, row)) for row in zip(*_lists(table, features), strict=True)]
    _, users = np.unique(who or np.zeros(len(table)), return_inverse=True)
    return Logged(
        _impressions(
            table["item_id"].to_numpy(),
            table["position"].to_numpy(),
            table["click"].to_numpy(),
            table["propensity_score"].to_numpy(),
        ),
        users.astype(np.int64),
        int(users.max(initial=-1)) + 1,
        table["timestamp"].cast(pa.int64()).to_numpy() // 1000,
    )


def _lists(table: pa.Table, names: list[str]) -> list[list[str]]:
    return [table[name].to_pylist() for name in names]


def _imported(folder: Path) -> Logged | None:
    """Events with a propensity; a click is an event that counts as a like (not a mere view)."""
    names = ["position", "propensity"]
    if not set(names) <= set(pq.read_schema(folder / "events.parquet").names):
        return None
    columns = pq.read_table(folder / "events.parquet", columns=names)
    shown = pc.is_valid(columns["propensity"]).to_numpy()
    if not shown.any():
        return None
    events = read_events(folder)
    rows = np.flatnonzero(shown)
    rows = rows[np.argsort(events.times_ms[rows], kind="stable")]
    position = pc.fill_null(columns["position"], 1).to_numpy()
    return Logged(
        _impressions(
            events.items[rows],
            position[rows],
            events.liked[rows].astype(np.float64),
            columns["propensity"].to_numpy().astype(np.float64)[rows],
            events.n_items,
        ),
        events.users[rows],
        events.n_users,
        events.times_ms[rows],
        events.user_table,
        events.item_table,
    )


def _impressions(
    items: I64,
    positions: npt.NDArray[np.integer],
    clicks: npt.NDArray[np.float64],
    propensity: npt.NDArray[np.float64],
    n_items: int = 0,
) -> Impressions:
    wrong = ~np.isin(clicks, (0.0, 1.0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InvalidInputError("click", f"{clicks[row]} in impression {row} is neither 0 nor 1")
    if (items < 0).any():
        raise InvalidInputError("item_id", "negative ids")
    _, places = np.unique(positions, return_inverse=True)
    return Impressions(
        np.asarray(items, dtype=np.int64),
        places.astype(np.int64),
        clicks,
        propensity,
        n_items or int(items.max(initial=-1)) + 1,
        int(places.max(initial=-1)) + 1,
    )
