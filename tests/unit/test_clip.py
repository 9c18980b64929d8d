"""ClipEncoder: the folder format, equal results with and without padding, hostile input."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from hemline.encoders.clip import ClipEncoder, load_clip
from hemline.encoders.clip_folder import EncoderError
from hemline.encoders.clip_model import build_model, text_features
from hemline.encoders.tokenizer import CompactTokenizer
from hemline.errors import BadImageError
from hemline_training.clip.model import clip_config, preprocess_config

TEXTS = ["women red dress", "", "men brown leather shoes with a long, long name", "blue jeans"]


def photo(colour: str, size: tuple[int, int] = (30, 40), kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    torch.manual_seed(0)
    tokenizer = CompactTokenizer.from_corpus(TEXTS, min_count=1)
    config = clip_config(tokenizer.vocab_size, 32, "test_resnet", 16, text_width=64, text_layers=2)
    model = build_model(config)
    return ClipEncoder.of(model, "tiny", config, preprocess_config(32), tokenizer)


def test_vectors_are_float32_of_unit_norm(encoder: ClipEncoder) -> None:
    for vectors in (
        encoder.encode_images([photo("red"), photo("blue", kind="PNG")]),
        encoder.encode_texts(["red", "blue"]),
    ):
        assert vectors.dtype == np.float32 and vectors.shape == (2, encoder.dim) == (2, 16)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_no_images_and_no_texts_give_no_rows(encoder: ClipEncoder) -> None:
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 16)


def test_a_vector_does_not_depend_on_its_batch(encoder: ClipEncoder) -> None:
    images = [photo(c) for c in ("red", "green", "blue", "white", "black")]
    np.testing.assert_allclose(
        encoder.encode_images(images, batch_size=2), encoder.encode_images(images), atol=1e-5
    )
    together = encoder.encode_texts(TEXTS, batch_size=3)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_texts_without_padding_are_equal_to_texts_with_it(encoder: ClipEncoder) -> None:
    tokens = torch.from_numpy(encoder.tokenize(TEXTS))
    with torch.inference_mode():
        short = text_features(encoder.model, tokens)
        whole = encoder.model.encode_text(tokens)  # type: ignore[operator]
    np.testing.assert_allclose(short.numpy(), whole.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "name,text_cfg",
    [
        ("clip", {}),
        ("custom", {"proj_bias": True}),
        ("sees what follows", {"no_causal_mask": True, "pool_type": "last"}),
        ("class token", {"embed_cls": True}),
    ],
)
def test_other_text_towers_give_what_open_clip_gives(
    name: str, text_cfg: dict[str, object]
) -> None:
    config = {
        "embed_dim": 16,
        "custom_text": name != "clip",
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"width": 64, "heads": 1, "layers": 1, **text_cfg},
    }
    model = build_model(config).eval()
    tokens = open_clip.SimpleTokenizer()(TEXTS)
    with torch.inference_mode():
        whole = model.encode_text(tokens)  # type: ignore[operator]
        np.testing.assert_allclose(text_features(model, tokens), whole, atol=1e-5)


def test_a_saved_encoder_loads_with_equal_id_and_vectors(
    encoder: ClipEncoder, tmp_path: Path
) -> None:
    encoder.save(tmp_path / "a")
    loaded = ClipEncoder.load(tmp_path / "a")
    assert (loaded.name, loaded.dim, loaded.image_size) == ("tiny", 16, 32)
    assert loaded.encoder_id == encoder.encoder_id
    np.testing.assert_allclose(
        loaded.encode_texts(TEXTS),
        encoder.encode_texts(TEXTS),
        atol=5e-3,  # float16 on disk
    )
    loaded.save(tmp_path / "b")
    again = ClipEncoder.load(tmp_path / "b")
    assert again.encoder_id == loaded.encoder_id
    assert (again.encode_texts(TEXTS) == loaded.encode_texts(TEXTS)).all()


def test_the_training_curve_travels_with_the_weights_and_is_no_part_of_the_id(
    encoder: ClipEncoder, tmp_path: Path
) -> None:
    encoder.save(tmp_path / "first")
    (tmp_path / "first" / "loss.csv").write_text("epoch,loss\n1,0.5\n")
    loaded = ClipEncoder.load(tmp_path / "first")
    loaded.save(tmp_path / "second")
    assert (tmp_path / "second" / "loss.csv").read_text() == "epoch,loss\n1,0.5\n"
    assert loaded.encoder_id == encoder.encoder_id


def test_changing_one_weight_changes_the_id(encoder: ClipEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    changed = ClipEncoder.load(tmp_path)
    changed.model.logit_scale.data += 1  # type: ignore[operator, union-attr]
    changed.save(tmp_path / "changed")
    assert ClipEncoder.load(tmp_path / "changed").encoder_id != encoder.encoder_id


def test_a_weight_beyond_float16_survives_the_disk(encoder: ClipEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    large = ClipEncoder.load(tmp_path)
    large.model.logit_scale.data.fill_(1e6)  # type: ignore[operator, union-attr]
    large.save(tmp_path / "large")
    assert ClipEncoder.load(tmp_path / "large").model.logit_scale.item() == 1e6  # type: ignore[operator, union-attr]


def test_the_whole_photo_is_put_on_a_white_square(encoder: ClipEncoder) -> None:
    pixels = encoder.preprocess(Image.new("RGB", (60, 80), "black"))
    assert pixels.shape == (3, 32, 32)
    assert (pixels[:, :, :4] == 1).all() and (pixels[:, :, -4:] == 1).all()  # white at the sides
    assert (pixels[:, :, 4:-4] == -1).all()


def test_a_bad_image_is_named_by_its_index(encoder: ClipEncoder) -> None:
    images = [photo("red"), photo("blue"), b"GIF89a not an image we take"]
    with pytest.raises(BadImageError) as raised:
        encoder.encode_images(images, batch_size=2)
    assert raised.value.field == "images[2]"


def test_a_folder_that_is_no_encoder_is_refused(encoder: ClipEncoder, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no encoder\.json"):
        ClipEncoder.load(tmp_path)
    encoder.save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="no weights"):
        ClipEncoder.load(tmp_path)


def test_weights_of_another_architecture_are_refused(encoder: ClipEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    path = tmp_path / "encoder.json"
    config = json.loads(path.read_text())
    config["model"]["text_cfg"]["layers"] = 1
    path.write_text(json.dumps(config))
    with pytest.raises(EncoderError, match="does not fit"):
        ClipEncoder.load(tmp_path)


def test_any_open_clip_name_is_converted_to_a_folder_without_a_hub(tmp_path: Path) -> None:
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 48, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "width": 64, "heads": 1, "layers": 1},
    }
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "hemline-tiny-vit.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "configs")
    torch.manual_seed(1)
    model, _, preprocess = open_clip.create_model_and_transforms("hemline-tiny-vit")
    weights = tmp_path / "tiny.pt"
    torch.save(model.state_dict(), weights)

    loaded = load_clip(f"hemline-tiny-vit:{weights}")
    loaded.save(tmp_path / "folder")
    folder = load_clip(str(tmp_path / "folder"))

    model.eval()
    with torch.inference_mode():
        texts = model.encode_text(
            open_clip.get_tokenizer("hemline-tiny-vit")(TEXTS), normalize=True
        )
        image = Image.open(io.BytesIO(photo("orange", (50, 40), "PNG")))
        images = model.encode_image(preprocess(image)[None], normalize=True)
    assert folder.dim == 24 and folder.image_size == 48
    assert folder.encoder_id == loaded.encoder_id
    np.testing.assert_allclose(folder.encode_texts(TEXTS), texts, atol=5e-3)
    np.testing.assert_allclose(
        folder.encode_images([photo("orange", (50, 40), "PNG")]), images, atol=5e-3
    )


def test_a_model_of_the_hub_is_loaded_from_its_cache(tmp_path: Path) -> None:
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 48, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "width": 64, "heads": 1, "layers": 1},
    }
    repository = tmp_path / "hub" / "models--somebody--tiny-clip"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    model = build_model(config)
    save_file(model.state_dict(), snapshot / "open_clip_model.safetensors")
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.5] * 3, "resize_mode": "squash"}
    (snapshot / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    program = (
        "import sys, pathlib; from hemline.encoders.clip import load_clip; "
        "load_clip('hf-hub:somebody/tiny-clip').save(pathlib.Path(sys.argv[1]))"
    )
    offline = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    paths = os.pathsep.join(p for p in sys.path if p)
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "folder")],
        env={**offline, "PYTHONPATH": paths},
        check=True,
        timeout=120,
    )
    folder = ClipEncoder.load(tmp_path / "folder")
    assert folder.name == "hf-hub:somebody/tiny-clip"
    assert folder.preprocess_config.mean == [0.1, 0.2, 0.3]
    assert folder.preprocess_config.resize_mode == "squash"
    with torch.inference_mode():
        expected = model.eval().encode_text(open_clip.SimpleTokenizer()(TEXTS), normalize=True)  # type: ignore[operator]
    np.testing.assert_allclose(folder.encode_texts(TEXTS), expected, atol=5e-3)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(EncoderError, match="neither an encoder folder nor a name"):
        load_clip("no-such-model")


def test_a_hugging_face_tokenizer_is_kept_in_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the optional loader of Hugging Face tokenizers")
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "</s>", "red", "blue", "dress", "jeans"]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    source = tmp_path / "source"
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(source)
    config = {
        "embed_dim": 24,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {"image_size": 48, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {
            "context_length": 8,
            "vocab_size": len(words),
            "hf_tokenizer_name": "somebody/their-siglip",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True,
            "pool_type": "last",
            "width": 64,
            "heads": 1,
            "layers": 1,
        },
    }
    (source / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )
    save_file(build_model(config).state_dict(), source / "open_clip_model.safetensors")

    encoder = load_clip(f"local-dir:{source}")
    encoder.save(tmp_path / "folder")
    folder = ClipEncoder.load(tmp_path / "folder")

    assert folder.tokenize(["Red, dress!"])[0].tolist() == [3, 5, 0, 0, 0, 0, 0, 0]
    assert folder.preprocess_config.mean == [0.5] * 3
    np.testing.assert_allclose(folder.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-6)
