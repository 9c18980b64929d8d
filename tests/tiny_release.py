"""Releases with a real, tiny CLIP and real towers: enough for Triton, made in a second.

Random weights, another seed for each version, so that two versions never give the same vectors.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import torch
from open_clip.transform import PreprocessCfg
from PIL import Image

from hemline.encoders.clip import ClipEncoder, build_model
from hemline.encoders.tokenizer import CompactTokenizer
from hemline.encoders.towers import Tower, save_towers
from hemline_training.clip.model import clip_config, preprocess_config

TITLES = ("red summer dress", "blue slim jeans", "black leather boots", "white cotton shirt")


def build_tiny_release(
    root: Path,
    version: int,
    clip_dim: int = 32,
    tower_dim: int = 16,
    encoder: ClipEncoder | None = None,
) -> Path:
    """Write the encoder, the towers and a manifest of one release; returns its folder.

    encoder: instead of a tiny one; its vectors must have `clip_dim` values.
    """
    folder = root / f"r{version:04d}-00000000"
    folder.mkdir(parents=True)
    torch.manual_seed(version)
    (encoder or tiny_encoder(clip_dim)).save(folder / "clip")
    towers = {side: Tower(clip_dim, tower_dim, hidden_dim=24) for side in ("user", "item")}
    for tower in towers.values():  # a fresh tower's correction is zero: exercise it
        torch.nn.init.normal_(tower.correction.weight, std=0.3)
    save_towers(folder / "towers.safetensors", towers["user"], towers["item"])
    (folder / "manifest.json").write_text(json.dumps({"id": folder.name, "version": version}))
    return folder


def tiny_encoder(dim: int) -> ClipEncoder:
    """A vision transformer and a text transformer of width 32 with random weights."""
    tokenizer = CompactTokenizer.from_corpus(TITLES, min_count=1)
    config = {
        "embed_dim": dim,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 16,
            "width": 32,
            "layers": 1,
            "head_width": 16,
        },
        "text_cfg": {
            "context_length": tokenizer.context_length,
            "vocab_size": tokenizer.vocab_size,
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    }
    preprocess = PreprocessCfg(size=32, resize_mode="longest", fill_color=255)
    return ClipEncoder.of(build_model(config), "tiny", config, preprocess, tokenizer)


def encoder_without_torch(dim: int) -> ClipEncoder:
    """Hemline's own CLIP in small, for which Triton needs no torch; random weights."""
    tokenizer = CompactTokenizer.from_corpus(TITLES, min_count=1)
    config = clip_config(tokenizer.vocab_size, 32, dim=dim, text_width=64, text_layers=1)
    return ClipEncoder.of(build_model(config), "tiny", config, preprocess_config(32), tokenizer)


def tiny_image(seed: int, format: str = "JPEG", size: tuple[int, int] = (40, 60)) -> bytes:
    """An encoded picture of random blocks."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(blocks).resize(size).save(data, format)
    return data.getvalue()
