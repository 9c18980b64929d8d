"""A tower for serving, without torch: `encoders.towers.Tower` computed by NumPy, equal within 1e-6.

A tower is two small matrix products, for which a GPU has nothing to offer, and importing torch
costs each of Triton's processes 290 MB and seconds of start-up; this needs 36 MB.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from hemline.encoders.gelu import gelu
from hemline.errors import ReleaseError
from hemline.vectors import F32, normalise


class NumpyTower:
    """normalise(W x + MLP(x)): float32 (b, input_dim) -> float32 (b, output_dim), unit norm."""

    def __init__(self, weights: dict[str, F32]) -> None:
        """`weights` by their names in torch: linear.weight, hidden.weight, hidden.bias, …"""
        # One product computes the linear map and the hidden layer together.
        linear, hidden = weights["linear.weight"], weights["hidden.weight"]
        self.input_dim, self.output_dim = linear.shape[1], linear.shape[0]
        self._first = np.ascontiguousarray(np.concatenate([linear, hidden]).T)  # (input, out + hid)
        self._hidden_bias = weights["hidden.bias"]
        self._correction = np.ascontiguousarray(weights["correction.weight"].T)  # (hidden, output)
        self._correction_bias = weights["correction.bias"]

    @classmethod
    def load(cls, path: Path, side: str) -> NumpyTower:
        """The "user" or "item" tower of a file that `towers.save_towers` wrote.

        Raises ReleaseError when it holds no such tower.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                names = [name for name in file.keys() if name.startswith(f"{side}.")]  # noqa: SIM118
                return cls({name.removeprefix(f"{side}."): file.get_tensor(name) for name in names})
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ReleaseError(f"{path.name} holds no usable {side} tower: {error}") from error

    def __call__(self, x: F32) -> F32:
        both = x @ self._first
        hidden = gelu(both[:, self.output_dim :] + self._hidden_bias)
        return normalise(
            both[:, : self.output_dim] + hidden @ self._correction + self._correction_bias
        )
