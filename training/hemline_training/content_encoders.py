"""Encoders of photos and texts by name: what content models can stand on besides Hemline's CLIP.

    encoder = load_content_encoder("marqo-fashion-siglip")
    image, text = encoder.images(photos), encoder.texts(titles)

Each name is a published model whose weights come from its hub the first time, or from `weights`, a
folder (or timm file) that already holds them. Weights are read as safetensors, never unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import timm
import torch
from sklearn.decomposition import PCA
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform

from hemline.encoders.clip import load_clip
from hemline.encoders.clip_folder import EncoderError
from hemline.images import decode_image
from hemline.vectors import F32, normalise

Encode = Callable[[Sequence[Any]], F32]

BATCH = 32

# Photos alone: timm models, each with the weights usual for it.
TIMM = {
    "resnet152": "resnet152.tv2_in1k",
    "mobilenet-v2": "mobilenetv2_100.ra_in1k",
    "efficientnet-b5": "tf_efficientnet_b5.ns_jft_in1k",
}
# Texts alone, and photos and texts in one space: transformers models.
ROBERTA = {"roberta": "FacebookAI/roberta-base"}
DUAL = {"align": "kakaobrain/align-base", "fashion-clip": "patrickjohncyh/fashion-clip"}
# What `hemline.encoders.clip.load_clip` takes.
OPEN_CLIP = {
    "hemline": "hemline",
    "clip-vit-b32": "ViT-B-32-quickgelu:openai",
    "marqo-fashion-siglip": "hf-hub:Marqo/marqo-fashionSigLIP",
}
NAMES = (*TIMM, *ROBERTA, *DUAL, *OPEN_CLIP)


@dataclass(frozen=True)
class ContentEncoder:
    """images: encoded JPEG, PNG or WebP bytes -> float32 (n, d), unit norm; texts: str -> the same.

    None where a model cannot. Both raise BadImageError or nothing. shared: both give vectors of one
    space, so that a text can be compared with an image.
    """

    name: str
    images: Encode | None
    texts: Encode | None
    shared: bool


def load_content_encoder(name: str, weights: str | None = None) -> ContentEncoder:
    """One of NAMES, in eval mode on the CPU. weights: where to read it from instead of its hub.

    Raises EncoderError for another name, and when the weights cannot be had.
    """
    if name not in NAMES:
        raise EncoderError(f"there is no content encoder {name!r}; there are {', '.join(NAMES)}")
    if name in OPEN_CLIP:
        clip = load_clip(weights or OPEN_CLIP[name])
        return ContentEncoder(name, clip.encode_images, clip.encode_texts, shared=True)
    try:
        if name in TIMM:
            return ContentEncoder(name, timm_images(TIMM[name], weights), None, shared=False)
        if name in ROBERTA:
            texts = mean_pooled_texts(weights or ROBERTA[name])
            return ContentEncoder(name, None, texts, shared=False)
        return dual_encoder(name, weights or DUAL[name])
    except (OSError, RuntimeError, ValueError) as error:  # what hubs and files fail with
        raise EncoderError(
            f"the weights of {name} cannot be had from {weights or 'its hub'}: {error}"
        ) from error


def timm_images(model: str, weights: str | None = None) -> Encode:
    """Pooled features of a timm model on images prepared as it was trained."""
    overlay = {"file": weights} if weights else None
    net: Any = timm.create_model(
        model, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0
    ).eval()
    prepared = resolve_data_config({}, model=net)  # type: ignore[no-untyped-call]
    transform = create_transform(**prepared)

    def encode(images: Sequence[bytes]) -> F32:
        return in_batches(
            images, lambda part: net(torch.stack([transform(decode_image(d)) for d in part]))
        )

    return encode


def mean_pooled_texts(source: str) -> Encode:
    """A transformers text model's last layer, averaged over each text's own tokens."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    net: Any = AutoModel.from_pretrained(source, use_safetensors=True).eval()

    def forward(part: Sequence[str]) -> torch.Tensor:
        tokens = tokenizer(list(part), padding=True, truncation=True, return_tensors="pt")
        hidden = net(**tokens).last_hidden_state  # (b, tokens, width)
        mask = tokens["attention_mask"][:, :, None].to(hidden.dtype)
        mean: torch.Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return mean

    return lambda texts: in_batches(texts, forward)


def dual_encoder(name: str, source: str) -> ContentEncoder:
    """A transformers model with get_image_features and get_text_features, such as ALIGN or CLIP."""
    from transformers import AutoModel, AutoProcessor

    processor: Any = AutoProcessor.from_pretrained(source)  # type: ignore[no-untyped-call]
    net: Any = AutoModel.from_pretrained(source, use_safetensors=True).eval()

    def of_images(part: Sequence[bytes]) -> torch.Tensor:
        pixels = processor(images=[decode_image(d) for d in part], return_tensors="pt")
        return _pooled(net.get_image_features(pixel_values=pixels["pixel_values"]))

    def of_texts(part: Sequence[str]) -> torch.Tensor:
        tokens = processor(text=list(part), padding=True, truncation=True, return_tensors="pt")
        return _pooled(net.get_text_features(**tokens))

    return ContentEncoder(
        name,
        lambda images: in_batches(images, of_images),
        lambda texts: in_batches(texts, of_texts),
        shared=True,
    )


def in_batches(inputs: Sequence[Any], forward: Callable[[Sequence[Any]], torch.Tensor]) -> F32:
    """forward over BATCH inputs at a time: float32 (n, d), unit norm; (0, 0) without inputs."""
    if not inputs:
        return np.zeros((0, 0), dtype=np.float32)
    with torch.inference_mode():
        parts = [
            forward(inputs[start : start + BATCH]).float().cpu().numpy()
            for start in range(0, len(inputs), BATCH)
        ]
    return normalise(np.concatenate(parts))


@dataclass(frozen=True)
class Reduction:
    """Principal components of a catalogue's vectors, to bring 2,048 numbers of a ResNet to 256.

    mean: float32 (d,); components: float32 (k, d), orthonormal.
    """

    mean: F32
    components: F32

    @classmethod
    def of(cls, vectors: F32, dim: int = 256, seed: int = 0) -> Reduction:
        """The first min(dim, n, d) components of float32 (n, d)."""
        pca = PCA(min(dim, *vectors.shape), random_state=seed).fit(vectors)
        return cls(
            np.asarray(pca.mean_, dtype=np.float32), np.asarray(pca.components_, dtype=np.float32)
        )

    def __call__(self, vectors: F32) -> F32:
        """float32 (n, d) -> (n, k), unit norm."""
        return normalise((vectors - self.mean) @ self.components.T)


def _pooled(features: Any) -> torch.Tensor:
    """transformers gives the features themselves, or, in newer versions, an output around them."""
    pooled = getattr(features, "pooler_output", None)
    out: torch.Tensor = features if pooled is None else pooled
    return out
