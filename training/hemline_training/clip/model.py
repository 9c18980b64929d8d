"""The architecture of Hemline's own CLIP: a timm image tower and a small text transformer."""

from __future__ import annotations

from typing import Any

from open_clip.transform import PreprocessCfg

CONTEXT_LENGTH = 24


def clip_config(
    vocab_size: int,
    image_size: int,
    image_tower: str = "resnet10t",
    dim: int = 128,
    text_width: int = 192,
    text_layers: int = 3,
) -> dict[str, Any]:
    """An open_clip model config (CustomTextCLIP); `vocab_size` includes start and end of text.

    resnet10t has 5 M parameters; training/LOG.md compares the speed of towers.
    """
    return {
        "embed_dim": dim,
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": image_tower,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": image_size,
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": vocab_size,
            "width": text_width,
            "heads": text_width // 64,
            "layers": text_layers,
        },
    }


def preprocess_config(image_size: int) -> PreprocessCfg:
    """The whole photo, its aspect ratio kept, on a white square: product photos are on white."""
    return PreprocessCfg(
        size=image_size,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        interpolation="bicubic",
        resize_mode="longest",
        fill_color=255,
    )
