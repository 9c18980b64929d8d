"""What Triton serves without torch gives what open_clip gives; what it cannot, torch computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hemline.encoders.clip import ClipEncoder, committed_weights, load_clip
from hemline.encoders.clip_folder import EncoderError, read_config
from hemline.encoders.clip_model import build_model
from hemline.encoders.photo_pixels import PhotoPixels
from hemline.encoders.served_clip import (
    NumpyImageEncoder,
    NumpyTextEncoder,
    image_is_plain,
    load_image_encoder,
    load_text_encoder,
    text_is_plain,
)
from hemline.encoders.tokenizer import CompactTokenizer
from hemline.triton_repository import model_templates, prepare_model_repository
from hemline.vectors import F32
from hemline_training.clip.model import clip_config, preprocess_config
from tiny_release import build_tiny_release, tiny_encoder

TEXTS = [
    "women red dress",
    "",
    "men brown leather shoes &amp; a title that is much longer than its context allows for, 日本",
    *(f"blue jeans number {number}" for number in range(80)),
]
SIZES = [(60, 80), (80, 60), (33, 200), (10, 10), (300, 240), (81, 80), (9, 500)]


def photos() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in SIZES
    ]


def trained_encoder(tower: str, image_size: int) -> ClipEncoder:
    """Random weights, the batch norms' statistics too, which are trivial in a fresh network."""
    torch.manual_seed(3)
    tokenizer = CompactTokenizer.from_corpus(TEXTS, min_count=1)
    config = clip_config(tokenizer.vocab_size, image_size, tower, 16, text_width=128, text_layers=2)
    model = build_model(config)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(tensor, std=0.2)
        elif name.endswith("running_var"):
            torch.nn.init.uniform_(tensor, 0.5, 2.0)
        elif tensor.ndim == 1:  # scales and shifts
            torch.nn.init.normal_(tensor, mean=float(name.endswith("weight")), std=0.2)
    return ClipEncoder.of(model, "tiny", config, preprocess_config(image_size), tokenizer)


def image_vectors(encoder: Any, images: list[Image.Image]) -> F32:
    """As clip_image/model.py computes them."""
    vectors: F32 = encoder.encode_pixels(np.stack([encoder.preprocess(image) for image in images]))
    return vectors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    trained_encoder("resnet10t", 40).save(tmp_path / "clip")
    return tmp_path / "clip"


def change(folder: Path, *path: str, value: object) -> dict[str, Any]:
    """encoder.json with another value at `path`, written and returned."""
    config = read_config(folder)
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (folder / "encoder.json").write_text(json.dumps(config))
    return config


@pytest.mark.parametrize(
    ("tower", "size"), [("resnet10t", 80), ("resnet10t", 67), ("resnet18d", 48)]
)
def test_vectors_without_torch_equal_those_of_open_clip(
    tower: str, size: int, tmp_path: Path
) -> None:
    trained_encoder(tower, size).save(tmp_path)
    reference = ClipEncoder.load(tmp_path)
    text, image = load_text_encoder(tmp_path, "cpu"), load_image_encoder(tmp_path, "cpu")
    assert isinstance(text, NumpyTextEncoder) and isinstance(image, NumpyImageEncoder)
    np.testing.assert_allclose(
        text.encode_texts(TEXTS), reference.encode_texts(TEXTS), rtol=0, atol=1e-5
    )
    many = photos() * 3  # more than are computed at once
    vectors = image_vectors(image, many)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, image_vectors(reference, many), rtol=0, atol=1e-5)


