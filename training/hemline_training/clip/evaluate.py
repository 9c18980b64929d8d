"""How good a CLIP encoder is on the tenth of the products that training never saw.

    python -m hemline_training.clip.evaluate --model hemline --catalog .hemline/catalogue \
        --photos ../shared/data/fashion_products/images_224.parquet --json clip.json

Every figure stands beside what chance and a simple baseline reach on the same products.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer
from tqdm import tqdm

from hemline.catalogue import Catalogue, Item
from hemline.catalogue_file import read_images
from hemline.encoders.clip import ClipEncoder, load_clip
from hemline.images import decode_image
from hemline.item_text import item_text
from hemline.vectors import F32, content_vectors, normalise
from hemline_training.clip.captions import names_of
from hemline_training.clip.data import Rows, digests, held_out, same_product
from hemline_training.clip.metrics import (
    accuracy,
    hit_rate,
    precision_at,
    random_hit_rate,
    ranks,
)

MIN_PHRASE_ANSWERS = 10  # of the held-out products, for a phrase to be asked


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was asked, of how many, and what each method reached."""

    name: str
    meaning: str
    queries: int
    candidates: int
    values: dict[str, float]


@dataclass(frozen=True)
class ClipEvaluation:
    encoder_id: str
    figures: tuple[Figure, ...]

    def to_json(self) -> str:
        figures = {f.name: {k: v for k, v in vars(f).items() if k != "name"} for f in self.figures}
        return json.dumps({"encoder_id": self.encoder_id, "figures": figures}, indent=2) + "\n"

    def table(self) -> str:
        """Markdown, also readable as it is."""
        lines = [
            "| measure | asked | among | Hemline CLIP | baselines |",
            "|---|--:|--:|--:|---|",
        ]
        for figure in self.figures:
            clip, *rest = (f"{name} {value:.3f}" for name, value in figure.values.items())
            row = (figure.name, f"{figure.queries:,}", f"{figure.candidates:,}", clip)
            lines.append(f"| {' | '.join(row)} | {', '.join(rest)} |")
        return "\n".join(lines)


@dataclass(frozen=True)
class _HeldOut:
    """The held-out products with a photo, their vectors, and which of them are one product."""

    items: list[Item]
    photos: list[bytes]
    photo_group: Rows  # equal for byte-identical photos
    product: Rows  # equal for one photo or one title
    image: F32
    text: F32


def evaluate_clip(
    encoder: ClipEncoder, catalog: Path, photos: Path | None = None
) -> ClipEvaluation:
    """Measure `encoder` on the held-out tenth of the catalogue (folder with items.parquet).

    `photos`: a parquet file (product_id, jpeg) with other photos of the same products, for the
    search by photo. Figures that the catalogue has no data for are left out.
    """
    held = _load(encoder, catalog)
    figures = [
        _article_types(encoder, held),
        _title_to_photo(encoder, held),
        _photo_to_product(encoder, held, photos) if photos else None,
        _phrases(encoder, held),
    ]
    return ClipEvaluation(encoder.encoder_id, tuple(f for f in figures if f is not None))


def _load(encoder: ClipEncoder, catalog: Path) -> _HeldOut:
    catalogue = Catalogue.load(catalog)
    images = read_images(catalog)
    photo = digests(images)
    chosen = held_out(catalogue.item_ids, photo)
    rows = [row for row, data in enumerate(images) if data and chosen[row]]
    items = [catalogue.item(row) for row in rows]
    data = [image for image in (images[row] for row in rows) if image]
    _, group = np.unique([str(photo[row]) for row in rows], return_inverse=True)
    vectors = [
        encoder.encode_images(data[i : i + 256])
        for i in tqdm(range(0, len(data), 256), desc="held-out photos", unit="batch")
    ]
    return _HeldOut(
        items,
        data,
        np.asarray(group, np.int64),
        same_product(photo, catalogue.titles)[rows].astype(np.int64),
        np.concatenate(vectors) if vectors else np.empty((0, encoder.dim), np.float32),
        encoder.encode_texts([item_text(item) for item in items]),
    )


def _article_types(encoder: ClipEncoder, held: _HeldOut) -> Figure | None:
    labelled = [i for i, item in enumerate(held.items) if item.article_type]
    types = [str(held.items[i].article_type) for i in labelled]
    if not types:
        return None
    classes, labels, counts = np.unique(types, return_inverse=True, return_counts=True)
    prompts = class_vectors(encoder, [names_of(str(name).lower()) for name in classes])
    return Figure(
        "zero-shot article type",
        f"accuracy over {len(classes)} article types, from the photo alone",
        len(labelled),
        len(classes),
        {
            "accuracy": accuracy(held.image[labelled] @ prompts.T, labels),
            "majority": float(counts.max() / counts.sum()),
            "random": 1 / len(classes),
        },
    )


