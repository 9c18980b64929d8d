"""clip_image on Triton: IMAGE uint8 (b, length), padded with zeros, to VECTOR (b, clip_dim).

A broken image refuses its own request only; its neighbours in the batch are answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from hemline.encoders import served
from hemline.encoders.served_clip import load_image_encoder
from hemline.images import decode_image
from hemline.vectors import F32


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        folder = served.release_folder(args) / "clip"
        self.encoder = load_image_encoder(folder, served.device_of(args))
        blank = Image.new("RGB", (self.encoder.image_size, self.encoder.image_size))
        self.encode([np.stack([self.encoder.preprocess(blank)])])  # or the first call is slow

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return served.answer(requests, self.pixels_of, self.encode)

    def pixels_of(self, request: Any) -> F32:
        """JPEG, PNG or WebP to b preprocessed images."""
        return np.stack(
            [
                self.encoder.preprocess(
                    decode_image(data, at_least=2 * self.encoder.image_size, field=f"images[{row}]")
                )
                for row, data in enumerate(served.byte_rows(request, "IMAGE"))
            ]
        )

    def encode(self, requests: list[F32]) -> F32:
        return self.encoder.encode_pixels(np.concatenate(requests))

    def finalize(self) -> None:
        served.leave()
