"""The attribute network: one timm ResNet, six linear heads on its pooled features.

A folder holds one, readable without the code that trained it: attributes.json (trunk, image size,
classes, temperatures, how it was measured) and model.safetensors (float16 on disk).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from open_clip.transform import image_transform_v2
from safetensors.torch import save_file
from torch import Tensor, nn

from hemline.encoders.clip import load_clip
from hemline.encoders.clip_folder import EncoderError
from hemline.encoders.clip_model import half, load_weights
from hemline.images import decode_image
from hemline.vectors import F32
from hemline_training.attributes.labels import HEADS, Labels
from hemline_training.clip.model import preprocess_config

FORMAT = "hemline-attributes-1"
COMMITTED = Path(__file__).resolve().parents[1] / "weights" / "hemline_attributes"
_CONFIG, _WEIGHTS = "attributes.json", "model.safetensors"


class AttributeNet(nn.Module):
    """float32 (b, 3, s, s) in -1..1 -> {head: logits (b, classes of the head)}.

    trunk: any timm name. Dropout lies between trunk and heads.
    """

    def __init__(self, trunk: str, classes: Mapping[str, Sequence[str]], dropout: float = 0.2):
        super().__init__()
        self.trunk = timm.create_model(trunk, pretrained=False, num_classes=0)
        self.dropout = nn.Dropout(dropout)
        width: int = self.trunk.num_features  # type: ignore[assignment]
        self.heads = nn.ModuleDict({h: nn.Linear(width, len(classes[h])) for h in HEADS})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        return self.read(self.trunk(pixels))

    def read(self, features: Tensor) -> dict[str, Tensor]:
        """The heads' logits of the trunk's features (b, width)."""
        dropped = self.dropout(features)
        return {head: layer(dropped) for head, layer in self.heads.items()}


@dataclass(frozen=True)
class AttributeModel:
    """A trained network with all that is needed to read its answers.

    trunk_of: the CLIP whose image tower the trunk is, unchanged, so that only the heads are saved;
    "" where the trunk was trained on and is the model's own.
    temperatures: head -> what its logits are divided by (Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017). about: how it was trained and measured, for people.
    """

    net: AttributeNet
    trunk: str
    trunk_of: str
    labels: Labels
    image_size: int
    temperatures: Mapping[str, float]
    about: Mapping[str, Any]

    def probabilities(self, pixels: Tensor) -> dict[str, F32]:
        """head -> float32 (n, classes), rows sum to 1; pixels (n, 3, s, s) in -1..1."""
        self.net.eval()
        parts: dict[str, list[Tensor]] = {head: [] for head in HEADS}
        with torch.inference_mode():
            for chunk in torch.split(pixels, 256):
                logits = self.net(chunk.contiguous(memory_format=torch.channels_last))
                for head in HEADS:
                    parts[head].append(self.calibrated(head, logits[head]))
        return {head: torch.cat(parts[head]).softmax(dim=1).numpy() for head in HEADS}

    def calibrated(self, head: str, logits: Tensor) -> Tensor:
        """Logits whose softmax is a probability among the catalogue's items as they come.

        Training with class weights w makes the network answer for a catalogue in which class c is
        w_c times as frequent; subtracting log w takes that back (Menon et al., "Long-tail learning
        via logit adjustment", ICLR 2021). Then the temperature.
        """
        prior = torch.from_numpy(np.log(self.labels.weights(head)))
        return (logits - prior) / self.temperatures[head]

    def pixels(self, images: Sequence[bytes]) -> Tensor:
        """JPEG, PNG or WebP bytes as float32 (n, 3, s, s). Raises BadImageError."""
        transform = image_transform_v2(preprocess_config(self.image_size), is_train=False)
        size = 2 * self.image_size
        return torch.stack([transform(decode_image(data, at_least=size)) for data in images])

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "format": FORMAT,
            "trunk": self.trunk,
            "trunk_of": self.trunk_of,
            "image_size": self.image_size,
            "classes": {head: list(names) for head, names in self.labels.classes.items()},
            "counts": {head: counts.tolist() for head, counts in self.labels.counts.items()},
            "weight_power": self.labels.weight_power,
            "seen_together": sorted(self.labels.seen),
            "temperatures": dict(self.temperatures),
            "about": dict(self.about),
        }
        (folder / _CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        saved: nn.Module = self.net.heads if self.trunk_of else self.net
        weights = {k: half(v.detach().contiguous()) for k, v in saved.state_dict().items()}
        save_file(weights, folder / _WEIGHTS)

    @classmethod
    def load(cls, folder: Path = COMMITTED) -> AttributeModel:
        """Read a folder that `save` wrote, by default the committed one.

        Raises EncoderError when it is not one.
        """
        path = folder / _CONFIG
        if not path.is_file():
            raise EncoderError(
                f"{folder} holds no attribute network ({_CONFIG} is missing); train one with "
                "`hemline train attributes --catalog DIR --out DIR`"
            )
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("format") != FORMAT:
            raise EncoderError(f"{path} is of format {config.get('format')!r}, not {FORMAT!r}")
        labels = Labels(
            config["classes"],
            {head: np.array(counts, np.int64) for head, counts in config["counts"].items()},
            frozenset((a, s, m) for a, s, m in config["seen_together"]),
            config["weight_power"],
        )
        net = AttributeNet(config["trunk"], labels.classes)
        if config["trunk_of"]:
            copy_trunk(net, config["trunk_of"])
        load_weights(net.heads if config["trunk_of"] else net, folder / _WEIGHTS)
        return cls(
            net.eval(),
            config["trunk"],
            config["trunk_of"],
            labels,
            int(config["image_size"]),
            config["temperatures"],
            config["about"],
        )


def copy_trunk(net: AttributeNet, clip: str) -> None:
    """The image tower of a CLIP as the trunk's weights. Raises EncoderError if it is another."""
    tower: Any = load_clip(clip).model.visual
    try:
        net.trunk.load_state_dict(tower.trunk.state_dict())
    except (AttributeError, RuntimeError) as error:
        raise EncoderError(
            f"the image tower of {clip!r} is not the trunk wanted: {error}"
        ) from None
