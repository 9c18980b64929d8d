"""The folder that keeps a CLIP encoder, without any model hub:

    encoder.json        name, architecture (an open_clip config), preprocessing, kind of tokenizer
    model.safetensors   weights, float16 on disk, float32 in memory
    loss.csv            how training went, epoch by epoch, where it is known
    tokens.json         the compact tokenizer's table (Hemline's own models), or
    tokenizer/          a Hugging Face tokenizer's files

`clip.ClipEncoder` writes it and computes with torch and open_clip; `served_clip` reads it for
serving, and needs neither of them for Hemline's own architecture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hemline.errors import HemlineError

FORMAT = "hemline-clip-1"
CONFIG, WEIGHTS, TOKENS, HF_FOLDER = (
    "encoder.json",
    "model.safetensors",
    "tokens.json",
    "tokenizer",
)
CURVE = "loss.csv"  # no part of the encoder's identity


class EncoderError(HemlineError):
    """An encoder cannot be found, is not of a known format, or does not fit its weights."""


def read_config(folder: Path) -> dict[str, Any]:
    """The content of encoder.json. Raises EncoderError if the folder is no encoder's."""
    path = folder / CONFIG
    if not path.is_file():
        raise EncoderError(f"{folder} is not an encoder folder: it has no {CONFIG}")
    config: dict[str, Any] = json.loads(path.read_bytes())
    if config.get("format") != FORMAT:
        raise EncoderError(f"{path} is not of the format {FORMAT}")
    return config
