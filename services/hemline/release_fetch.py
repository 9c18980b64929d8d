"""Bring a release from object storage into a folder of releases: whole and checked, or not at all.

    <url>/r0003-5be1c2d4/manifest.json      fetched first; names every file, its size and sha256
    <url>/r0003-5be1c2d4/items.parquet …    each is hashed while it arrives

The files arrive under a dot name and are renamed once all are right, as `releases.write_release`
does, so that a pod killed on the way leaves nothing that looks like a release. What the storage
says is not believed: names stay inside the folder, and no file grows past the size listed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from hemline.errors import NotFoundError, ReleaseError, UnavailableError
from hemline.object_storage import open_object
from hemline.releases import MANIFEST, RELEASE_ID, Release, open_release, release_ids

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_MANIFEST_BYTES = 4 << 20
TRIES = 4
FIRST_DELAY_S = 0.5
_CHUNK = 1 << 20


def fetch_release(
    url: str, release_id: str, root: Path, first_delay_s: float = FIRST_DELAY_S
) -> Release:
    """The release `release_id` of the releases at `url`, in `root`; nothing is promoted.

    url: https://, http://, s3:// or file:// (see `object_storage`). A whole release that is already
    there is not fetched again; a damaged one is replaced. What fails on the way is tried again,
    after `first_delay_s` and twice as long each time. Raises NotFoundError when the storage has no
    such release, ReleaseError when it has part of one or other bytes than the manifest says,
    UnavailableError when it does not answer or the disk is too small.
    """
    if not RELEASE_ID.fullmatch(release_id):
        raise NotFoundError(f"{release_id!r} is no release id; one looks like r0003-5be1c2d4")
    if (root / release_id).is_dir():
        try:
            return open_release(root, release_id)
        except ReleaseError as error:
            logger.warning("%s; fetching it again", error)
    base = f"{url.rstrip('/')}/{release_id}"
    root.mkdir(parents=True, exist_ok=True)
    staging = root / f".staging-{uuid.uuid4().hex[:8]}"
    staging.mkdir()
    try:
        data = _manifest_bytes(base, release_id, first_delay_s)
        files = _listed_files(data, base)
        _check_room(root, files, release_id)
        for name, expected in files.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _patiently(partial(_fetch, base, name, path, expected), first_delay_s)
        (staging / MANIFEST).write_bytes(data)
        _flush(staging)
        shutil.rmtree(root / release_id, ignore_errors=True)
        staging.rename(root / release_id)
        _flush(root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return open_release(root, release_id)


def prune_releases(root: Path, keep: set[str]) -> list[str]:
    """Delete all releases but those; returns what was deleted. Never below a running service."""
    dropped = [release_id for release_id in release_ids(root) if release_id not in keep]
    for release_id in dropped:
        shutil.rmtree(root / release_id)
    for leftover in root.glob(".staging-*"):  # of a pod that was killed while it fetched
        shutil.rmtree(leftover)
    return dropped


def _manifest_bytes(base: str, release_id: str, first_delay_s: float) -> bytes:
    def read() -> bytes:
        with open_object(f"{base}/{MANIFEST}") as source:
            return source.read(MAX_MANIFEST_BYTES + 1)

    try:
        data = _patiently(read, first_delay_s)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no release {release_id} at {base}: {error}; "
            "is the upload finished? The manifest goes up last"
        ) from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise ReleaseError(f"{base}/{MANIFEST} is larger than {MAX_MANIFEST_BYTES} bytes")
    return data


def _listed_files(data: bytes, base: str) -> dict[str, dict[str, Any]]:
    try:
        files: dict[str, dict[str, Any]] = json.loads(data)["files"]
        for name, expected in files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or not path.parts or ".." in path.parts or name == MANIFEST:
                raise ReleaseError(f"{base}/{MANIFEST} lists {name!r}, outside the release")
            int(expected["bytes"]), str(expected["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{base}/{MANIFEST} is no manifest of a release: {error!r}") from error
    return files


def _check_room(root: Path, files: dict[str, dict[str, Any]], release_id: str) -> None:
    wanted = sum(int(expected["bytes"]) for expected in files.values())
    free = shutil.disk_usage(root).free
    if wanted > free:
        raise UnavailableError(
            f"release {release_id} has {wanted / 1e6:.0f} MB, and {root} has {free / 1e6:.0f} MB "
            "left: give the volume more room"
        )


def _fetch(base: str, name: str, path: Path, expected: dict[str, Any]) -> None:
    """One file. A connection that ends early counts as the storage's absence, to be tried again."""
    size, digest, arrived = int(expected["bytes"]), hashlib.sha256(), 0
    try:
        with open_object(f"{base}/{name}") as source, path.open("wb") as file:
            for chunk in _chunks(source):
                arrived += len(chunk)
                if arrived > size:
                    raise ReleaseError(f"{base}/{name} is longer than the {size} bytes listed")
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except NotFoundError as error:
        raise ReleaseError(
            f"the release at {base} is partial: the manifest lists {name}, and {error}; "
            "upload the release again"
        ) from error
    if arrived < size:
        raise UnavailableError(f"{base}/{name} ended after {arrived} of {size} bytes")
    if digest.hexdigest() != expected["sha256"]:
        raise ReleaseError(
            f"{base}/{name} has sha256 {digest.hexdigest()[:12]}…, and the manifest says "
            f"{str(expected['sha256'])[:12]}…: it was altered or is of another release"
        )


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: source.read(_CHUNK), b"")


def _patiently(work: Callable[[], T], first_delay_s: float) -> T:
    """Do it, again after a while when the storage does not answer; a plain no is final."""
    for attempt in range(1, TRIES):
        try:
            return work()
        except UnavailableError as error:
            delay_s = first_delay_s * 2 ** (attempt - 1)
            logger.warning("%s; trying again in %.1f s", error, delay_s)
            time.sleep(delay_s)
    try:
        return work()
    except UnavailableError as error:
        raise UnavailableError(f"{error} (tried {TRIES} times)") from error


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
