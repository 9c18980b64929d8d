"""user_tower on Triton: CONTENT float32 (b, clip_dim) to VECTOR (b, tower_dim), unit norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hemline.encoders import served
from hemline.encoders.towers import load_tower


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        self.device = served.device_of(args)
        path = served.release_folder(args) / "towers.safetensors"
        self.tower = load_tower(path, "user", self.device)
        self.encode([torch.zeros(1, self.tower.input_dim)])  # or the first call is the slow one

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        dim = self.tower.input_dim
        return served.answer(requests, lambda request: served.content_of(request, dim), self.encode)

    def encode(self, contents: list[torch.Tensor]) -> torch.Tensor:
        with torch.inference_mode():
            vectors: torch.Tensor = self.tower(torch.cat(contents).to(self.device))
            return vectors
