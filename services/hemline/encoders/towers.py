"""The two towers: content vectors in, vectors of one shared space out.

Both towers have the same shape. The output is a learned rotation of the input plus a correction by
a small MLP, so that an untrained tower already ranks like the CLIP space it starts from.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from hemline.errors import ReleaseError


class Tower(nn.Module):
    """normalise(W x + MLP(x)): float32 (b, input_dim) -> float32 (b, output_dim), unit norm."""

    def __init__(self, input_dim: int, output_dim: int, hidden_dim: int = 256) -> None:
        super().__init__()
        self.input_dim, self.output_dim, self.hidden_dim = input_dim, output_dim, hidden_dim
        self.linear = nn.Linear(input_dim, output_dim, bias=False)
        self.hidden = nn.Linear(input_dim, hidden_dim)
        self.correction = nn.Linear(hidden_dim, output_dim)
        nn.init.orthogonal_(self.linear.weight)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, x: Tensor) -> Tensor:
        out = self.linear(x) + self.correction(F.gelu(self.hidden(x)))
        return F.normalize(out, dim=-1)


def save_towers(path: Path, user: Tower, item: Tower) -> None:
    """Write both towers into one safetensors file."""
    tensors = {f"user.{name}": value.contiguous() for name, value in user.state_dict().items()}
    tensors |= {f"item.{name}": value.contiguous() for name, value in item.state_dict().items()}
    shape = {
        "input_dim": str(user.input_dim),
        "output_dim": str(user.output_dim),
        "hidden_dim": str(user.hidden_dim),
    }
    save_file(tensors, path, metadata=shape)


def load_tower(path: Path, side: str, device: str = "cpu") -> Tower:
    """The "user" or "item" tower of a file that `save_towers` wrote, in eval mode.

    Raises ReleaseError when the file has another shape than it says.
    """
    with safe_open(path, framework="pt", device=device) as file:
        shape = file.metadata() or {}
        weights = {
            name.removeprefix(f"{side}."): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 (safe_open is no dict)
            if name.startswith(f"{side}.")
        }
    try:
        tower = Tower(int(shape["input_dim"]), int(shape["output_dim"]), int(shape["hidden_dim"]))
        tower.load_state_dict(weights)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ReleaseError(f"{path.name} holds no usable {side} tower: {error}") from error
    return tower.to(device).eval()