def _title_to_photo(encoder: ClipEncoder, held: _HeldOut) -> Figure | None:
    if not held.items:
        return None
    titles = [item.title for item in held.items]
    relevant = held.product[:, None] == held.product[None, :]
    clip = encoder.encode_texts(titles) @ held.image.T
    words = tfidf_scores(titles, [attribute_text(item) for item in held.items])
    return Figure(
        "title to photo, recall@10",
        "the product's own photo is among the ten nearest to its title",
        len(titles),
        len(titles),
        {
            "recall@10": hit_rate(ranks(clip, relevant), 10),
            "TF-IDF on attributes": hit_rate(ranks(words, relevant), 10),
            "random": random_hit_rate(relevant, 10),
        },
    )


def _photo_to_product(encoder: ClipEncoder, held: _HeldOut, photos: Path) -> Figure | None:
    table = pq.read_table(photos, columns=["product_id", "jpeg"])
    row_of = {item.item_id: row for row, item in enumerate(held.items)}
    found = [
        (row_of[str(product)], jpeg.as_py())
        for product, jpeg in zip(table["product_id"].to_pylist(), table["jpeg"], strict=True)
        if str(product) in row_of
    ]
    if not found:
        return None
    rows, queries = [row for row, _ in found], [data for _, data in found]
    relevant = held.photo_group[rows][:, None] == held.photo_group[None, :]
    clip = encoder.encode_images(queries) @ held.image.T
    pixels = thumbnails(queries) @ thumbnails(held.photos).T
    return Figure(
        "larger photo to product, hit@1",
        "a 224-pixel copy of the photo finds its product among the small photos: a test of "
        "robustness to size and cropping, not of recognising a garment in another picture",
        len(queries),
        len(held.items),
        {
            "hit@1": hit_rate(ranks(clip, relevant), 1),
            "16x16 pixels": hit_rate(ranks(pixels, relevant), 1),
            "random": random_hit_rate(relevant, 1),
        },
    )


def _phrases(encoder: ClipEncoder, held: _HeldOut) -> Figure | None:
    """Searches as shoppers type them, answered by photo + text as items are ranked in serving."""
    parts = [(item.gender, item.colour, item.article_type) for item in held.items]
    whole = [tuple(str(v).lower() for v in p) if all(p) else None for p in parts]
    counts: dict[tuple[str, ...], int] = {}
    for key in whole:
        if key is not None:
            counts[key] = counts.get(key, 0) + 1
    asked = sorted(key for key, count in counts.items() if count >= MIN_PHRASE_ANSWERS)
    if not asked:
        return None
    relevant = np.array([[key == other for other in whole] for key in asked])
    texts = [" ".join(key) for key in asked]
    query = encoder.encode_texts(texts)
    both = content_vectors(held.image, held.text)
    titles = tfidf_scores(texts, [item.title for item in held.items])
    return Figure(
        "phrase to products, precision@10",
        'of the ten nearest to "women black heels", the share that are just that',
        len(asked),
        len(held.items),
        {
            "photo+text": precision_at(query @ both.T, relevant, 10),
            "photo alone": precision_at(query @ held.image.T, relevant, 10),
            "TF-IDF on titles": precision_at(titles, relevant, 10),
            "random": float(relevant.mean()),
        },
    )


def class_vectors(encoder: ClipEncoder, names: Sequence[Sequence[str]]) -> F32:
    """float32 (classes, dim): the mean over each class's names, unit norm."""
    owner = np.repeat(np.arange(len(names)), [len(group) for group in names])
    sums = np.zeros((len(names), encoder.dim), np.float32)
    np.add.at(sums, owner, encoder.encode_texts([name for group in names for name in group]))
    return normalise(sums)


def tfidf_scores(queries: Sequence[str], documents: Sequence[str]) -> F32:
    """float32 (queries, documents): cosines of TF-IDF vectors fitted on the documents."""
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    matrix = vectorizer.fit_transform(documents)
    scores: Any = vectorizer.transform(queries) @ matrix.T
    return np.asarray(scores.toarray(), np.float32)


def attribute_text(item: Item) -> str:
    """What a text search has without the title (the brand was read off the title, so it is out)."""
    values = (item.gender, item.colour, item.article_type, item.sub_category, item.usage)
    return " ".join(value for value in values if value)


def thumbnails(images: Sequence[bytes]) -> F32:
    """float32 (n, 768): 16x16 RGB thumbnails, centred and unit norm."""
    rows = [np.asarray(decode_image(data).resize((16, 16)), np.float32).ravel() for data in images]
    return normalise([row - row.mean() for row in rows])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="hemline", help="see hemline.encoders.clip.load_clip")
    parser.add_argument("--catalog", type=Path, required=True, help="folder with items.parquet")
    parser.add_argument("--photos", type=Path, help="parquet (product_id, jpeg) of larger photos")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args(arguments)
    result = evaluate_clip(load_clip(given.model), given.catalog, given.photos)
    if given.json:
        given.json.write_text(result.to_json(), encoding="utf-8")
    sys.stdout.write(result.table() + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
