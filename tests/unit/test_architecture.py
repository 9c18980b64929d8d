"""The rules of the house: who may import whom, and that generated code is current."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "services" / "hemline"
NAMES = ("gateway", "retrieval", "reranker", "updater", "indexer", "storefront")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def python_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py") if "_pb2" not in path.name]


def test_services_never_import_each_other_except_in_their_wiring() -> None:
    for service in NAMES:
        for path in python_files(SERVICES / service):
            if path.name == "__main__.py":
                continue
            for module in imports(path):
                parts = module.split(".")
                if parts[0] == "hemline" and len(parts) > 1 and parts[1] in NAMES:
                    assert parts[1] == service, f"{path.relative_to(ROOT)} imports {module}"


def test_serving_never_imports_training() -> None:
    for path in python_files(SERVICES):
        if path.parent.name == "cli":  # the command line starts both, each verb what it needs
            continue
        for module in imports(path):
            assert not module.startswith("hemline_training"), path.relative_to(ROOT)


def test_training_imports_shared_modules_only() -> None:
    for path in python_files(ROOT / "training"):
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "hemline" and len(parts) > 1:
                assert parts[1] not in (*NAMES, "cli", "local"), path.relative_to(ROOT)


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("tritonclient", {"triton.py"}),
        (
            "sqlite3",
            {
                "sqlite_database.py",
                "sqlite_event_log.py",
                "sqlite_user_state.py",
                "sqlite_compaction.py",
            },
        ),
        ("redis", {"redis_user_state.py"}),
        ("faiss", {"faiss_seam.py"}),
        ("kafka", {"kafka_client.py"}),
        ("numba", {"compiled.py"}),
    ],
)
def test_each_foreign_system_is_spoken_to_in_one_place(library: str, allowed: set[str]) -> None:
    users = {
        path.name
        for path in python_files(SERVICES)
        if any(module.split(".")[0] == library for module in imports(path))
    }
    assert users == allowed


def test_generated_code_is_current(tmp_path: Path) -> None:
    protos = sorted(str(path) for path in (ROOT / "protos").rglob("*.proto"))
    flags = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}", *flags, *protos],
        check=True,
    )
    fresh = {p.name: p.read_text() for p in (tmp_path / "hemline" / "v1").iterdir()}
    committed = {p.name: p.read_text() for p in (SERVICES / "v1").iterdir() if "_pb2" in p.name}
    assert fresh == committed, "run `make protos` and commit the result"
