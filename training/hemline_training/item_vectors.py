"""CLIP vectors of a whole catalogue, of photos, words and both, remembered per item so that
re-training is quick."""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from hemline.catalogue import Catalogue
from hemline.catalogue_file import read_images
from hemline.errors import BadImageError
from hemline.item_text import item_text
from hemline.vectors import F32, content_vectors

Keys = npt.NDArray[np.void]

CHUNK = 2048  # items between two writes of the cache


class Encoder(Protocol):
    """What training needs of `hemline.encoders.clip.ClipEncoder`."""

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def encoder_id(self) -> str: ...
    def encode_images(self, images: Sequence[bytes]) -> F32: ...
    def encode_texts(self, texts: Sequence[str]) -> F32: ...
    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """float32 (n, dim), unit norm, each; image is 0 where there is no photo."""

    image: F32
    text: F32

    @cached_property
    def content(self) -> F32:
        """Of photo and words together."""
        return content_vectors(self.image, self.text, np.asarray(self.image.any(axis=1)))


def item_vectors(encoder: Encoder, path: Path, catalogue: Catalogue, cache: Path) -> ItemVectors:
    """The vectors of all items of the catalogue at `path`.

    An item whose image is missing or broken is described by its text alone; broken ones are counted
    in a warning. Vectors are kept in cache/parts-ENCODER_ID.npz, keyed by what was encoded (text
    and image bytes), and written every CHUNK items, so an interrupted run goes on where it stopped.
    """
    texts = [item_text(item) for item in catalogue.items()]
    images = read_images(path)
    keys = np.array(
        [_key(text, image) for text, image in zip(texts, images, strict=True)], dtype="V16"
    )
    store = cache / f"parts-{encoder.encoder_id}.npz"
    known_keys, known = _load(store, encoder.dim)
    missing = np.flatnonzero(~np.isin(keys, known_keys))
    # Identical items need encoding once.
    missing = missing[np.unique(keys[missing], return_index=True)[1]]
    missing.sort()
    broken = 0
    with tqdm(total=len(missing), desc="CLIP vectors", unit="item", leave=False) as progress:
        for start in range(0, len(missing), CHUNK):
            rows = missing[start : start + CHUNK]
            vectors, bad = _encode(encoder, [texts[r] for r in rows], [images[r] for r in rows])
            broken += bad
            known_keys = np.concatenate([known_keys, keys[rows]])
            known = np.concatenate([known, vectors])
            _save(store, known_keys, known)
            progress.update(len(rows))
    if broken:
        warnings.warn(f"{broken} image(s) could not be read; text alone is used", stacklevel=2)
    order = np.argsort(known_keys)
    parts = known[order[np.searchsorted(known_keys, keys, sorter=order)]]
    return ItemVectors(parts[:, 0], parts[:, 1])


def _encode(
    encoder: Encoder, texts: Sequence[str], images: Sequence[bytes | None]
) -> tuple[F32, int]:
    """Vectors of photos and words, float32 (n, 2, dim), and how many images were broken."""
    vectors = np.zeros((len(texts), encoder.dim), dtype=np.float32)
    has_image = np.array([image is not None for image in images], dtype=bool)
    given = [image for image in images if image is not None]
    broken = 0
    if given:
        try:
            vectors[has_image] = encoder.encode_images(given)
        except BadImageError:
            for at in np.flatnonzero(has_image).tolist():
                try:
                    vectors[at] = encoder.encode_images([images[at] or b""])[0]
                except BadImageError:
                    has_image[at] = False
                    broken += 1
    vectors[~has_image] = 0.0
    return np.stack([vectors, encoder.encode_texts(texts)], axis=1), broken


def _key(text: str, image: bytes | None) -> bytes:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    digest.update(b"\0" + (image or b""))
    return digest.digest()


def _load(store: Path, dim: int) -> tuple[Keys, F32]:
    if not store.is_file():
        return np.zeros(0, dtype="V16"), np.zeros((0, 2, dim), dtype=np.float32)
    with np.load(store, allow_pickle=False) as file:
        return file["keys"].view("V16").reshape(-1), file["vectors"]


def _save(store: Path, keys: Keys, vectors: F32) -> None:
    store.parent.mkdir(parents=True, exist_ok=True)
    staged = store.with_name(f".{store.stem}-{uuid.uuid4().hex[:8]}.npz")
    np.savez(staged, keys=keys.view(np.uint8).reshape(-1, 16), vectors=vectors)
    os.replace(staged, store)  # noqa: PTH105
