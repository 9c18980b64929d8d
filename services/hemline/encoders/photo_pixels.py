"""Photos as an image tower sees them, without torchvision: open_clip's transform, by Pillow.

It covers how Hemline's own CLIP looks at a photo: the whole of it, its aspect ratio kept, in the
middle of a square of one colour. Pixel for pixel what open_clip makes of it, but for photos so long
and thin that open_clip fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from hemline.vectors import F32

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def can_prepare(config: Mapping[str, Any]) -> bool:
    """Whether `PhotoPixels` does what this preprocessing of an encoder.json asks for."""
    return (
        config.get("mode", "RGB") == "RGB"
        and isinstance(config.get("size"), int)
        and config.get("resize_mode") == "longest"
        and config.get("interpolation") in _FILTERS
    )


class PhotoPixels:
    """size: pixels a side of the square."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """config: as `can_prepare` takes it, which must be true of it."""
        self.size = int(config["size"])
        self._filter = _FILTERS[config["interpolation"]]
        self._fill = (int(config["fill_color"]),) * 3
        self._mean = np.asarray(config["mean"], np.float32)
        self._std = np.asarray(config["std"], np.float32)

    def __call__(self, image: Image.Image) -> F32:
        """An RGB image -> float32 (size, size, 3): resized, padded, normalised."""
        ratio = max(image.size) / self.size
        width, height = (max(1, round(side / ratio)) for side in image.size)
        square = Image.new("RGB", (self.size, self.size), self._fill)
        corner = ((self.size - width) // 2, (self.size - height) // 2)
        square.paste(image.resize((width, height), self._filter), corner)
        pixels = np.asarray(square, np.float32) / np.float32(255)
        return np.asarray((pixels - self._mean) / self._std, np.float32)
