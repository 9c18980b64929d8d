"""Trains Hemline's own CLIP from scratch on a catalogue.

    hemline train clip --catalog .hemline/catalogue --out .hemline/clip --epochs 20

With `torchrun --nproc-per-node N` each process takes a share of every batch. On a CPU shared with
others, two processes of one thread are much the faster: they wait for each other twice a step
instead of at every operator (training/LOG.md).

Every epoch's randomness is a function of (seed, epoch), and each epoch ends with a checkpoint, so a
run that was stopped and resumed gives the weights of one that was not.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize
from tqdm import tqdm

from hemline.encoders.clip import ClipEncoder
from hemline.encoders.clip_model import build_model, text_features
from hemline.encoders.tokenizer import CompactTokenizer, used_length
from hemline_training.clip.captions import Captioner, fits, names_of
from hemline_training.clip.checkpoint import (
    TrainState,
    restore_checkpoint,
    save_checkpoint,
)
from hemline_training.clip.data import Products, Rows, augment, batches, load_products
from hemline_training.clip.evaluate import class_vectors
from hemline_training.clip.loss import contrastive_loss, prompt_loss
from hemline_training.clip.metrics import accuracy, hit_rate, ranks
from hemline_training.clip.model import CONTEXT_LENGTH, clip_config, preprocess_config
from hemline_training.clip.text_stage import tune_texts
from hemline_training.clip.workers import Workers


@dataclass(frozen=True)
class ClipTrainConfig:
    """One run; the model card says with which values the committed weights were made."""

    catalog: Path  # folder with items.parquet
    out: Path  # the encoder folder; checkpoint and decoded photos go below it
    extra_catalogs: tuple[Path, ...] = ()  # trained on as well, such as the drawn demo garments
    epochs: int = 18
    batch: int = 256
    image_size: int = 80
    small_image_size: int = 64  # for the first epochs: 1.4 times as fast
    small_share: float = 0.75  # of the epochs
    model: str = "resnet10t"  # any timm name
    dim: int = 128
    text_width: int = 192
    text_layers: int = 3
    lr: float = 1.5e-3
    weight_decay: float = 0.1
    warmup_epochs: float = 1.0
    prompt_weight: float = 0.25  # of choosing each photo's article type and shade among all names
    ema: float = 0.998  # per step; the averaged weights are the ones evaluated and saved
    text_epochs: int = 1  # of the last stage, for the text tower alone (text_stage.py)
    seed: int = 0
    device: str = "cpu"
    threads: int = 0  # 0: torch's own choice
    resume: bool = False


def train_clip(config: ClipTrainConfig, stop_after_epoch: int | None = None) -> Path:
    """Train, or go on training, and return the folder the encoder was saved to (`config.out`).

    Beside the encoder: loss.csv, loss.png, checkpoint.safetensors and cache/. `stop_after_epoch`
    ends the run early, as a kill would. Raises ValueError when `resume` meets a checkpoint of
    another configuration, CatalogueError for a catalogue without photos.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    workers = Workers.join()
    config.out.mkdir(parents=True, exist_ok=True)
    if not workers.leads:
        workers.wait()  # for the leader to decode the photos
    catalogs = (config.catalog, *config.extra_catalogs)
    products = load_products(catalogs, config.image_size, config.out / "cache")
    if workers.leads:
        workers.wait()
    captioner = Captioner(products.catalogue, products.product)
    checkpoint = config.out / "checkpoint.safetensors"
    tokens = config.out / "tokens.json"
    resumes = config.resume and checkpoint.is_file()
    tokenizer = (
        CompactTokenizer.load(tokens)
        if resumes
        else CompactTokenizer.from_corpus(captioner.texts(), CONTEXT_LENGTH)
    )
    tokens.write_text(tokenizer.to_json(), encoding="utf-8")
    state = _start(config, _architecture(config, tokenizer, config.image_size))
    if resumes:
        restore_checkpoint(state, checkpoint, _settings(config))
    parameters = sum(p.numel() for p in state.model.parameters())
    workers.say(
        f"{parameters / 1e6:.1f} M parameters, {tokenizer.vocab_size} tokens, "
        f"{len(products.train_rows)} products to train on, {len(products.test_rows)} held out"
    )
    history = state.history
    last = config.epochs if stop_after_epoch is None else min(config.epochs, stop_after_epoch)
    while state.epoch < last:
        loss = _epoch(config, state, products, captioner, tokenizer, workers)
        state.epoch += 1
        if not workers.leads:
            continue
        encoder = _encoder(config, state, tokenizer)
        history.append({"epoch": state.epoch, "loss": loss, **_quick_look(encoder, products)})
        tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in history[-1].items()))
        save_checkpoint(state, checkpoint, _settings(config))
        encoder.save(config.out)
        _plot(history, config.out)
    if workers.leads and state.epoch == config.epochs and config.text_epochs:
        encoder = _encoder(config, state, tokenizer)
        images = np.zeros((len(products.pixels), config.dim), np.float32)
        images[products.rows] = _encode_rows(encoder, products, products.rows)
        tune_texts(
            encoder, products, captioner, images, config.text_epochs, config.batch, seed=config.seed
        )
        encoder.save(config.out)
    return config.out


