"""item_tower on Triton: CONTENT float32 (b, clip_dim) to VECTOR (b, tower_dim), unit norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hemline.encoders import served
from hemline.encoders.numpy_tower import NumpyTower
from hemline.vectors import F32


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        path = served.release_folder(args) / "towers.safetensors"
        self.tower = NumpyTower.load(path, "item")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        dim = self.tower.input_dim
        return served.answer(requests, lambda request: served.content_of(request, dim), self.encode)

    def encode(self, contents: list[F32]) -> F32:
        return self.tower(np.concatenate(contents))

    def finalize(self) -> None:
        served.leave()
