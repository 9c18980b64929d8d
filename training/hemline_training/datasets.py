"""Data to compare recommenders on: a folder read into columns, and the ways to cut it into folds.

Two kinds of folder are taken: an imported one (`hemline data import`: items, users and events), and
one with a given split, `train`, perhaps `valid`, and `test`, as .npy of shape (2, N) or as text of
`user item item …` a line. Ids of the second kind are already row numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from hemline.errors import DataError, InvalidInputError
from hemline.user_profile import EVENT_WEIGHT
from hemline.vectors import F32, normalise
from hemline_training.data.schema import ITEMS, SCHEMAS, USERS, DataFolder
from hemline_training.data.trained_log import CONTENT
from hemline_training.interactions import I64, LIKED_GRADE
from hemline_training.recommenders.base import Feedback

SPLITS = ("given", "time", "random", "leave-one-out", "k-fold")
PARTS = ("train", "valid", "test")
TEST_SHARE = 0.25  # of a random split, as the published MovieLens 100k figures use
TIME_SHARE = 0.1  # of all events, in the test part of a time split


@dataclass(frozen=True)
class Events:
    """One row an event. part: int8 index into PARTS, -1 where no split is given.

    users, items int64 (e,), rows of n_users and n_items; liked bool; ratings float32, NaN where
    there is none; times_ms int64, -1 where unknown.
    """

    users: I64
    items: I64
    liked: npt.NDArray[np.bool_]
    ratings: npt.NDArray[np.float32]
    times_ms: I64
    part: npt.NDArray[np.int8]
    n_users: int
    n_items: int
    user_table: pa.Table | None = None
    item_table: pa.Table | None = None
    content: F32 | None = None

    def __len__(self) -> int:
        return len(self.users)

    def select(self, rows: npt.NDArray[np.bool_]) -> Events:
        chosen = {
            name: getattr(self, name)[rows]
            for name in ("users", "items", "liked", "ratings", "times_ms", "part")
        }
        return replace(self, **chosen)

    def likes(self) -> csr_matrix:
        """float32 CSR (n_users, n_items), 1 for each distinct pair that was liked."""
        return _last_of_pairs(self, self.liked, np.ones(len(self), np.float32))

    def rated(self) -> csr_matrix | None:
        """float32 CSR of the last rating of each pair; None where nothing is rated."""
        known = np.isfinite(self.ratings)
        return _last_of_pairs(self, known, self.ratings) if known.any() else None

    def feedback(self, now_ms: int = 0) -> Feedback:
        timed = self.liked & (self.times_ms >= 0)
        times = _last_of_pairs(self, timed, self.times_ms) if timed.any() else None
        return Feedback(
            likes=self.likes(),
            ratings=self.rated(),
            times_ms=times,
            places=_last_of_pairs(self, self.liked, _places(self)),
            users=self.user_table,
            items=self.item_table,
            content=self.content,
            now_ms=now_ms or int(self.times_ms.max(initial=0)),
        )


@dataclass(frozen=True)
class Fold:
    """What may be learned from, and what is then to be found.

    test: float32 CSR (n_users, n_items), liked later (or held out) and not liked in train.
    test_ratings: explicit ratings held out, or None. valid: a given validation part, or None; it is
    neither learned from nor masked.
    """

    train: Feedback
    test: csr_matrix
    test_ratings: csr_matrix | None = None
    valid: csr_matrix | None = None


def read_events(path: Path) -> Events:
    """Raises DataError for a folder that is neither of the two kinds, or whose files are broken."""
    if not path.is_dir():
        raise DataError(f"{path} is no folder")
    if (path / "events.parquet").is_file():
        return _imported(DataFolder(path))
    files = {part: _file_of(path, part) for part in PARTS}
    if files["train"] is None or files["test"] is None:
        raise DataError(
            f"{path} holds neither events.parquet (made by `hemline data import`) nor train and "
            "test as .npy of shape (2, N) or as text of `user item item …`"
        )
    columns = [_pairs(file) for file in files.values() if file is not None]
    parts = [code for code, file in enumerate(files.values()) if file is not None]
    users, items = (np.concatenate([pairs[side] for pairs in columns]) for side in (0, 1))
    count = len(users)
    return Events(
        users,
        items,
        np.ones(count, dtype=bool),
        np.full(count, np.nan, dtype=np.float32),
        np.full(count, -1, dtype=np.int64),
        np.repeat(np.array(parts, np.int8), [len(pairs[0]) for pairs in columns]),
        int(users.max(initial=-1)) + 1,
        int(items.max(initial=-1)) + 1,
    )


def folds_of(events: Events, split: str = "", folds: int = 5, seed: int = 0) -> Iterator[Fold]:
    """The folds of a split: one, or `folds` for "k-fold".

    split: one of SPLITS; without it the given one, else by time, else at random. Raises
    InvalidInputError where the events lack what a split needs.
    """
    split = split or default_split(events)
    rng = np.random.default_rng(seed)
    if split == "given":
        if not (events.part == 0).any() or not (events.part == 2).any():
            raise InvalidInputError("split", "this data has no given train and test part")
        valid = events.select(events.part == 1)
        fold = _fold(events.select(events.part == 0), events.select(events.part == 2))
        yield replace(fold, valid=valid.likes()) if len(valid) else fold
    elif split == "time":
        _need_times(events, split)
        cut = int(np.quantile(events.times_ms, 1 - TIME_SHARE, method="lower"))
        yield _fold(events.select(events.times_ms < cut), events.select(events.times_ms >= cut))
    elif split == "random":
        held = rng.random(len(events)) < TEST_SHARE
        yield _fold(events.select(~held), events.select(held))
    elif split == "leave-one-out":
        _need_times(events, split)
        last = _last_like_of_each_user(events)
        yield _fold(events.select(~last), events.select(last))
    elif split == "k-fold":
        if folds < 2:
            raise InvalidInputError("folds", f"{folds} is too few, at least 2 are needed")
        fold_of = rng.permutation(len(events)) % folds
        for number in range(folds):
            held = fold_of == number
            yield _fold(events.select(~held), events.select(held))
    else:
        raise InvalidInputError("split", f"{split!r} is not one of {', '.join(SPLITS)}")


def default_split(events: Events) -> str:
    if (events.part == 2).any():
        return "given"
    return "time" if len(events) and (events.times_ms >= 0).all() else "random"


def _fold(train: Events, test: Events) -> Fold:
    if not len(train) or not len(test):
        raise InvalidInputError(
            "split", f"leaves {len(train)} events to learn, {len(test)} to test"
        )
    feedback = train.feedback(now_ms=max(int(test.times_ms.min()), 0))
    known = feedback.likes
    wanted = test.likes()
    new = csr_matrix(wanted - wanted.multiply(known > 0))
    new.eliminate_zeros()
    return Fold(feedback, new, test.rated())


def _last_like_of_each_user(events: Events) -> npt.NDArray[np.bool_]:
    """The last liked event of each user who likes at least two items."""
    rows = np.flatnonzero(events.liked)
    order = rows[np.lexsort((events.times_ms[rows], events.users[rows]))]
    users = events.users[order]
    final = np.append(users[1:] != users[:-1], True)
    distinct = np.diff(events.likes().indptr)
    chosen = np.zeros(len(events), dtype=bool)
    chosen[order[final & (distinct[users] >= 2)]] = True
    return chosen


def _need_times(events: Events, split: str) -> None:
    unknown = int((events.times_ms < 0).sum())
    if unknown:
        raise InvalidInputError("split", f"{split} needs times; {unknown} events have none")


def _places(events: Events) -> I64:
    """int64 (e,): from 1 up, in the order of time, then of the file."""
    out = np.empty(len(events), dtype=np.int64)
    out[np.argsort(events.times_ms, kind="stable")] = np.arange(1, len(events) + 1)
    return out


def _last_of_pairs(
    events: Events, chosen: npt.NDArray[np.bool_], values: npt.NDArray[np.generic]
) -> csr_matrix:
    """CSR of the value of the last chosen event of each pair, in time, then in file order."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(events.times_ms[rows], kind="stable")]
    pair = events.users[rows] * events.n_items + events.items[rows]
    _, first = np.unique(pair[::-1], return_index=True)
    rows = rows[::-1][first]
    shape = (events.n_users, events.n_items)
    return csr_matrix((values[rows], (events.users[rows], events.items[rows])), shape=shape)


