"""Convolutions and pooling by NumPy give what torch's give, at even and odd sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hemline.encoders.convolution import Convolution, halve, max_pool
from hemline.encoders.gelu import erf, gelu
from hemline.vectors import F32

SIZES = [(1, 1), (5, 3), (7, 8), (8, 8), (9, 13), (20, 11)]  # by windows, and by tiles


def drawn(*shape: int) -> F32:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def torchs(x: F32) -> torch.Tensor:
    return torch.from_numpy(x).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_a_convolution_equals_torchs(size: tuple[int, int], side: int, stride: int) -> None:
    x, weight, bias = drawn(3, *size, 5), drawn(6, 5, side, side), drawn(6)
    expected = F.conv2d(
        torchs(x), torch.from_numpy(weight), torch.from_numpy(bias), stride, padding=side // 2
    )
    out = Convolution(weight, bias, stride)(x)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected.permute(0, 2, 3, 1), atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_pooling_equals_torchs(size: tuple[int, int]) -> None:
    x = np.abs(drawn(2, *size, 4))
    largest = F.max_pool2d(torchs(x), 3, 2, padding=1)
    np.testing.assert_array_equal(max_pool(x), largest.permute(0, 2, 3, 1))
    mean = F.avg_pool2d(torchs(x), 2, 2, ceil_mode=True, count_include_pad=False)
    np.testing.assert_allclose(halve(x), mean.permute(0, 2, 3, 1), atol=1e-6)


def test_gelu_equals_torchs() -> None:
    x = np.linspace(-9, 9, 100_001, dtype=np.float32)
    np.testing.assert_allclose(gelu(x), F.gelu(torch.from_numpy(x)), atol=2e-6)
    np.testing.assert_allclose(erf(x), torch.erf(torch.from_numpy(x)), atol=5e-7)
