"""Training data: photos decoded once, a held-out tenth, batches with hard negatives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from open_clip.transform import image_transform_v2
from torch.nn.functional import affine_grid, grid_sample
from torchvision.transforms import Compose
from tqdm import tqdm

from hemline.catalogue import Catalogue, items_table
from hemline.catalogue_file import read_images
from hemline.errors import CatalogueError
from hemline.images import decode_image
from hemline_training.clip.model import preprocess_config

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Products:
    """A catalogue with its photos.

    rows      int64 (m,): catalogue rows that have a photo
    pixels    uint8 (n, S, S, 3), RGB on white; only `rows` are filled; perhaps a memory map
    product   int32 (n,): equal for items that share their photo's bytes or their title
    held_out  bool (n,): the tenth of the products that training never sees
    """

    catalogue: Catalogue
    rows: Rows
    pixels: npt.NDArray[np.uint8]
    product: npt.NDArray[np.int32]
    held_out: npt.NDArray[np.bool_]

    @property
    def train_rows(self) -> Rows:
        return self.rows[~self.held_out[self.rows]]

    @property
    def test_rows(self) -> Rows:
        return self.rows[self.held_out[self.rows]]


def load_products(catalogs: Sequence[Path], image_size: int, cache: Path) -> Products:
    """Read folders with items.parquet as one; decode their photos, or take them from `cache`.

    Raises CatalogueError if no item has a photo.
    """
    items = [item for catalog in catalogs for item in Catalogue.load(catalog).items()]
    catalogue = Catalogue.from_table(items_table(items))
    images = [data for catalog in catalogs for data in read_images(catalog)]
    rows = np.array([row for row, data in enumerate(images) if data], np.int64)
    if not len(rows):
        raise CatalogueError(f"no item of {', '.join(map(str, catalogs))} has a photo")
    photo = digests(images)
    return Products(
        catalogue,
        rows,
        _decoded(images, photo, image_size, cache),
        same_product(photo, catalogue.titles),
        held_out(catalogue.item_ids, photo),
    )


def digests(images: Sequence[bytes | None]) -> list[str | None]:
    """SHA-256 of each photo's bytes, None where there is none."""
    return [hashlib.sha256(data).hexdigest() if data else None for data in images]


def held_out(
    item_ids: Sequence[str], photo: Sequence[str | None], share: float = 0.1
) -> npt.NDArray[np.bool_]:
    """bool (n,): about `share` of the items, chosen by a hash of the id.

    Items with byte-identical photos go by the smallest of their ids, so they stay on one side.
    """
    first: dict[str, str] = {}
    for item_id, digest in zip(item_ids, photo, strict=True):
        if digest is not None:
            first[digest] = min(item_id, first.get(digest, item_id))
    keys = [first[d] if d is not None else i for i, d in zip(item_ids, photo, strict=True)]
    hashes = [int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32 for key in keys]
    return np.array(hashes) < share


def same_product(photo: Sequence[str | None], titles: Sequence[str]) -> npt.NDArray[np.int32]:
    """int32 (n,) group numbers: items of one photo or one title are not each other's negatives."""
    parent = list(range(len(titles)))

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    seen: dict[str, int] = {}
    for row, (digest, title) in enumerate(zip(photo, titles, strict=True)):
        for key in ([f"photo {digest}"] if digest else []) + [f"title {title.lower()}"]:
            parent[find(row)] = find(seen.setdefault(key, row))
    return np.array([find(row) for row in range(len(titles))], np.int32)


def batches(
    rows: Rows, category: npt.NDArray[np.int32], batch: int, rng: np.random.Generator, run: int = 16
) -> Iterator[Rows]:
    """One epoch: every row once (less a last part batch), in batches of `batch` rows.

    Half of each batch is drawn at random; the other half is made of runs of `run` rows of one
    category, the hard negatives.
    """
    shuffled = rng.permutation(rows)
    mixed, grouped = np.array_split(shuffled, 2)
    grouped = grouped[np.argsort(category[grouped], kind="stable")]
    runs = [grouped[i : i + run] for i in range(0, len(grouped), run)]
    rng.shuffle(runs)
    grouped = np.concatenate(runs) if runs else grouped
    half = batch // 2
    for step in range(len(rows) // batch):
        easy = mixed[step * (batch - half) : (step + 1) * (batch - half)]
        yield np.concatenate([easy, grouped[step * half : (step + 1) * half]])


def augment(
    pixels: torch.Tensor, size: int, rng: torch.Generator, zoom: tuple[float, float] = (0.75, 1.2)
) -> torch.Tensor:
    """uint8 (B, S, S, 3) to float32 (B, 3, size, size) in -1..1, channels last in memory.

    Mirrored half of the time, zoomed, stretched and shifted a little on white. Colours are left
    alone: a colour's name is half of what shoppers search by.
    """
    count = len(pixels)
    ink = 1 - pixels.permute(0, 3, 1, 2).float() / 255  # white is 0, which is what padding adds

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(count, generator=rng).to(pixels.device) * (high - low) + low

    scale = 1 / uniform(*zoom)
    stretch = uniform(-0.1, 0.1).exp()
    mirror = uniform(-1, 1).sign()
    theta = torch.zeros(count, 2, 3, device=pixels.device)
    theta[:, 0, 0] = scale * stretch * mirror
    theta[:, 1, 1] = scale / stretch
    theta[:, 0, 2] = uniform(-0.12, 0.12)
    theta[:, 1, 2] = uniform(-0.12, 0.12)
    grid = affine_grid(theta, [count, 3, size, size], align_corners=False)
    moved = grid_sample(ink, grid, padding_mode="zeros", align_corners=False)
    return (1 - 2 * moved).contiguous(memory_format=torch.channels_last)


def _decoded(
    images: Sequence[bytes | None], photo: Sequence[str | None], image_size: int, cache: Path
) -> npt.NDArray[np.uint8]:
    """uint8 (n, S, S, 3), kept in `cache` under a name that changes with the photos."""
    key = hashlib.sha256("\n".join(str(p) for p in photo).encode()).hexdigest()[:12]
    path = cache / f"pixels_{image_size}_{key}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        transform = image_transform_v2(preprocess_config(image_size), is_train=False)
        geometry = Compose(transform.transforms[:-2])  # without ToTensor and Normalize
        pixels = np.zeros((len(images), image_size, image_size, 3), np.uint8)
        for row, data in enumerate(tqdm(images, desc="decode photos", unit="img")):
            if data:
                image = decode_image(data, at_least=2 * image_size)
                pixels[row] = np.asarray(geometry(image))
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, pixels, allow_pickle=False)
        part.replace(path)
    loaded: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return loaded
