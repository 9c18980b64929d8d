"""A whole shop in a folder, small enough to know by heart: 6 styles x 20 items, and fake encoders.

The vectors are made so that the right answers are plain: items of one style lie together in every
space, and each style's words point at it. Serving cannot tell this release from a trained one.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from hemline.blend import PARTS, SEGMENTS
from hemline.catalogue import Item, items_table
from hemline.errors import BadImageError, UnavailableError
from hemline.images import decode_image
from hemline.releases import Release, promote, write_release
from hemline.vectors import F32, normalise

STYLES = ("dress", "jeans", "shirt", "watch", "boots", "scarf")
PER_STYLE = 20
CLIP_DIM = 32
TOWER_DIM = 16
NO_PHOTO = slice(7, None, PER_STYLE)


def item_id(style: str, number: int) -> str:
    return f"{style}-{number:02d}"


def _style_vectors() -> F32:
    rng = np.random.default_rng(7)
    basis, _ = np.linalg.qr(rng.normal(size=(CLIP_DIM, CLIP_DIM)))
    return basis[: len(STYLES)].astype(np.float32)


def _projection() -> F32:
    rng = np.random.default_rng(8)
    basis, _ = np.linalg.qr(rng.normal(size=(CLIP_DIM, TOWER_DIM)))
    return basis.astype(np.float32)


def item_contents() -> F32:
    """float32 (120, CLIP_DIM), unit norm: the style's direction and a little of its own."""
    rng = np.random.default_rng(9)
    centres = np.repeat(_style_vectors(), PER_STYLE, axis=0)
    return normalise(centres + 0.12 * rng.normal(size=centres.shape).astype(np.float32))


def item_parts() -> tuple[F32, F32]:
    """Vectors of photos and words, float32 (120, CLIP_DIM) each, whose normalised sums are
    `item_contents`. The items of NO_PHOTO have words alone."""
    content = item_contents()
    rng = np.random.default_rng(10)
    text = normalise(content + 0.1 * rng.normal(size=content.shape).astype(np.float32))
    cosine = np.einsum("nd,nd->n", content, text)[:, None]
    image = normalise(2 * cosine * content - text)
    image[NO_PHOTO], text[NO_PHOTO] = 0.0, content[NO_PHOTO]
    return image, text


def small_items() -> list[Item]:
    """Styles in order; the last two items of each style are one product in two sizes. Those of the
    numbers 9 and 10 belong to tenants, which nobody notices who calls without a key."""
    items = []
    for style in STYLES:
        for number in range(PER_STYLE):
            last_two = number >= PER_STYLE - 2
            items.append(
                Item(
                    item_id=item_id(style, number),
                    title=f"Fernhill {style} {number}",
                    gender="Women" if number % 2 else "Men",
                    article_type=style.capitalize(),
                    colour=("Red", "Blue", "Green", "Black")[number % 4],
                    price=None if number == 5 else 10.0 + number,
                    currency="EUR",
                    variant_group=f"{style}-sizes" if last_two else "",
                    in_stock=number != 0,
                    tenant={9: "acme", 10: "bolt"}.get(number),
                )
            )
    return items


def build_small_release(root: Path, apart: bool = True) -> Release:
    """Write and promote the small release below `root`. apart: with the vectors of photos and words
    beside those of both."""

    def build(folder: Path) -> dict[str, Any]:
        items, content = small_items(), item_contents()
        n = len(items)
        style = np.repeat(np.arange(len(STYLES)), PER_STYLE)
        pq.write_table(items_table(items).drop_columns(["image"]), folder / "items.parquet")
        (folder / "clip").mkdir()
        (folder / "clip" / "encoder.json").write_text("{}")
        (folder / "clip" / "model.safetensors").write_bytes(b"")
        (folder / "towers.safetensors").write_bytes(b"")
        np.save(folder / "item_content.npy", content)
        np.save(folder / "item_tower.npy", normalise(content @ _projection()))
        if apart:
            for name, part in zip(("item_image", "item_text"), item_parts(), strict=True):
                np.save(folder / f"{name}.npy", part)
        factors = np.eye(len(STYLES), dtype=np.float32)[style]
        np.save(folder / "cf_item_factors.npy", factors + 0.01)
        (folder / "cf.json").write_text(json.dumps({"alpha": 2.0, "regularisation": 1.0}))
        # The ring of each style: every item's neighbours are the next three.
        place = np.arange(n)
        ring = [style * PER_STYLE + (place % PER_STYLE + step) % PER_STYLE for step in (1, 2, 3)]
        np.save(folder / "neighbours_rows.npy", np.stack(ring, axis=1).astype(np.int32))
        np.save(folder / "neighbours_scores.npy", np.tile(np.float32([0.9, 0.6, 0.3]), (n, 1)))
        popularity = np.linspace(1.0, 0.0, n, dtype=np.float32)
        np.save(folder / "popularity.npy", np.roll(popularity, 3))
        np.save(folder / "trending.npy", popularity[::-1].copy())
        new = {"popularity": 1.0, "trending": 0.3}
        known = dict.fromkeys(PARTS, 0.2) | {"tower": 1.0, "content": 1.0, "cf": 0.5}
        blend = {
            "candidates": {"tower": 30, "content": 30, "neighbours": 20}
            | {"popularity": 30, "trending": 10},
            "segments": [
                {"name": name, "weights": new if name == "0" else known} for name, _ in SEGMENTS
            ],
        }
        (folder / "blend.json").write_text(json.dumps(blend))
        return {
            "encoder": {"name": "fake", "encoder_id": "fake-encoder", "dim": CLIP_DIM},
            "tower_dim": TOWER_DIM,
        }

    return promote(root, write_release(root, build).id)


class FakeEncoders:
    """Encoders that know the styles: a text or photo is the style it names.

    A photo names its style by its width: 10 pixels for the first, 11 for the next …
    `down` makes every call fail as an unreachable Triton does; `calls` counts them by model.
    """

    def __init__(self) -> None:
        self.down = False
        self.calls: dict[str, int] = {}

    async def user_vectors(self, profiles: F32, version: int, timeout_s: float) -> F32:
        self._called("user_tower")
        return normalise(profiles @ _projection())

    async def item_vectors(self, content: F32, version: int, timeout_s: float) -> F32:
        self._called("item_tower")
        return normalise(content @ _projection())

    async def text_vectors(self, texts: Sequence[str], version: int, timeout_s: float) -> F32:
        self._called("clip_text")
        return np.stack([_text_vector(text) for text in texts])

    async def image_vectors(self, images: Sequence[bytes], version: int, timeout_s: float) -> F32:
        self._called("clip_image")
        found = []
        for place, data in enumerate(images):
            width = decode_image(data).width - 10
            if not 0 <= width < len(STYLES):
                raise BadImageError(f"images[{place}]", "shows no style")
            found.append(_style_vectors()[width])
        return np.stack(found)

    async def close(self) -> None:
        pass

    def _called(self, model: str) -> None:
        self.calls[model] = self.calls.get(model, 0) + 1
        if self.down:
            raise UnavailableError(f"{model}: Triton does not answer")


def style_photo(style: str) -> bytes:
    """A PNG that FakeEncoders recognises."""
    out = io.BytesIO()
    Image.new("RGB", (10 + STYLES.index(style), 12), "white").save(out, "PNG")
    return out.getvalue()


def _text_vector(text: str) -> F32:
    named = [number for number, style in enumerate(STYLES) if style in text.lower()]
    if named:
        return normalise(_style_vectors()[named].sum(axis=0))
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    return normalise(np.random.default_rng(seed).normal(size=CLIP_DIM))
