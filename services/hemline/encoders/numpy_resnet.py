"""A CLIP image tower for serving, without torch: a small ResNet of timm's, computed by NumPy.

It covers the family of Hemline's own image tower: three convolutions first, blocks of two,
shortcuts that halve by averaging ("ResNet-D" of He et al., "Bag of Tricks", 2019), the mean of all
pixels, and one linear map. Batch norms are folded into the convolutions before them. The unit
vectors are equal to timm's within 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hemline.encoders.convolution import Convolution, halve, max_pool
from hemline.vectors import F32

ARCHITECTURES = ("resnet10t", "resnet18d", "resnet34d")  # names of timm
_EPSILON = 1e-5  # torch's default of BatchNorm2d
_AT_ONCE = 8  # images; more do not stay in the cache


class NumpyResNet:
    """Pixels to features, both as the tower that was trained takes and gives them."""

    def __init__(self, weights: Mapping[str, F32]) -> None:
        """`weights` by their names in open_clip's TimmModel. Raises KeyError."""
        self._stem = [
            _folded(weights, f"trunk.{convolution}", f"trunk.{norm}", stride)
            for convolution, norm, stride in (
                ("conv1.0", "conv1.1", 2),
                ("conv1.3", "conv1.4", 1),
                ("conv1.6", "bn1", 1),
            )
        ]
        self._blocks = []
        for layer in range(1, 5):
            depth = 0
            while f"trunk.layer{layer}.{depth}.conv1.weight" in weights:
                halves = layer > 1 and depth == 0
                self._blocks.append(_Block(weights, f"trunk.layer{layer}.{depth}.", halves))
                depth += 1
        self._projection = np.ascontiguousarray(weights["head.proj.weight"].T)  # (channels, dim)

    def __call__(self, pixels: F32) -> F32:
        """float32 (B, size, size, 3), preprocessed -> float32 (B, dim), any norm."""
        parts = [pixels[start : start + _AT_ONCE] for start in range(0, len(pixels), _AT_ONCE)]
        return np.concatenate([self._features(part) for part in parts])

    def _features(self, x: F32) -> F32:
        for convolution in self._stem:
            x = _rectified(convolution(x))
        x = max_pool(x)
        for block in self._blocks:
            x = block(x)
        return np.asarray(x.mean(axis=(1, 2)) @ self._projection, np.float32)


class _Block:
    """Two convolutions beside a shortcut."""

    def __init__(self, weights: Mapping[str, F32], name: str, halves: bool) -> None:
        self._first = _folded(weights, f"{name}conv1", f"{name}bn1", 2 if halves else 1)
        self._second = _folded(weights, f"{name}conv2", f"{name}bn2")
        self._halves = halves
        self._widen = None
        if f"{name}downsample.1.weight" in weights:
            self._widen = _folded(weights, f"{name}downsample.1", f"{name}downsample.2")

    def __call__(self, x: F32) -> F32:
        shortcut = halve(x) if self._halves else x
        if self._widen is not None:
            shortcut = self._widen(shortcut)
        return _rectified(self._second(_rectified(self._first(x))) + shortcut)


def _folded(weights: Mapping[str, F32], name: str, norm: str, stride: int = 1) -> Convolution:
    """The convolution `name` and the batch norm behind it as one convolution."""
    spread = np.sqrt(weights[f"{norm}.running_var"] + np.float32(_EPSILON))
    scale = weights[f"{norm}.weight"] / spread
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return Convolution(weights[f"{name}.weight"] * scale[:, None, None, None], bias, stride)


def _rectified(x: F32) -> F32:
    return np.maximum(x, 0, out=x)
