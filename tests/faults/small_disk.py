"""A disk that can be filled: a small file system in memory, mounted for one run."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

BLOCK = bytes(64 << 10)


class SmallDisk:
    """`fill` leaves not a byte, `free` gives all of it back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        file = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (len(BLOCK), 4096, 1):
                with contextlib.suppress(OSError):  # ENOSPC is what it is for
                    while os.write(file, BLOCK[:size]) == size:
                        pass
        finally:
            os.close(file)

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount it at `folder`. Raises OSError where mounting is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield SmallDisk(folder)
    finally:
        _run("umount", "--lazy", str(folder))


@cache
def why_no_small_disk() -> str:
    """Why none can be mounted here; empty when one can."""
    try:
        with TemporaryDirectory() as folder, small_disk(Path(folder) / "disk", 1):
            return ""
    except OSError as error:
        return str(error)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(errno.EPERM, f"{' '.join(command)}: {done.stderr.strip()}")
