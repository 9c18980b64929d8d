"""What was downloaded, on disk: each image once by its content, each address with its outcome.

Everything lies in a folder `images` beside items.parquet, so that a run that was killed goes on
where it was: `downloads.sqlite` has a row for each address that was settled, written after the
image it names.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from hemline.errors import DataError
from hemline_training.image_download.fetch import Picture

Outcome = Literal["kept", "refused", "failed"]


@dataclass(frozen=True)
class Settled:
    """What became of an address: kept (as sha256), refused for good, or failed so far."""

    outcome: Outcome
    sha256: str = ""
    reason: str = ""


class Kept:
    """The folder of a catalogue's downloads. Raises DataError when its database is not usable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "downloads.sqlite"
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS downloads (url TEXT PRIMARY KEY, outcome TEXT NOT NULL,"
                " sha256 TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID"
            )
        except sqlite3.Error as error:
            raise DataError(f"{path} is no list of downloads: {error}; remove it") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def settled(self, url: str) -> Settled | None:
        """What became of an address in this run or an earlier one; None before it was tried."""
        row = self._database.execute(
            "SELECT outcome, sha256, reason FROM downloads WHERE url = ?", (url,)
        ).fetchone()
        return None if row is None else Settled(*row)

    def keep(self, url: str, picture: Picture) -> tuple[str, bool]:
        """Puts the image down; its sha256, and whether no address had given the same bytes yet."""
        digest = hashlib.sha256(picture.data).hexdigest()
        path = self.path(digest)
        is_new = not path.exists()
        if is_new:
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_name(f".{digest}.{os.getpid()}.tmp")
            try:
                temporary.write_bytes(picture.data)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        self.settle(url, Settled("kept", digest))
        return digest, is_new

    def settle(self, url: str, settled: Settled) -> None:
        """Notes the outcome of an address."""
        self._database.execute(
            "INSERT OR REPLACE INTO downloads VALUES (?, ?, ?, ?)",
            (url, settled.outcome, settled.sha256, settled.reason),
        )

    def path(self, sha256: str) -> Path:
        """Where the image with this digest lies."""
        return self._folder / sha256[:2] / sha256
