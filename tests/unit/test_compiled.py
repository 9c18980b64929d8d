"""What compiled functions promise: fixed types, read-only arrays welcome, no lock held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hemline.compiled import compiled, read, scalar, written


@compiled(read("f4"), scalar("f8"), written("f4"))
def scale(values, by, out):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        out[i] = values[i] * by


def test_a_compiled_function_takes_read_only_arrays() -> None:
    values = np.array([1, 2, 3], np.float32)
    values.flags.writeable = False
    out = np.zeros(3, np.float32)
    scale(values, 2.0, out)
    assert out.tolist() == [2, 4, 6]


@pytest.mark.parametrize(
    "values",
    [np.zeros(3, np.complex64), np.zeros((3, 1), np.float32), np.zeros(6, np.float32)[::2]],
    ids=["other numbers", "another shape", "with gaps"],
)
def test_another_type_of_argument_is_refused_instead_of_compiled_for(values: np.ndarray) -> None:
    with pytest.raises(TypeError):
        scale(values, 2.0, np.zeros(3, np.float32))
    assert len(scale.signatures) == 1  # type: ignore[attr-defined]


def test_where_nothing_can_be_kept_it_compiles_all_the_same_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(
        "from hemline.compiled import compiled, scalar\n"
        "@compiled(scalar('i8'))\n"
        "def twice(x):\n    return 2 * x\n"
        "print(twice(21))\n"
    )
    (tmp_path / "file").touch()  # no folder can be made below a file
    nowhere = str(tmp_path / "file" / "cache")
    done = subprocess.run(
        [sys.executable, tmp_path / "kernel.py"],
        env={
            **os.environ,
            "NUMBA_CACHE_DIR": nowhere,
            "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout == "42\n"
    assert "NUMBA_CACHE_DIR" in done.stderr