def _epoch(
    config: ClipTrainConfig,
    state: TrainState,
    products: Products,
    captioner: Captioner,
    tokenizer: CompactTokenizer,
    workers: Workers,
) -> float:
    """One pass over the training products; returns its mean loss."""
    seed = [config.seed, state.epoch]
    rng = np.random.default_rng(seed)
    own_rng = np.random.default_rng([*seed, workers.rank])
    torch_rng = torch.Generator().manual_seed(int(own_rng.integers(2**62)))
    torch.manual_seed(int(own_rng.integers(2**62)))
    device = torch.device(config.device)
    size = image_size(config, state.epoch)
    steps = len(products.train_rows) // config.batch
    category = products.catalogue.codes("article_type")
    parameters = [p for p in state.model.parameters() if p.requires_grad]
    scale: torch.Tensor = state.model.logit_scale  # type: ignore[assignment]
    state.model.train()
    losses: list[float] = []
    progress = tqdm(
        total=steps,
        desc=f"epoch {state.epoch + 1}/{config.epochs}",
        unit="batch",
        disable=not workers.leads,
    )
    for rows in batches(products.train_rows, category, config.batch, rng):
        step = state.epoch * steps + len(losses)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, step, steps)
        own = workers.share(len(rows))
        pixels = torch.from_numpy(products.pixels[rows[own]]).to(device)
        views = augment(pixels, size, torch_rng)
        captions = (captioner.titles(rows, rng), captioner.phrases(rows, rng))
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            image = normalize(state.model.encode_image(views).float(), dim=-1)  # type: ignore[operator]
            texts = [_encode(state.model, tokenizer, c.texts[own], device) for c in captions]
            naming = torch.zeros((), device=device)
            if config.prompt_weight:
                for attribute in ("article_type", "shade"):
                    names, labels = captioner.prompts(attribute, rows, rng)
                    prompts = _encode(state.model, tokenizer, names, device)
                    own_labels = torch.from_numpy(labels[own]).to(device)
                    naming = naming + prompt_loss(image, prompts, scale.exp().detach(), own_labels)
        image, *texts = workers.gather([image, *texts])
        loss = config.prompt_weight * naming / len(rows)
        for caption, text in zip(captions, texts, strict=True):
            true, maybe = (
                torch.from_numpy(m).to(device) for m in fits(caption.claims, captioner.codes[rows])
            )
            loss = loss + contrastive_loss(image, text, scale.exp(), true, maybe) / len(captions)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        workers.add_gradients(parameters, shared=scale)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        state.optimizer.step()
        with torch.no_grad():
            scale.clamp_(0, math.log(100))  # as in CLIP
        if workers.leads:
            _average(state, step, config.ema)
        losses.append(loss.item())
        progress.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}", px=size, refresh=False)
        progress.update()
    progress.close()
    workers.copy_leader(list(state.model.buffers()))  # batch-norm statistics, of own shares so far
    return float(np.mean(losses))


def _encode(
    model: torch.nn.Module, tokenizer: CompactTokenizer, texts: list[str], device: torch.device
) -> torch.Tensor:
    """Unit vectors (B, D). Texts are taken in order of length, to compute little padding."""
    tokens = tokenizer(texts)
    order = np.argsort(used_length(tokens), kind="stable")
    chunks = [torch.from_numpy(tokens[rows]).to(device) for rows in np.array_split(order, 4)]
    features = torch.cat([text_features(model, chunk) for chunk in chunks if len(chunk)])
    back = torch.from_numpy(np.argsort(order)).to(device)
    return normalize(features[back].float(), dim=-1)


def image_size(config: ClipTrainConfig, epoch: int) -> int:
    """Pixels a side of the pictures shown in an epoch, counted from 0."""
    small = epoch < config.small_share * config.epochs
    return config.small_image_size if small else config.image_size


