"""clip_image on Triton: IMAGE uint8 (b, length), padded with zeros, to VECTOR (b, clip_dim).

A broken image refuses its own request only; its neighbours in the batch are answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hemline.encoders import served
from hemline.encoders.clip import ClipEncoder
from hemline.images import decode_image
from hemline.vectors import F32


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        folder = served.release_folder(args) / "clip"
        self.encoder = ClipEncoder.load(folder, served.device_of(args))
        size = self.encoder.image_size
        self.encode([torch.zeros(1, 3, size, size)])  # or the first call is the slow one

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return served.answer(requests, self.pixels_of, self.encode)

    def pixels_of(self, request: Any) -> torch.Tensor:
        """JPEG, PNG or WebP to float32 (b, 3, image_size, image_size)."""
        return torch.stack(
            [
                self.encoder.preprocess(
                    decode_image(data, at_least=2 * self.encoder.image_size, field=f"images[{row}]")
                )
                for row, data in enumerate(served.byte_rows(request, "IMAGE"))
            ]
        )

    def encode(self, requests: list[torch.Tensor]) -> F32:
        return self.encoder.encode_pixels(torch.cat(requests))

    def finalize(self) -> None:
        served.leave()
