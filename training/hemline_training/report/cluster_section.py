"""Groups that nobody named: clusters of items, how large they are and what they mostly hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hemline.catalogue import Catalogue
from hemline.vectors import F32
from hemline_training.clusters import OUTLIER, Clustering, hdbscan
from hemline_training.report.charts import Bar, bars
from hemline_training.report.elements import Html, element, join, paragraph
from hemline_training.report.map_section import categories
from hemline_training.report.page import Section, absent

TITLE = "Which groups does it find by itself?"
ITEMS = 8_000
DRAWN = 20
LEAST = 25  # items of a cluster; fewer in a small catalogue
PHOTOS = 8

Shelf = Callable[[Sequence[int]], Html]


def clusters(catalogue: Catalogue, vectors: F32, shelf: Shelf, seed: int = 0) -> Section:
    """HDBSCAN over at most ITEMS items. shelf: draws catalogue rows as photos."""
    least = max(min(LEAST, len(catalogue) // 40), 5)
    if len(catalogue) < 2 * least:
        return absent(
            "clusters", TITLE, f"Clusters need {2 * least} items; there are {len(catalogue)}."
        )
    rows = np.arange(len(catalogue))
    if len(rows) > ITEMS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ITEMS, replace=False))
    found = hdbscan(vectors[rows], least=least, seed=seed)
    if not len(found.sizes):
        return absent("clusters", TITLE, "HDBSCAN found no group of items denser than the rest.")
    attribute, _, _ = categories(catalogue)
    kind = catalogue.codes(attribute)[rows]
    agreement = found.agreement(kind)
    lead = (
        "The items were grouped by how alike their photos and words are (HDBSCAN), without being "
        "told any category. A bar is a group: its length is how many items are in it, its name "
        "what most of them are. Items that are like no others stay outside."
    )
    about = (
        f"{len(found.sizes)} groups among {len(rows):,} items, at least {least} each; "
        f"{found.outliers:.0%} are in none. {agreement['purity']:.0%} of the grouped items are of "
        f"their group's commonest {attribute.replace('_', ' ')} (adjusted mutual information "
        f"{agreement['ami']:.2f}; 0 is chance, 1 is equal)."
    )
    labels = [
        _label(catalogue, attribute, kind, found, number) for number in range(len(found.sizes))
    ]
    drawn = [
        Bar(label, float(size), f"{size:,} ({share:.0%})")
        for (label, share), size in zip(labels[:DRAWN], found.sizes[:DRAWN].tolist(), strict=True)
    ]
    outside = int((found.labels == OUTLIER).sum())
    drawn.append(Bar("in no group", float(outside), f"{outside:,}"))
    parts = [
        paragraph(about),
        paragraph(
            f"In brackets: the share that is of the named {attribute.replace('_', ' ')}.",
            class_="note",
        ),
        bars(drawn, what="Items of each group"),
    ]
    if len(found.sizes) > DRAWN:
        rest = int(found.sizes[DRAWN:].sum())
        parts.append(
            paragraph(
                f"{len(found.sizes) - DRAWN} smaller groups of {rest:,} items are not drawn.",
                class_="note",
            )
        )
    parts.append(element("h3", "From the middle of the largest groups"))
    parts += [
        element(
            "div",
            element("h4", labels[number][0]),
            shelf(rows[_middle(vectors[rows], found, number)].tolist()),
            class_="row",
        )
        for number in range(min(6, len(found.sizes)))
    ]
    return Section("clusters", TITLE, lead, join(*parts))


def _label(
    catalogue: Catalogue, attribute: str, kind: np.ndarray, found: Clustering, number: int
) -> tuple[str, float]:
    """The commonest value of the attribute in a cluster, and its share."""
    mine = kind[found.labels == number]
    known = mine[mine >= 0]
    if not len(known):
        return f"group {number + 1}", 0.0
    counts = np.bincount(known)
    best = int(counts.argmax())
    return f"{number + 1}. {catalogue.values(attribute)[best]}", float(counts[best] / len(mine))


def _middle(vectors: F32, found: Clustering, number: int) -> np.ndarray:
    """The items nearest to the cluster's mean."""
    mine = np.flatnonzero(found.labels == number)
    near = vectors[mine] @ vectors[mine].mean(axis=0)
    return mine[np.argsort(-near, kind="stable")[:PHOTOS]]
