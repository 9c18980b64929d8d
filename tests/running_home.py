"""A home with a release, and the command line in it, for tests of whole clusters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hemline.local.cluster_file import ClusterRecord, read_cluster


class Home:
    """A home, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "run"

    def hemline(self, *argv: object, code: int = 0) -> str:
        """What the command prints; fails the test unless it exits with `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "hemline.cli", *map(str, argv), "--home", str(self.folder)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *argv: object, code: int = 0) -> Any:
        return json.loads(self.hemline(*argv, "--json", code=code))

    @property
    def cluster(self) -> ClusterRecord:
        record = read_cluster(self.run)
        assert record is not None
        return record

    def pid(self, name: str) -> int:
        return next(process.pid for process in self.cluster.processes if process.name == name)


def trained_home(folder: Path, triton: Path) -> Home:
    """A home with a release quickly trained on 700 drawn garments. triton: where it is unpacked."""
    (folder / "triton").symlink_to(triton)
    catalogue = folder / "catalogue-demo"
    draw = [sys.executable, "-m", "hemline.cli", "catalog", "demo", "--items", "700"]
    subprocess.run([*draw, "--out", str(catalogue)], check=True, capture_output=True)
    home = Home(folder)
    home.hemline("train", "--quick", "--catalog", catalogue)
    return home