def _file_of(folder: Path, part: str) -> Path | None:
    for ending in (".npy", ".txt"):
        if (folder / f"{part}{ending}").is_file():
            return folder / f"{part}{ending}"
    return None


def _pairs(file: Path) -> tuple[I64, I64]:
    if file.suffix == ".npy":
        try:
            pairs = np.load(file, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"{file} is not a plain .npy file: {error}") from error
        if pairs.ndim != 2 or len(pairs) != 2 or pairs.dtype.kind not in "iu":
            raise DataError(f"{file} is {pairs.dtype} {pairs.shape}, wanted integers (2, N)")
        users, items = pairs.astype(np.int64)
    else:
        numbers, owners = [], []
        for number, line in enumerate(file.read_text().splitlines(), 1):
            try:
                row = np.array(line.split(), dtype=np.int64)
            except ValueError as error:
                raise DataError(f"{file} line {number}: {error}") from error
            if len(row) > 1:
                numbers.append(row[1:])
                owners.append(np.full(len(row) - 1, row[0]))
        empty = np.zeros(0, dtype=np.int64)
        users, items = np.concatenate([empty, *owners]), np.concatenate([empty, *numbers])
    if (users < 0).any() or (items < 0).any():
        raise DataError(f"{file} has negative ids")
    return users, items


