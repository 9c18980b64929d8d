"""A serving image has the project's plain dependencies only: no torch, nothing of training."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {"open_clip_torch": "open_clip", "scikit-learn": "sklearn"}  # the others are their names
STARTED = (
    "hemline.gateway.__main__",
    "hemline.retrieval.__main__",
    "hemline.reranker.__main__",
    "hemline.updater.__main__",
    "hemline.cli.__main__",
    "hemline.release_fetch",
    "hemline.triton_repository",
    "hemline.triton_probe",
    "hemline.sqlite_event_log",
    "hemline.sqlite_user_state",
)
IMPORT_WITHOUT = """
import importlib, sys
started, *absent = sys.argv[1:]
for name in absent:
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
importlib.import_module(started)
"""


def modules_of_the_extras() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [
        requirement.split("==")[0]
        for extra in ("encoders", "training")
        for requirement in project["optional-dependencies"][extra]
        if not requirement.startswith("hemline[")
    ]
    assert "torch" in names
    return [MODULES.get(name, name) for name in names]


@pytest.mark.parametrize("started", STARTED)
def test_it_starts_without_what_only_training_and_triton_have(started: str) -> None:
    command = [sys.executable, "-c", IMPORT_WITHOUT, started, *modules_of_the_extras()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_check_notices_a_module_that_needs_torch() -> None:
    command = [sys.executable, "-c", IMPORT_WITHOUT, "hemline.encoders.clip"]
    done = subprocess.run([*command, *modules_of_the_extras()], capture_output=True, text=True)
    assert "import of open_clip halted" in done.stderr or "import of torch halted" in done.stderr
