"""Releases: immutable folders that hold one consistent set of everything serving needs.

    <root>/r0003-5be1c2d4/manifest.json      names every file with its size and sha256
    <root>/r0003-5be1c2d4/items.parquet …    (see FILES)
    <root>/current                           id of the promoted release, replaced atomically
    <root>/promotions.jsonl                  every promotion and rollback, in order

A folder is staged under a dot name, checksummed, flushed and renamed: it is whole or absent. Its
integer `version` is also the version of the Triton models that serve it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemline.catalogue import Catalogue
from hemline.contracts import Space
from hemline.errors import NotFoundError, ReleaseError
from hemline.vectors import F32

MANIFEST = "manifest.json"
SCHEMA = 1
FILES = (
    "items.parquet",
    "clip/encoder.json",
    "clip/model.safetensors",
    "towers.safetensors",
    "item_content.npy",
    "item_tower.npy",
    "cf_item_factors.npy",
    "cf.json",
    "neighbours_rows.npy",
    "neighbours_scores.npy",
    "popularity.npy",
    "trending.npy",
    "blend.json",
)
# CLIP's vectors of photos and of words, in releases that were trained with them (as twins.npy is).
PART_SPACES: tuple[Space, ...] = ("image", "text")
RELEASE_ID = re.compile(r"r(\d{4,})-[0-9a-f]{8}")


@dataclass(frozen=True)
class Release:
    """An opened release. Arrays are read-only memory maps, loaded at first use."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.manifest["id"])

    @property
    def version(self) -> int:
        return int(self.manifest["version"])

    @property
    def encoder_id(self) -> str:
        """Identity of the CLIP weights: stored content vectors are valid only with the same."""
        return str(self.manifest["encoder"]["encoder_id"])

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue.load(self.folder / "items.parquet")

    @cached_property
    def item_content(self) -> F32:
        """float32 (n, clip_dim), unit norm."""
        return np.asarray(self.array("item_content"))

    @cached_property
    def item_tower(self) -> F32:
        """float32 (n, tower_dim), unit norm."""
        return np.asarray(self.array("item_tower"))

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces in which it has vectors of its items."""
        apart = (space for space in PART_SPACES if (self.folder / f"item_{space}.npy").is_file())
        return ("tower", "content", *apart)

    def vectors(self, space: Space) -> F32:
        """float32 (n, dim), unit norm; in the space "image" 0 for items without a photo.

        Raises ReleaseError for a space that the release was made without.
        """
        if space == "tower":
            return self.item_tower
        return self.item_content if space == "content" else self._part(space)

    @cached_property
    def _parts(self) -> dict[Space, F32]:
        return {}

    def _part(self, space: Space) -> F32:
        if space not in self.spaces:
            raise ReleaseError(
                f"release {self.id} was made without the space {space!r}; it has "
                f"{', '.join(self.spaces)}; train a new one to have them all"
            )
        if space not in self._parts:
            self._parts[space] = np.asarray(self.array(f"item_{space}"))
        return self._parts[space]

    def array(self, name: str) -> Any:
        """The array of NAME.npy, one row an item.

        Raises ReleaseError when its length is not the catalogue's.
        """
        mapped = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        array = np.asarray(mapped)  # a plain view: memmap's own indexing costs microseconds a call
        if len(array) != len(self.catalogue):
            raise ReleaseError(
                f"release {self.id}: {name}.npy has {len(array)} rows for "
                f"{len(self.catalogue)} items"
            )
        return array

    @cached_property
    def twins(self) -> npt.NDArray[np.int32]:
        """int32 (n,): every item's own row; of one that no event had touched the row of its twin,
        the item of nearest content with events, whose popularity a ranking takes for its own.

        Releases older than twins have none: every row is its own.
        """
        if not (self.folder / "twins.npy").is_file():
            return np.arange(len(self.catalogue), dtype=np.int32)
        return np.asarray(self.array("twins"), dtype=np.int32)

    def untouched(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """bool (m,): no event had touched the item when the release was trained, so that what CF
        and popularity say of it is said of its twin. False for rows that came after the release."""
        own = np.minimum(rows, len(self.twins) - 1)
        return np.asarray((rows < len(self.twins)) & (self.twins[own] != own))

    def json(self, name: str) -> dict[str, Any]:
        """The object of NAME.json."""
        data: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return data

    def verify(self) -> None:
        """Compare every file with the manifest.

        Raises ReleaseError naming the first file that is missing, altered or not listed.
        """
        listed: dict[str, dict[str, Any]] = self.manifest["files"]
        for name in FILES:
            if name not in listed:
                raise ReleaseError(f"release {self.id}: the manifest does not list {name}")
        for name, expected in listed.items():
            path = self.folder / name
            if not path.is_file():
                raise ReleaseError(f"release {self.id}: {name} is missing")
            if path.stat().st_size != expected["bytes"] or _sha256(path) != expected["sha256"]:
                raise ReleaseError(f"release {self.id}: {name} has a wrong checksum")
        for name in _files_below(self.folder):
            if name != MANIFEST and name not in listed:
                raise ReleaseError(f"release {self.id}: {name} is not in the manifest")


def write_release(root: Path, build: Callable[[Path], dict[str, Any]]) -> Release:
    """Stage a new release: `build(folder)` writes its files and returns what the manifest says.

    The returned dict must hold `encoder` {name, encoder_id, dim} and may hold anything else
    (metrics, catalogue, log …); id, version, parent, created and files are added here. Nothing is
    promoted. Raises ReleaseError when a file of FILES is not written.
    """
    root.mkdir(parents=True, exist_ok=True)
    staging = root / f".staging-{uuid.uuid4().hex[:8]}"
    staging.mkdir()
    try:
        info = build(staging)
        missing = [name for name in FILES if not (staging / name).is_file()]
        if missing:
            raise ReleaseError(f"the new release lacks {', '.join(missing)}")
        files = {
            name: {"sha256": _sha256(staging / name), "bytes": (staging / name).stat().st_size}
            for name in _files_below(staging)
        }
        digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
        parent = current_id(root)
        with _locked(root):
            version = max((release_version(i) for i in release_ids(root)), default=0) + 1
            manifest = {
                "schema": SCHEMA,
                "id": f"r{version:04d}-{digest[:8]}",
                "version": version,
                "parent": parent,
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                **info,
                "files": files,
            }
            (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
            for path in [staging / name for name in files] + [staging / MANIFEST]:
                _fsync(path)
            folder = root / str(manifest["id"])
            staging.rename(folder)
            _fsync(root)
        return open_release(root, str(manifest["id"]))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def open_release(root: Path, release_id: str | None = None, verify: bool = True) -> Release:
    """The named release, or the promoted one, its files checked against the manifest.

    Raises NotFoundError when there is none, ReleaseError when it is not whole.
    """
    release_id = release_id or current_id(root)
    if release_id is None:
        raise NotFoundError(f"no release has been promoted in {root}; run `hemline train` first")
    folder = root / release_id
    if not RELEASE_ID.fullmatch(release_id) or not folder.is_dir():
        raise NotFoundError(f"release {release_id!r} does not exist in {root}")
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ReleaseError(f"release {release_id}: unreadable manifest ({error})") from error
    if manifest.get("schema") != SCHEMA:
        raise ReleaseError(f"release {release_id}: schema {manifest.get('schema')}, not {SCHEMA}")
    if manifest.get("id") != release_id:
        raise ReleaseError(f"release {release_id}: its manifest says {manifest.get('id')!r}")
    release = Release(folder=folder, manifest=manifest)
    if verify:
        release.verify()
    return release


def release_ids(root: Path) -> list[str]:
    """Ids of all whole releases, oldest first."""
    if not root.is_dir():
        return []
    names = [path.name for path in root.iterdir() if RELEASE_ID.fullmatch(path.name)]
    return sorted(names, key=release_version)


def release_version(release_id: str) -> int:
    """The integer version inside a release id: r0003-5be1c2d4 -> 3."""
    match = RELEASE_ID.fullmatch(release_id)
    if match is None:
        raise NotFoundError(f"{release_id!r} is no release id")
    return int(match[1])


def current_id(root: Path) -> str | None:
    """Id of the promoted release, or None."""
    try:
        return (root / "current").read_text().strip() or None
    except FileNotFoundError:
        return None


def promote(root: Path, release_id: str, reason: str = "promote") -> Release:
    """Verify a release and make it the current one in one atomic step."""
    release = open_release(root, release_id)
    with _locked(root):
        record = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "from": current_id(root),
            "to": release_id,
            "reason": reason,
        }
        with (root / "promotions.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
            log.flush()
            os.fsync(log.fileno())
        pointer = root / f".current-{uuid.uuid4().hex[:8]}"
        pointer.write_text(release_id + "\n")
        _fsync(pointer)
        pointer.replace(root / "current")
        _fsync(root)
    return release


def rollback(root: Path) -> Release:
    """Promote the release that was current before the present one.

    Raises NotFoundError when there is no earlier promotion to go back to.
    """
    current = current_id(root)
    parent = open_release(root, current, verify=False).manifest.get("parent") if current else None
    if parent is None:
        raise NotFoundError("there is no earlier release to roll back to")
    return promote(root, str(parent), reason="rollback")


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
