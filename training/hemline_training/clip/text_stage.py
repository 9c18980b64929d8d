"""A last stage that tunes the text tower alone, for the way items are searched.

Items are ranked by `normalise(photo + text)` against the words of a shopper, so a query meets not
only photos but the texts of items, which the loss of `train.py` never compares with each other.
Here phrases are compared with the sum as well. Photos are encoded once and stay as they are.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize
from tqdm import tqdm

from hemline.encoders.clip import ClipEncoder
from hemline.encoders.clip_model import text_features
from hemline.encoders.tokenizer import used_length
from hemline_training.clip.captions import Captioner, fits
from hemline_training.clip.data import Products, batches
from hemline_training.clip.loss import contrastive_loss

Images = npt.NDArray[np.float32]


def tune_texts(
    encoder: ClipEncoder,
    products: Products,
    captioner: Captioner,
    images: Images,
    epochs: int = 2,
    batch: int = 256,
    lr: float = 3e-4,
    seed: int = 0,
) -> list[float]:
    """Trains `encoder`'s text tower in place; returns each epoch's mean loss.

    images: float32 (n, dim), unit norm, the photos' vectors by catalogue row.
    """
    tower = encoder.model.text
    assert isinstance(tower, torch.nn.Module)
    scale = encoder.model.logit_scale.exp().detach()  # type: ignore[operator]
    parameters = list(tower.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.01)
    category = products.catalogue.codes("article_type")
    steps = epochs * (len(products.train_rows) // batch)
    means, step = [], 0
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, 1_000 + epoch])
        losses: list[float] = []
        order = batches(products.train_rows, category, batch, rng)
        for rows in tqdm(order, desc=f"texts {epoch + 1}/{epochs}", total=steps // epochs):
            optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            loss = _loss(encoder, captioner, images, rows, scale, rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(loss.item())
            step += 1
        means.append(float(np.mean(losses)))
    return means


def _loss(
    encoder: ClipEncoder,
    captioner: Captioner,
    images: Images,
    rows: npt.NDArray[np.int64],
    scale: torch.Tensor,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Titles and phrases against photos, phrases against photo + title, in equal parts."""
    image = torch.from_numpy(images[rows]).to(encoder.device)
    titles, phrases = captioner.titles(rows, rng), captioner.phrases(rows, rng)
    codes = captioner.codes[rows]
    title_fits, phrase_fits = (
        [torch.from_numpy(m).to(encoder.device) for m in fits(c.claims, codes)]
        for c in (titles, phrases)
    )
    title, phrase = _encode(encoder, titles.texts), _encode(encoder, phrases.texts)
    content = normalize(image + title, dim=-1)
    return (
        contrastive_loss(image, title, scale, *title_fits)
        + contrastive_loss(image, phrase, scale, *phrase_fits)
        + contrastive_loss(content, phrase, scale, *phrase_fits)
    ) / 3


def _encode(encoder: ClipEncoder, texts: list[str]) -> torch.Tensor:
    tokens = encoder.tokenize(texts)
    order = np.argsort(used_length(tokens), kind="stable")
    chunks = [torch.from_numpy(tokens[r]).to(encoder.device) for r in np.array_split(order, 4)]
    features = torch.cat([text_features(encoder.model, chunk) for chunk in chunks if len(chunk)])
    return normalize(features[torch.from_numpy(np.argsort(order))], dim=-1)
