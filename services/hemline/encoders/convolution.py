"""Convolutions by NumPy, for images that lie channels last: float32 (B, height, width, channels).

A 3 x 3 convolution is a matrix product over windows. Where the image is large and the stride is 1,
four outputs are computed together from a 4 x 4 tile with 16 products instead of 36: F(2x2, 3x3) of
Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), section 4.1. That saves a
quarter of a small ResNet's time; below `_TILED_FROM` pixels a side it saves none.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hemline.vectors import F32

_TILED_FROM = 8
_TO_TILE = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)  # "G"


class Convolution:
    """Padded so that stride 1 keeps the size; with a bias, which may be a folded batch norm's."""

    def __init__(self, weight: F32, bias: F32, stride: int = 1) -> None:
        """weight: (out, in, 3, 3) or (out, in, 1, 1), as torch keeps it; bias: (out,)."""
        self._side = weight.shape[-1]
        self._stride, self._bias = stride, bias
        self._last = weight.transpose(2, 3, 1, 0)  # (side, side, in, out)
        self._may_tile = stride == 1 and self._side == 3

    def __call__(self, x: F32) -> F32:
        """(B, H, W, in) -> (B, ceil(H / stride), ceil(W / stride), out)."""
        if self._may_tile and min(x.shape[1:3]) >= _TILED_FROM:
            return _by_tiles(x, self._tiles, self._bias)
        if self._side == 1:
            return np.asarray(x @ self._rows + self._bias, np.float32)
        return self._by_windows(x)

    # Which of the two is needed only the first image tells; large layers see small images.

    @cached_property
    def _rows(self) -> F32:
        return np.ascontiguousarray(self._last.reshape(-1, self._last.shape[-1]))

    @cached_property
    def _tiles(self) -> F32:
        tiles = np.einsum("ai,ijco,bj->baco", _TO_TILE, self._last, _TO_TILE)  # columns first
        return np.ascontiguousarray(tiles.reshape(16, *self._last.shape[2:]))

    def _by_windows(self, x: F32) -> F32:
        (count, height, width, channels), step = x.shape, self._stride
        rows, columns = (height - 1) // step + 1, (width - 1) // step + 1
        padded = _padded(x, height + 2, width + 2)
        windows = np.empty((count, rows, columns, 9, channels), np.float32)
        for place in range(9):
            top, left = divmod(place, 3)
            windows[..., place, :] = padded[
                :, top : top + step * rows : step, left : left + step * columns : step
            ]
        out = windows.reshape(-1, 9 * channels) @ self._rows
        out += self._bias
        return out.reshape(count, rows, columns, -1)


def _by_tiles(x: F32, weights: F32, bias: F32) -> F32:
    """Stride 1; weights: (16, in, out), transformed."""
    count, height, width, channels = x.shape
    down, across = (height + 1) // 2, (width + 1) // 2  # tiles of 2 x 2 outputs
    padded = _padded(x, 2 * down + 2, 2 * across + 2)
    lines = _into_tiles([padded[:, i : i + 2 * down - 1 : 2] for i in range(4)])
    tiles = _into_tiles([lines[:, :, :, i : i + 2 * across - 1 : 2] for i in range(4)])
    products = tiles.reshape(16, -1, channels) @ weights
    products = products.reshape(4, 4, count, down, across, -1)  # first columns, then rows
    out = np.empty((count, down, 2, across, 2, products.shape[-1]), np.float32)
    for j, line in enumerate(_out_of_tiles(products)):
        for i, pixels in enumerate(_out_of_tiles(line)):
            np.add(pixels, bias, out=out[:, :, i, :, j])
    return out.reshape(count, 2 * down, 2 * across, -1)[:, :height, :width]


def _into_tiles(lines: list[F32]) -> F32:
    """The transform "B" along one axis: four neighbours to four values, (4, ...)."""
    first, second, third, fourth = lines
    out = np.empty((4, *first.shape), np.float32)
    np.subtract(first, third, out=out[0])
    np.add(second, third, out=out[1])
    np.subtract(third, second, out=out[2])
    np.subtract(second, fourth, out=out[3])
    return out


def _out_of_tiles(products: F32) -> tuple[F32, F32]:
    """The transform "A" along the first axis: four values to two neighbours."""
    middle, difference = products[1] + products[2], products[1] - products[2]
    middle += products[0]
    difference -= products[3]
    return middle, difference


def max_pool(x: F32) -> F32:
    """The largest of 3 x 3, with stride 2; of values that are not negative, since zeros pad."""
    _, height, width, _ = x.shape
    rows, columns = (height - 1) // 2 + 1, (width - 1) // 2 + 1
    padded = _padded(x, 2 * rows + 1, 2 * columns + 1)
    tall = np.maximum(padded[:, 0 : 2 * rows : 2], padded[:, 1 : 2 * rows : 2])
    np.maximum(tall, padded[:, 2 : 2 * rows + 1 : 2], out=tall)
    out = np.maximum(tall[:, :, 0 : 2 * columns : 2], tall[:, :, 1 : 2 * columns : 2])
    np.maximum(out, tall[:, :, 2 : 2 * columns + 1 : 2], out=out)
    return out


def halve(x: F32) -> F32:
    """The mean of 2 x 2, with stride 2; at an odd edge, of what there is."""
    _, height, width, _ = x.shape
    if height % 2 or width % 2:  # an edge twice does not change a mean
        x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    total = x[:, ::2, ::2] + x[:, 1::2, ::2]
    total += x[:, ::2, 1::2]
    total += x[:, 1::2, 1::2]
    total *= np.float32(0.25)
    return total


def _padded(x: F32, height: int, width: int) -> F32:
    """(B, height, width, channels): one row and one column of zeros, x, and zeros behind it."""
    count, rows, columns, channels = x.shape
    out = np.zeros((count, height, width, channels), np.float32)
    out[:, 1 : 1 + rows, 1 : 1 + columns] = x
    return out
