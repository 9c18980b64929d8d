"""Anything open_clip can create, brought into the folder format of `ClipEncoder`."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from open_clip.transformer import QuickGELU
from PIL import Image

from hemline.encoders.clip import ClipEncoder
from hemline.encoders.clip_folder import FORMAT, HF_FOLDER, EncoderError

_log = logging.getLogger(__name__)


def convert_open_clip(spec: str) -> ClipEncoder:
    schema, colon, rest = spec.partition(":")
    if schema in ("hf-hub", "local-dir"):
        name, pretrained = spec, None
    else:
        name, pretrained = (schema, rest) if colon else (spec, None)
        if open_clip.get_model_config(name) is None:
            raise EncoderError(f"{spec!r} is neither an encoder folder nor a name open_clip knows")
        if pretrained is None:
            _log.warning("%s without ':PRETRAINED' has random weights", spec)
    try:
        model = open_clip.create_model(name, pretrained=pretrained)
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # downloads, missing files, bad configs: open_clip raises anything
        raise EncoderError(f"open_clip could not create {spec!r}: {error}") from error
    files: dict[str, bytes] = {}
    config = {
        "format": FORMAT,
        "name": spec,
        "model": _open_clip_config(name, model),
        "preprocess": dict(open_clip.get_model_preprocess_cfg(model)),
        "tokenizer": _describe_tokenizer(tokenizer, files),
    }
    return ClipEncoder(model, config, files)


def _open_clip_config(name: str, model: torch.nn.Module) -> dict[str, Any]:
    """The config that builds `model` again: pretrained weights may have changed a named config."""
    if not isinstance(model, open_clip.CLIP | open_clip.CustomTextCLIP):
        raise EncoderError(f"models of type {type(model).__name__} are not supported")
    return {
        **open_clip.get_model_config(name),
        "custom_text": isinstance(model, open_clip.CustomTextCLIP),
        "quick_gelu": any(isinstance(module, QuickGELU) for module in model.modules()),
    }


def check_equal(original: ClipEncoder, reloaded: ClipEncoder) -> None:
    """Raises EncoderError unless the folder format kept everything that matters to the vectors."""
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    pixels = original.preprocess(Image.fromarray(image))[None]
    texts = ["a red dress", "brown leather shoes for men, size 44"]
    for a, b in (
        (original.encode_pixels(pixels), reloaded.encode_pixels(pixels)),
        (original.encode_texts(texts), reloaded.encode_texts(texts)),
    ):
        if not np.allclose(a, b, atol=0.02):
            raise EncoderError(
                f"{original.name} gives other vectors once it is saved and loaded "
                f"(by up to {np.abs(a - b).max():.3f}): its configuration is not fully known"
            )


def _describe_tokenizer(tokenizer: Any, files: dict[str, bytes]) -> dict[str, Any]:
    """How to make `tokenizer` again; what it needs on disk is added to `files`."""
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        clean = str(tokenizer.clean_fn.__name__).removeprefix("_clean_")
        return {"kind": "simple", "context_length": tokenizer.context_length, "clean": clean}
    if not isinstance(tokenizer, HFTokenizer) or tokenizer.tokenizer_mode:
        raise EncoderError(f"tokenizers of type {type(tokenizer).__name__} are not supported")
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer.tokenizer.save_pretrained(scratch)
        for path in sorted(Path(scratch).rglob("*")):
            if path.is_file():
                files[f"{HF_FOLDER}/{path.relative_to(scratch).as_posix()}"] = path.read_bytes()
    return {
        "kind": "hf",
        "context_length": tokenizer.context_length,
        "clean": str(tokenizer.clean_fn.__name__).removeprefix("_clean_"),
        "strip_sep_token": tokenizer.strip_sep_token,
    }
