"""CLIP encoders behind one small class, computed by torch and open_clip; see `clip_folder`.

`load_clip` also accepts any open_clip name; what it fetches is first brought into that format.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save as safetensors_bytes

from hemline.encoders.clip_folder import (
    CONFIG,
    CURVE,
    FORMAT,
    HF_FOLDER,
    TOKENS,
    WEIGHTS,
    EncoderError,
    read_config,
)
from hemline.encoders.clip_model import build_model, half, load_weights, text_features
from hemline.encoders.tokenizer import CompactTokenizer, used_length
from hemline.errors import BadImageError
from hemline.images import decode_image
from hemline.vectors import F32, normalise

_COMMITTED = "training/hemline_training/weights/hemline_clip"

Tokenize = Callable[[Sequence[str]], npt.NDArray[np.int64]]  # (n,) texts -> (n, context) ids


class ClipEncoder:
    """Images and texts to unit vectors of one space.

    name          for people: "hemline", or the open_clip name it came from
    dim           length of the vectors
    image_size    pixels a side the image tower sees
    encoder_id    16 hex digits of the SHA-256 over its files: equal ids mean equal vectors
    """

    def __init__(
        self,
        model: torch.nn.Module,
        config: Mapping[str, Any],
        files: Mapping[str, bytes],
        device: str = "cpu",
    ) -> None:
        """Use `load`, `load_clip` or `ClipEncoder.of`.

        `config` is the content of encoder.json; `files` are the tokenizer's files by path.
        """
        self.config = dict(config)
        self.name = str(config["name"])
        self.dim = int(config["model"]["embed_dim"])
        self.preprocess_config = PreprocessCfg(**config["preprocess"])
        size = self.preprocess_config.size
        self.image_size = int(size if isinstance(size, int) else max(size))
        self.device = torch.device(device)
        self.model = model.eval().to(self.device).to(memory_format=torch.channels_last)
        self._transform = image_transform_v2(self.preprocess_config, is_train=False)
        self._tokenizer_files = dict(files)
        self.tokenize = _tokenizer(config["tokenizer"], self._tokenizer_files)
        self._id: str | None = None
        self._curve: bytes | None = None

    @classmethod
    def of(
        cls,
        model: torch.nn.Module,
        name: str,
        model_config: Mapping[str, Any],
        preprocess: PreprocessCfg,
        tokenizer: CompactTokenizer,
        device: str = "cpu",
    ) -> ClipEncoder:
        """An encoder of a freshly trained model with a compact tokenizer."""
        config = {
            "format": FORMAT,
            "name": name,
            "model": dict(model_config),
            "preprocess": asdict(preprocess),
            "tokenizer": {"kind": "compact"},
        }
        return cls(model, config, {TOKENS: tokenizer.to_json().encode()}, device)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> ClipEncoder:
        """Read a folder that `save` wrote. Raises EncoderError if it is not one."""
        config = read_config(folder)
        files = _read_tokenizer_files(folder)
        model = build_model(config["model"])
        load_weights(model, folder / WEIGHTS)
        encoder = cls(model, config, files, device)
        identity = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
        encoder._id = _digest({**identity, **files})
        if (folder / CURVE).is_file():
            encoder._curve = (folder / CURVE).read_bytes()
        return encoder

    def save(self, folder: Path) -> None:
        """Write the folder; `load` of it gives the same encoder_id and, up to float16, vectors."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self._files().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if self._curve is not None:
            (folder / CURVE).write_bytes(self._curve)

    @property
    def encoder_id(self) -> str:
        if self._id is None:
            self._id = _digest(self._files())
        return self._id

    def encode_images(self, images: Sequence[bytes], batch_size: int = 64) -> F32:
        """JPEG, PNG or WebP bytes to float32 (n, dim), unit norm.

        Raises BadImageError whose field is `images[i]` for the first image that cannot be used.
        """
        out = np.empty((len(images), self.dim), np.float32)
        for start in range(0, len(images), batch_size):
            chunk = [
                self._pixels(data, start + offset)
                for offset, data in enumerate(images[start : start + batch_size])
            ]
            out[start : start + len(chunk)] = self.encode_pixels(torch.stack(chunk))
        return out

    def encode_pixels(self, pixels: torch.Tensor | F32) -> F32:
        """Preprocessed float32 (n, 3, image_size, image_size) to float32 (n, dim), unit norm."""
        with torch.inference_mode():
            batch = torch.as_tensor(pixels, device=self.device)
            batch = batch.contiguous(memory_format=torch.channels_last)
            features: torch.Tensor = self.model.encode_image(batch)  # type: ignore[operator]
            return normalise(features.float().cpu().numpy())

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> F32:
        """float32 (n, dim), unit norm. Long texts are cut to the model's context length.

        Texts of about equal length share a batch, so that little padding is computed.
        """
        out = np.empty((len(texts), self.dim), np.float32)
        if not texts:
            return out
        tokens = self.tokenize(texts)
        order = np.argsort(used_length(tokens), kind="stable")
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                batch = torch.from_numpy(tokens[rows]).to(self.device)
                features = text_features(self.model, batch)
                out[rows] = normalise(features.float().cpu().numpy())
        return out

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """An RGB image as float32 (3, image_size, image_size), resized, padded and normalised."""
        pixels: torch.Tensor = self._transform(image)
        return pixels

    def _pixels(self, data: bytes, index: int) -> torch.Tensor:
        try:
            return self.preprocess(decode_image(data, at_least=2 * self.image_size))
        except BadImageError as error:
            raise BadImageError(f"images[{index}]", error.reason) from error

    def _files(self) -> dict[str, bytes]:
        state = {
            name: half(tensor.detach().cpu().contiguous())
            for name, tensor in self.model.state_dict().items()
        }
        config = json.dumps(self.config, indent=2, sort_keys=True) + "\n"
        return {
            CONFIG: config.encode(),
            WEIGHTS: safetensors_bytes(state),
            **self._tokenizer_files,
        }


