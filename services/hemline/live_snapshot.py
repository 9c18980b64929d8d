"""Snapshots of live items on disk: what changed since the release, and how far the topic was read.

    FOLDER/RELEASE.NUMBER.live      one line of facts (JSON), then one IndexedItem after another,
                                    each after its length; the first line holds the sha256 of all

A snapshot is written to a new file, flushed, and renamed: it is whole or absent, and the one before
it stays until then. One that fails its checksum all the same is reported and counted, and the one
before it is used; without any, the topic is read from its start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hemline import metrics
from hemline.errors import InvalidInputError
from hemline.live_change import Change
from hemline.live_record import change_from_proto, change_to_proto, read_record

logger = logging.getLogger(__name__)

KEPT = 2
_SUFFIX = ".live"
_LENGTH_BYTES = 4


@dataclass(frozen=True)
class Snapshot:
    """log: identity of the topic. offsets: partition -> offset of the next record to read."""

    log: str
    offsets: Mapping[int, int]
    changes: Sequence[Change]


class Snapshots:
    """The snapshots of one process's live items of one release, in a folder of its own."""

    def __init__(self, folder: Path, release_id: str) -> None:
        self._folder = folder
        self._release_id = release_id

    def save(self, snapshot: Snapshot) -> Path:
        """Write a snapshot and drop all but the newest KEPT.

        Raises OSError, e.g. when the disk is full; the earlier snapshots are as they were then.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        body = b"".join(_framed(snapshot, self._release_id))
        number = max((_number(path) for path in self._files()), default=0) + 1
        path = self._folder / f"{self._release_id}.{number}{_SUFFIX}"
        staged = path.with_suffix(".staged")
        try:
            with staged.open("wb") as file:
                file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            staged.rename(path)
        finally:
            staged.unlink(missing_ok=True)
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        for old in self._files()[KEPT:]:
            old.unlink(missing_ok=True)
        metrics.LIVE_SNAPSHOTS.labels("saved").inc()
        return path

    def newest(self) -> Snapshot | None:
        """The newest whole snapshot of the release, or None."""
        for path in self._files():
            try:
                return _read(path.read_bytes())
            except (OSError, ValueError, KeyError, InvalidInputError) as error:
                metrics.LIVE_SNAPSHOTS.labels("corrupt").inc()
                logger.error(
                    "snapshot %s is of no use, the one before it is tried: %s", path, error
                )
        return None

    def _files(self) -> list[Path]:
        """Newest first."""
        found = self._folder.glob(f"{self._release_id}.*{_SUFFIX}")
        return sorted(found, key=_number, reverse=True)


def snapshots_in(folder: Path | None, process: str, release_id: str) -> Snapshots | None:
    """Those of one process below a folder for all, or None without one."""
    return None if folder is None else Snapshots(folder / process, release_id)


def _number(path: Path) -> int:
    digits = path.name.removesuffix(_SUFFIX).rpartition(".")[2]
    return int(digits) if digits.isdigit() else 0


def _framed(snapshot: Snapshot, release_id: str) -> Iterator[bytes]:
    offsets = {str(partition): offset for partition, offset in snapshot.offsets.items()}
    facts = {"log": snapshot.log, "offsets": offsets, "changes": len(snapshot.changes)}
    yield json.dumps(facts).encode() + b"\n"
    for change in snapshot.changes:
        record = change_to_proto(change, release_id).SerializeToString()
        yield len(record).to_bytes(_LENGTH_BYTES, "little") + record


def _read(data: bytes) -> Snapshot:
    """Raises ValueError, KeyError or InvalidInputError when the file is not whole."""
    checksum, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise ValueError(f"its {len(data)} bytes fail their checksum")
    line, _, records = body.partition(b"\n")
    facts = json.loads(line)
    changes = []
    at = 0
    for _ in range(int(facts["changes"])):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(records[at:start], "little")
        message = read_record(records[start:at])
        changes.append(change_from_proto(message, message.order))
    offsets = {int(partition): int(offset) for partition, offset in facts["offsets"].items()}
    return Snapshot(str(facts["log"]), offsets, changes)
