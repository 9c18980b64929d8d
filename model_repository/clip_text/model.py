"""clip_text on Triton: TEXT uint8 (b, length), UTF-8 padded with zeros, to VECTOR (b, clip_dim)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hemline.encoders import served
from hemline.encoders.served_clip import load_text_encoder
from hemline.vectors import F32


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        folder = served.release_folder(args) / "clip"
        self.encoder = load_text_encoder(folder, served.device_of(args))
        self.encoder.encode_texts(["red summer dress"])  # or the first call is the slow one

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return served.answer(requests, self.texts_of, self.encode)

    def texts_of(self, request: Any) -> list[str]:
        rows = served.byte_rows(request, "TEXT")
        return [row.rstrip(b"\0").decode(errors="replace") for row in rows]

    def encode(self, requests: list[list[str]]) -> F32:
        texts = [text for request in requests for text in request]
        return self.encoder.encode_texts(texts)

    def finalize(self) -> None:
        served.leave()
