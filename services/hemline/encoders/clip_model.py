"""CLIP networks: building one from a config, its text side without padding, its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors import safe_open

from hemline.encoders.clip_folder import EncoderError

_FP16_MAX = 65504.0


def build_model(model_config: Mapping[str, Any]) -> torch.nn.Module:
    """An open_clip model with random weights; the config is like `open_clip.get_model_config`'s."""
    config = json.loads(json.dumps(model_config))  # open_clip keeps and changes what it is given
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    config["text_cfg"].pop("hf_tokenizer_name", None)
    config["vision_cfg"]["timm_model_pretrained"] = False  # the weights are in our own file
    if "hf_model_name" in config["text_cfg"]:
        config["text_cfg"]["hf_model_pretrained"] = False
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    model: torch.nn.Module = kind(**config)
    return model


def text_features(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Features (n, dim), not normalised, of token ids (n, context).

    A causal text tower that reads its result at the end-of-text token cannot see what follows it,
    so trailing padding is cut off first: 10 real tokens cost a seventh of 77, with equal results.
    Any other text tower gets its full context.
    """
    tower: Any = model.text if hasattr(model, "text") else model
    if not _is_causal(tower):
        features: torch.Tensor = model.encode_text(tokens)  # type: ignore[operator]
        return features
    pooled = tokens.argmax(dim=-1)  # end-of-text has the largest id
    length = int(pooled.max()) + 1
    tokens = tokens[:, :length]
    x = tower.token_embedding(tokens) + tower.positional_embedding[:length]  # (B, T, W)
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    x = tower.ln_final(x[torch.arange(len(x), device=x.device), pooled])  # (B, W)
    projection = tower.text_projection
    if projection is None:
        features = x
    elif isinstance(projection, torch.nn.Module):
        features = projection(x)
    else:
        features = x @ projection
    return features


def _is_causal(tower: Any) -> bool:
    pool = getattr(tower, "pool_type", getattr(tower, "text_pool_type", None))
    return (
        pool == "argmax"
        and getattr(tower, "attn_mask", None) is not None
        and getattr(tower, "cls_emb", None) is None
    )


def load_weights(model: torch.nn.Module, path: Path) -> None:
    if not path.is_file():
        raise EncoderError(f"there are no weights at {path}")
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        model.load_state_dict(state)  # copies into the model's own float32 tensors
    except RuntimeError as error:
        raise EncoderError(f"{path} does not fit its encoder.json: {error}") from error


def half(tensor: torch.Tensor) -> torch.Tensor:
    """float16, unless the tensor is not of floats or float16 would overflow."""
    if tensor.dtype != torch.float32 or tensor.abs().max() > _FP16_MAX:
        return tensor.clone()
    return tensor.half()
