"""Programs that Debian packages: those on PATH, else installed where we may."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hemline.errors import HemlineError


class PackageInstallError(HemlineError):
    """A program cannot be had on this machine; the message says what to do."""


def installed_program(program: str, package: str) -> Path:
    """Where a program is, after installing its package if it is missing and we are root.

    Raises PackageInstallError otherwise.
    """
    if found := shutil.which(program):
        return Path(found)
    by_hand = f"apt-get install {package}"
    if os.geteuid() != 0:
        raise PackageInstallError(f"{program} is not installed here: sudo {by_hand}")
    if shutil.which("apt-get") is None:
        raise PackageInstallError(
            f"{program} is not on PATH, and there is no apt-get to install it"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", package]):
        done = subprocess.run(
            ["apt-get", "-qq", *command], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise PackageInstallError(f"{by_hand} failed:\n{done.stderr.strip()}")
    found = shutil.which(program)
    if found is None:
        raise PackageInstallError(f"{by_hand} did not bring {program}")
    return Path(found)
