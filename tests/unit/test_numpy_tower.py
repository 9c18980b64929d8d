"""The tower that serves gives what the tower that was trained gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hemline.encoders.numpy_tower import NumpyTower
from hemline.encoders.towers import Tower, load_tower, save_towers
from hemline.errors import ReleaseError
from hemline.vectors import normalise


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two towers whose corrections are far from the zero they start at."""
    torch.manual_seed(0)
    towers = [Tower(48, 16, hidden_dim=40) for _ in range(2)]
    for tower in towers:
        for parameter in (*tower.hidden.parameters(), *tower.correction.parameters()):
            torch.nn.init.normal_(parameter, std=0.5)
    save_towers(tmp_path / "towers.safetensors", *towers)
    return tmp_path / "towers.safetensors"


@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_vectors_equal_torchs(path: Path, side: str, rows: int) -> None:
    x = normalise(np.random.default_rng(rows).normal(size=(rows, 48)))
    with torch.inference_mode():
        expected = load_tower(path, side)(torch.from_numpy(x)).numpy()
    vectors = NumpyTower.load(path, side)(x)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_the_two_sides_differ(path: Path) -> None:
    x = normalise(np.ones((1, 48)))
    assert np.abs(NumpyTower.load(path, "user")(x) - NumpyTower.load(path, "item")(x)).max() > 0.1


def test_a_file_without_the_tower_is_refused(path: Path) -> None:
    with pytest.raises(ReleaseError, match="holds no usable brand tower"):
        NumpyTower.load(path, "brand")
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(ReleaseError, match="holds no usable user tower"):
        NumpyTower.load(path, "user")
    path.unlink()
    with pytest.raises(ReleaseError, match="holds no usable user tower"):
        NumpyTower.load(path, "user")