def test_the_committed_weights_are_served_without_torch_and_equal_to_open_clip() -> None:
    reference, folder = load_clip("hemline"), committed_weights()
    text, image = load_text_encoder(folder, "cpu"), load_image_encoder(folder, "cpu")
    assert isinstance(text, NumpyTextEncoder) and isinstance(image, NumpyImageEncoder)
    np.testing.assert_allclose(
        text.encode_texts(TEXTS), reference.encode_texts(TEXTS), rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(
        image_vectors(image, photos()), image_vectors(reference, photos()), rtol=0, atol=1e-5
    )


def test_a_text_without_a_projection_of_its_own_tower_is_served_too(tmp_path: Path) -> None:
    """A plain CLIP keeps its text tower beside the rest, under no name; its images take torch."""
    tiny_encoder(32).save(tmp_path)
    reference = ClipEncoder.load(tmp_path)
    text, image = load_text_encoder(tmp_path, "cpu"), load_image_encoder(tmp_path, "cpu")
    assert isinstance(text, NumpyTextEncoder) and isinstance(image, ClipEncoder)
    np.testing.assert_allclose(
        text.encode_texts(TEXTS), reference.encode_texts(TEXTS), rtol=0, atol=1e-5
    )
    assert image_vectors(image, photos()).shape == (len(SIZES), 32)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tokenizer",), {"kind": "simple", "context_length": 24}),
        (("model", "quick_gelu"), True),
        (("model", "text_cfg", "pool_type"), "last"),
        (("model", "text_cfg", "no_causal_mask"), True),
    ],
)
def test_another_kind_of_text_tower_is_left_to_torch(
    folder: Path, path: tuple[str, ...], value: object
) -> None:
    assert text_is_plain(read_config(folder))
    assert not text_is_plain(change(folder, *path, value=value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model", "vision_cfg", "timm_model_name"), "resnet26d"),
        (("model", "vision_cfg", "timm_pool"), "abs_attn"),
        (("model", "vision_cfg", "timm_drop"), 0.5),
        (("model", "vision_cfg"), {"image_size": 40, "layers": 1, "width": 64, "patch_size": 8}),
        (("preprocess", "resize_mode"), "shortest"),
        (("preprocess", "size"), [40, 48]),
        (("preprocess", "interpolation"), "random"),
    ],
)
def test_another_kind_of_image_tower_is_left_to_torch(
    folder: Path, path: tuple[str, ...], value: object
) -> None:
    assert image_is_plain(read_config(folder))
    assert not image_is_plain(change(folder, *path, value=value))


def test_on_a_gpu_torch_computes(folder: Path) -> None:
    if torch.cuda.is_available():
        assert isinstance(load_text_encoder(folder, "cuda:0"), ClipEncoder)
        return
    for load in (load_text_encoder, load_image_encoder):
        with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|NVIDIA|cuda"):
            load(folder, "cuda:0")


def test_weights_that_are_missing_or_of_another_architecture_are_refused(folder: Path) -> None:
    change(folder, "model", "custom_text", value=False)
    with pytest.raises(EncoderError, match="does not fit its encoder"):
        load_text_encoder(folder, "cpu")
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(EncoderError, match="does not fit its encoder"):
        load_image_encoder(folder, "cpu")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="does not fit its encoder"):
        load_image_encoder(folder, "cpu")
    (folder / "encoder.json").unlink()
    with pytest.raises(EncoderError, match=r"no encoder\.json"):
        load_text_encoder(folder, "cpu")


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_photos_are_prepared_pixel_for_pixel_as_open_clip_prepares_them(
    folder: Path, interpolation: str
) -> None:
    config = change(folder, "preprocess", "interpolation", value=interpolation)
    config = change(folder, "preprocess", "mean", value=[0.1, 0.2, 0.3])
    prepare, reference = PhotoPixels(config["preprocess"]), ClipEncoder.load(folder)
    for photo in photos():
        expected = reference.preprocess(photo).numpy().transpose(1, 2, 0)
        np.testing.assert_array_equal(prepare(photo), expected)


def test_a_photo_that_is_one_line_is_prepared_all_the_same(folder: Path) -> None:
    prepare = PhotoPixels(read_config(folder)["preprocess"])
    assert prepare(Image.new("RGB", (3000, 1), "black")).shape == (40, 40, 3)


SERVE = """
import importlib.util, sys, types
from pathlib import Path

sys.modules["triton_python_backend_utils"] = types.ModuleType("what Triton's stub provides")
for model in ("clip_text", "clip_image", "user_tower", "item_tower"):
    file = Path(sys.argv[1]) / model / "1" / "model.py"
    spec = importlib.util.spec_from_file_location(model, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    served = module.TritonPythonModel()
    served.initialize(
        {
            "model_repository": str(Path(sys.argv[1]) / model),
            "model_version": "1",
            "model_instance_kind": "CPU",
        }
    )
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_no_process_of_triton_imports_torch_or_open_clip_for_hemlines_own_clip(
    tmp_path: Path, folder: Path
) -> None:
    release = build_tiny_release(tmp_path / "releases", version=1)
    for file in folder.iterdir():
        (release / "clip" / file.name).write_bytes(file.read_bytes())
    prepare_model_repository(model_templates(), tmp_path / "repository", [(1, release)])
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "repository")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert {"numpy", "PIL", "safetensors", "ftfy"} <= imported
    slow = {"torch", "open_clip", "timm", "torchvision", "transformers", "scipy", "numba"}
    assert not imported & slow
