"""Checkpoints of a training run: one safetensors file, replaced in one step."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file


@dataclass
class TrainState:
    """Everything that a step changes."""

    model: torch.nn.Module
    average: torch.nn.Module
    optimizer: torch.optim.AdamW
    epoch: int = 0  # epochs done
    history: list[dict[str, float]] = field(default_factory=list)  # one entry an epoch


def save_checkpoint(state: TrainState, path: Path, settings: dict[str, Any]) -> None:
    """The checkpoint in one file, replaced in one step."""
    tensors = {f"model.{k}": v for k, v in state.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.state_dict().items()}
    for index, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in slots.items()}
    tensors = {
        k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()
    }
    about = {"epoch": state.epoch, "history": state.history, "settings": settings}
    part = path.with_suffix(".part")
    save_file(tensors, part, {"hemline": json.dumps(about)})
    part.replace(path)


def restore_checkpoint(state: TrainState, path: Path, settings: dict[str, Any]) -> None:
    """Go on from `path`. Raises ValueError if it was made with other `settings`."""
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["hemline"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if about["settings"] != settings:
        raise ValueError(f"{path} is of another configuration: {about['settings']}")
    for prefix, module in (("model.", state.model), ("average.", state.average)):
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".")
            slots.setdefault(int(index), {})[slot] = tensor
    whole = state.optimizer.state_dict()
    state.optimizer.load_state_dict({**whole, "state": slots})
    state.epoch, state.history = about["epoch"], about["history"]
