"""The CLIP encoders that Triton's processes serve, loaded in a fraction of a second where possible.

Hemline's own CLIP is computed by NumPy on a processor: importing torch and open_clip costs each of
two processes 600 MB and 5 s of processor time, and a text or a photo alone takes no longer without
them. Any other encoder, and every encoder on a GPU, is computed by `clip.ClipEncoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open

from hemline.encoders.clip_folder import TOKENS, WEIGHTS, EncoderError, read_config
from hemline.encoders.numpy_resnet import ARCHITECTURES, NumpyResNet
from hemline.encoders.numpy_text import NumpyTextTower
from hemline.encoders.photo_pixels import PhotoPixels, can_prepare
from hemline.encoders.tokenizer import CompactTokenizer, used_length
from hemline.vectors import F32, normalise

_TEXT_OPTIONS = {"context_length", "vocab_size", "width", "heads", "layers"}
_BATCH = 64  # texts of about equal length, which share a pass


class TextEncoder(Protocol):
    def encode_texts(self, texts: Sequence[str]) -> F32:
        """float32 (n, dim), unit norm. Long texts are cut to the model's context length."""


class ImageEncoder(Protocol):
    image_size: int  # pixels a side the tower sees

    def preprocess(self, image: Image.Image) -> Any:
        """An RGB image as an array of float32; many, stacked, are what `encode_pixels` takes."""

    def encode_pixels(self, pixels: F32) -> F32:
        """A stack of n preprocessed images to float32 (n, dim), unit norm."""


def load_text_encoder(folder: Path, device: str) -> TextEncoder:
    """The text side of a folder that `ClipEncoder.save` wrote. Raises EncoderError."""
    config = read_config(folder)
    if device == "cpu" and text_is_plain(config):
        return NumpyTextEncoder(folder, config)
    from hemline.encoders.clip import ClipEncoder  # brings torch and open_clip

    return ClipEncoder.load(folder, device)


def load_image_encoder(folder: Path, device: str) -> ImageEncoder:
    """The image side of such a folder. Raises EncoderError."""
    config = read_config(folder)
    if device == "cpu" and image_is_plain(config):
        return NumpyImageEncoder(folder, config)
    from hemline.encoders.clip import ClipEncoder  # brings torch and open_clip

    return ClipEncoder.load(folder, device)


def text_is_plain(config: dict[str, Any]) -> bool:
    """Whether `NumpyTextEncoder` computes what this encoder.json describes."""
    model = config["model"]
    return (
        config["tokenizer"] == {"kind": "compact"}
        and not model.get("quick_gelu", False)
        and set(model["text_cfg"]) == _TEXT_OPTIONS
    )


def image_is_plain(config: dict[str, Any]) -> bool:
    """Whether `NumpyImageEncoder` computes what this encoder.json describes."""
    vision = dict(config["model"]["vision_cfg"])
    known = {"timm_pool": "avg", "timm_proj": "linear", "image_size": config["preprocess"]["size"]}
    return (
        vision.pop("timm_model_name", None) in ARCHITECTURES
        and not vision.pop("timm_model_pretrained", False)
        and vision == known
        and can_prepare(config["preprocess"])
    )


class NumpyTextEncoder:
    """Texts to unit vectors; of a folder for which `text_is_plain`."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        """Raises EncoderError when a file is missing or does not fit encoder.json."""
        side = "text." if config["model"].get("custom_text", False) else ""
        try:
            self.tokenize = CompactTokenizer.load(folder / TOKENS)
            weights = _weights(folder, side, but="visual.")
            self.tower = NumpyTextTower(weights, int(config["model"]["text_cfg"]["heads"]))
        except (OSError, KeyError, ValueError) as error:
            raise _does_not_fit(folder, error) from error

    def encode_texts(self, texts: Sequence[str]) -> F32:
        """See TextEncoder."""
        tokens = self.tokenize(texts)
        order = np.argsort(used_length(tokens), kind="stable")
        rows = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        features = np.concatenate([self.tower(tokens[part]) for part in rows])
        out = np.empty_like(features)
        out[order] = normalise(features)
        return out


class NumpyImageEncoder:
    """Photos to unit vectors; of a folder for which `image_is_plain`."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        """Raises EncoderError when a file is missing or does not fit encoder.json."""
        self.preprocess = PhotoPixels(config["preprocess"])
        self.image_size = self.preprocess.size
        try:
            self.tower = NumpyResNet(_weights(folder, "visual."))
        except (OSError, KeyError, ValueError) as error:
            raise _does_not_fit(folder, error) from error

    def encode_pixels(self, pixels: F32) -> F32:
        """(n, image_size, image_size, 3), see ImageEncoder."""
        return normalise(self.tower(pixels))


def _weights(folder: Path, side: str, but: str = "-") -> dict[str, F32]:
    """What begins with `side` and not with `but`, without `side`, as float32."""
    try:
        with safe_open(folder / WEIGHTS, framework="numpy") as file:
            names = [name for name in file.keys() if name.startswith(side)]  # noqa: SIM118
            return {
                name.removeprefix(side): file.get_tensor(name).astype(np.float32)
                for name in names
                if not name.startswith(but)
            }
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _does_not_fit(folder: Path, error: Exception) -> EncoderError:
    return EncoderError(f"{folder} does not fit its encoder.json: {error!r}")
