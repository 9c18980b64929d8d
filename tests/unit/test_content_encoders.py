"""Content encoders by name, with tiny random weights made on the spot: no hub is asked."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from hemline.encoders.clip_folder import EncoderError
from hemline.errors import BadImageError
from hemline_training import content_encoders
from hemline_training.content_encoders import (
    DUAL,
    NAMES,
    TIMM,
    Reduction,
    dual_encoder,
    load_content_encoder,
    mean_pooled_texts,
    timm_images,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "dress", "shoes", "men"]


def photo(colour: str, size: tuple[int, int] = (40, 60)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def are_unit_vectors(vectors: np.ndarray, rows: int, dim: int) -> bool:
    norms = np.linalg.norm(vectors, axis=1)
    return vectors.shape == (rows, dim) and vectors.dtype == np.float32 and np.allclose(norms, 1)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("roberta")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=0,
        max_position_embeddings=20,
    )
    RobertaModel(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def align(tmp_path_factory) -> Path:
    from transformers import (
        AlignConfig,
        AlignModel,
        AlignProcessor,
        BertTokenizerFast,
        EfficientNetImageProcessor,
    )

    folder = tmp_path_factory.mktemp("align")
    torch.manual_seed(0)
    text = dict(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    vision = dict(
        image_size=32,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=16,
        in_channels=[32, 16],
        out_channels=[16, 16],
        kernel_sizes=[3, 3],
        strides=[1, 2],
        num_block_repeats=[1, 1],
        expand_ratios=[1, 2],
        depthwise_padding=[],
    )
    AlignModel(
        AlignConfig(text_config=text, vision_config=vision, projection_dim=16)
    ).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=16)
    images = EfficientNetImageProcessor(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}
    )
    AlignProcessor(images, tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", TIMM)
def test_the_timm_models_exist_with_pretrained_weights(name):
    assert TIMM[name] in timm.list_pretrained(TIMM[name].split(".")[0] + "*")


def test_a_timm_encoder_reads_weights_from_a_file(tmp_path):
    torch.manual_seed(0)
    net = timm.create_model("test_resnet", num_classes=0)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    encode = timm_images("test_resnet", str(tmp_path / "model.safetensors"))
    vectors = encode([photo("red"), photo("blue"), photo("red", (80, 30))])
    assert are_unit_vectors(vectors, 3, net.num_features)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1]
    pixels = torch.full((1, 3, 160, 160), 0.0)
    pixels[:, 0], pixels[:, 1:] = 1.0, 0.0
    mean, std = (torch.tensor(net.pretrained_cfg[k]).reshape(3, 1, 1) for k in ("mean", "std"))
    by_hand = net.eval()((pixels - mean) / std).detach().numpy()[0]
    assert vectors[0] @ (by_hand / np.linalg.norm(by_hand)) == pytest.approx(1, abs=1e-4)


def test_a_text_is_the_mean_of_its_own_tokens_whatever_the_batch_pads(roberta):
    encode = mean_pooled_texts(str(roberta))
    alone, longer = encode(["red dress"]), encode(["red dress", "men blue shoes men blue shoes"])
    assert are_unit_vectors(longer, 2, 16)
    assert longer[0] == pytest.approx(alone[0], abs=1e-5)
    assert encode(["red " * 100]).shape == (1, 16)  # cut to what the model takes


def test_roberta_by_name_takes_a_folder(roberta):
    encoder = load_content_encoder("roberta", weights=str(roberta))
    assert encoder.images is None and not encoder.shared
    assert are_unit_vectors(encoder.texts(["red dress"]), 1, 16)


def test_align_encodes_photos_and_texts_into_one_space(align):
    encoder = dual_encoder("align", str(align))
    photos = encoder.images([photo("red"), photo("blue"), photo("white")])
    texts = encoder.texts(["red dress", "blue shoes for men"])
    assert encoder.shared
    assert are_unit_vectors(photos, 3, 16) and are_unit_vectors(texts, 2, 16)
    assert texts[0] == pytest.approx(encoder.texts(["red dress"])[0], abs=1e-5)
    with pytest.raises(BadImageError):
        encoder.images([b"no image"])


def test_hemlines_own_clip_goes_by_name():
    encoder = load_content_encoder("hemline")
    assert are_unit_vectors(encoder.texts(["red dress"]), 1, 128)


def test_no_inputs_give_no_rows(roberta):
    assert len(mean_pooled_texts(str(roberta))([])) == 0


def test_an_unknown_name_lists_the_known_and_missing_weights_say_where(tmp_path):
    with pytest.raises(
        EncoderError, match=r"no content encoder 'vgg'; there are resnet152, .*align"
    ):
        load_content_encoder("vgg")
    with pytest.raises(EncoderError, match=f"weights of align cannot be had from {tmp_path}"):
        load_content_encoder("align", weights=str(tmp_path))
    assert {"fashion-clip", "marqo-fashion-siglip", "clip-vit-b32", *DUAL} <= set(NAMES)


def test_pickled_weights_are_refused(roberta, tmp_path):
    for path in roberta.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    state = {"embeddings.word_embeddings.weight": torch.zeros(len(WORDS), 16)}
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert json.loads((tmp_path / "config.json").read_text())["hidden_size"] == 16
    with pytest.raises(EncoderError, match="weights of roberta"):
        load_content_encoder("roberta", weights=str(tmp_path))


def test_a_reduction_keeps_the_directions_of_most_variance():
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(20, 2)))[0].T
    vectors = np.float32(rng.normal(size=(200, 2)) * 5 @ plane + 0.01 * rng.normal(size=(200, 20)))
    reduction = Reduction.of(vectors, dim=2)
    assert are_unit_vectors(reduction(vectors), 200, 2)
    assert np.linalg.norm(reduction.components @ plane.T, axis=1) == pytest.approx([1, 1], abs=1e-3)
    assert Reduction.of(vectors[:8], dim=256).components.shape == (8, 20)


def test_batches_do_not_change_the_result():
    inputs = list(range(1, content_encoders.BATCH + 9))
    out = content_encoders.in_batches(inputs, lambda p: torch.tensor([[float(x), 1.0] for x in p]))
    assert out[:, 0] / out[:, 1] == pytest.approx(inputs, rel=1e-4)