def load_clip(spec: str, device: str = "cpu") -> ClipEncoder:
    """The encoder named by `spec`:

    "hemline"           the weights committed with this project
    a folder            one that `ClipEncoder.save` wrote
    "MODEL[:PRETRAINED]", "hf-hub:ORG/NAME", "local-dir:PATH"
                        anything open_clip can create; this may download weights. Without
                        PRETRAINED a plain MODEL has random weights: good for tests only.

    Raises EncoderError.
    """
    if spec == "hemline":
        return ClipEncoder.load(committed_weights(), device)
    if (Path(spec) / CONFIG).is_file():
        return ClipEncoder.load(Path(spec), device)
    from hemline.encoders.clip_convert import check_equal, convert_open_clip

    original = convert_open_clip(spec)
    with tempfile.TemporaryDirectory() as scratch:  # the one path: what serves is what reloads
        original.save(Path(scratch))
        reloaded = ClipEncoder.load(Path(scratch), device)
    check_equal(original, reloaded)
    return reloaded


def committed_weights() -> Path:
    """The folder of Hemline's own trained weights, in a checkout or beside an installed package."""
    here = Path(__file__).resolve()
    installed = here.parents[2] / "hemline_training" / "weights" / "hemline_clip"
    for folder in (here.parents[3] / _COMMITTED, installed):
        if (folder / CONFIG).is_file():
            return folder
    raise EncoderError(f"the committed weights are missing: expected {_COMMITTED}")


def _tokenizer(config: Mapping[str, Any], files: Mapping[str, bytes]) -> Tokenize:
    kind, options = config["kind"], {k: v for k, v in config.items() if k != "kind"}
    if kind == "compact":
        return CompactTokenizer.from_json(files[TOKENS].decode())
    if kind == "simple":
        inner = open_clip.SimpleTokenizer(**options)
    elif kind == "hf":
        with tempfile.TemporaryDirectory() as scratch:
            for name, data in files.items():
                (Path(scratch) / Path(name).name).write_bytes(data)
            inner = HFTokenizer(scratch, **options)
    else:
        raise EncoderError(f"unknown tokenizer kind {kind!r}")

    def tokenize(texts: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.asarray(inner(list(texts)).numpy(), dtype=np.int64)

    return tokenize


def _read_tokenizer_files(folder: Path) -> dict[str, bytes]:
    paths: Iterator[Path] = (p for p in [folder / TOKENS] if p.is_file())
    files = {path.name: path.read_bytes() for path in paths}
    for path in sorted((folder / HF_FOLDER).glob("*")):
        files[f"{HF_FOLDER}/{path.name}"] = path.read_bytes()
    return files


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\n{len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()[:16]