def learning_rate(config: ClipTrainConfig, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, then a cosine to zero at the end of the last epoch."""
    warmup = max(1.0, config.warmup_epochs * steps_per_epoch)
    total = max(config.epochs * steps_per_epoch, warmup + 1)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def _start(config: ClipTrainConfig, architecture: dict[str, Any]) -> TrainState:
    torch.manual_seed(config.seed)
    model = build_model(architecture).to(config.device).to(memory_format=torch.channels_last)
    average = build_model(architecture).to(config.device).to(memory_format=torch.channels_last)
    average.load_state_dict(model.state_dict())
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]  # biases, norms, temperature
    groups = [
        {"params": decay, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), eps=1e-6)
    return TrainState(model, average, optimizer)


def _architecture(
    config: ClipTrainConfig, tokenizer: CompactTokenizer, size: int
) -> dict[str, Any]:
    return clip_config(
        tokenizer.vocab_size,
        size,
        config.model,
        config.dim,
        config.text_width,
        config.text_layers,
    )


def _encoder(
    config: ClipTrainConfig, state: TrainState, tokenizer: CompactTokenizer
) -> ClipEncoder:
    """The averaged weights, to be used at the size they were last trained at.

    The tower is not free of its size: trained at 64 pixels, it named the article type of 77% of
    photos of 64 pixels, and of 44% of the same photos at 80 (training/LOG.md).
    """
    size = image_size(config, state.epoch - 1)
    architecture = _architecture(config, tokenizer, size)
    preprocess = preprocess_config(size)
    return ClipEncoder.of(
        state.average, "hemline", architecture, preprocess, tokenizer, config.device
    )


@torch.no_grad()
def _average(state: TrainState, step: int, decay: float) -> None:
    """Exponential moving average of weights and running statistics, quicker at the start."""
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(
        state.average.state_dict().values(), state.model.state_dict().values(), strict=True
    ):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _quick_look(encoder: ClipEncoder, products: Products, limit: int = 2000) -> dict[str, float]:
    """Zero-shot accuracy and title-to-image recall@10 on the first held-out products."""
    encoder.model.eval()
    rows = products.test_rows[:limit]
    if not len(rows):
        return {}
    images = _encode_rows(encoder, products, rows)
    catalogue = products.catalogue
    codes = catalogue.codes("article_type")[rows]
    known = codes >= 0
    looks: dict[str, float] = {}
    if known.any():
        classes = class_vectors(
            encoder, [names_of(v.lower()) for v in catalogue.values("article_type")]
        )
        looks["zero_shot"] = accuracy(images[known] @ classes.T, codes[known])
    titles = encoder.encode_texts([catalogue.titles[row] for row in rows])
    same = products.product[rows][:, None] == products.product[rows][None, :]
    looks["recall_10"] = hit_rate(ranks(titles @ images.T, same), 10)
    return looks


def _encode_rows(encoder: ClipEncoder, products: Products, rows: Rows) -> Any:
    pictures = [encoder.preprocess(Image.fromarray(products.pixels[row])) for row in rows]
    return np.concatenate(
        [
            encoder.encode_pixels(torch.stack(pictures[i : i + 256]))
            for i in range(0, len(pictures), 256)
        ]
    )


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed in hardware; emulated it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    probe: Callable[[], bool] = torch.ops.mkldnn._is_mkldnn_bf16_supported
    return bool(probe())


def _settings(config: ClipTrainConfig) -> dict[str, Any]:
    """What must be equal to go on from a checkpoint; the schedule may change, to end elsewhere."""
    free = replace(
        config,
        catalog=Path(),
        extra_catalogs=(),
        out=Path(),
        epochs=0,
        small_share=0,
        text_epochs=0,
        threads=0,
        resume=False,
    )
    return json.loads(json.dumps({**asdict(free), "device": ""}, default=str))  # type: ignore[no-any-return]


def _plot(history: list[dict[str, float]], out: Path) -> None:
    from matplotlib.figure import Figure  # slow to import, and only needed here

    with (out / "loss.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[-1]))
        writer.writeheader()
        writer.writerows(history)
    epochs = [h["epoch"] for h in history]
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    left = figure.add_subplot()
    left.plot(epochs, [h["loss"] for h in history], color="black", label="loss")
    left.set(xlabel="epoch", ylabel="training loss")
    right = left.twinx()
    for name in ("zero_shot", "recall_10"):
        if name in history[-1]:
            right.plot(epochs, [h.get(name, math.nan) for h in history], label=f"held out: {name}")
    right.set(ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=3)
    figure.savefig(out / "loss.png", dpi=110)