def _imported(folder: DataFolder) -> Events:
    users = _table(folder, "users", USERS.names)
    items = _table(folder, "items", [n for n in ITEMS.names if n not in ("image", "image_urls")])
    names = ["user_id", "item_id", "kind", "rating", "occurred_ms", "split"]
    events = _table(folder, "events", names)
    kinds = events["kind"].to_pylist()
    grade = np.array([EVENT_WEIGHT.get(kind, 0.0) for kind in kinds])
    liked = grade >= LIKED_GRADE
    if not liked.any():  # a log of views alone
        liked = grade > 0
    part = pc.fill_null(pc.index_in(events["split"], pa.array(PARTS)), -1)
    return Events(
        _rows_of(events["user_id"], users["user_id"]),
        _rows_of(events["item_id"], items["item_id"]),
        liked,
        pc.fill_null(events["rating"], float("nan")).to_numpy().astype(np.float32),
        pc.fill_null(events["occurred_ms"], -1).to_numpy().astype(np.int64),
        part.to_numpy().astype(np.int8),
        len(users),
        len(items),
        users,
        items,
        _content(folder.path / CONTENT, len(items)),
    )


def _content(file: Path, n_items: int) -> F32 | None:
    """float32 (n_items, d), unit norm; None where the folder has none."""
    if not file.is_file():
        return None
    vectors = np.load(file, allow_pickle=False)
    if vectors.ndim != 2 or len(vectors) != n_items or vectors.dtype.kind != "f":
        raise DataError(
            f"{file} is {vectors.dtype} {vectors.shape}, wanted one row of numbers for each of the "
            f"{n_items} rows of items.parquet"
        )
    return normalise(vectors.astype(np.float32))


def _table(folder: DataFolder, name: str, columns: list[str]) -> pa.Table:
    schema = pa.schema([SCHEMAS[name].field(column) for column in columns])
    batches = [batch.cast(schema) for batch in folder.batches(name, columns)]
    return pa.Table.from_batches(batches, schema=schema)


def _rows_of(ids: pa.ChunkedArray, known: pa.ChunkedArray) -> I64:
    rows = pc.index_in(ids, known.combine_chunks())
    if rows.null_count:
        raise DataError(f"{rows.null_count} events name a user or item that is in no other file")
    return np.asarray(rows.to_numpy(), dtype=np.int64)
