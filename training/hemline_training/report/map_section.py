"""Every item as a dot: where its photo and words put it, seen through PCA and t-SNE.

PCA turns the space so that most of the differences are seen, and changes no distance on the way;
t-SNE (van der Maaten & Hinton, JMLR 2008) keeps neighbours together and nothing else, so gaps and
sizes of its islands mean little.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from hemline.catalogue import Catalogue
from hemline.vectors import F32
from hemline_training.report.charts import COLOURS
from hemline_training.report.dot_map import Dot, scatter
from hemline_training.report.elements import Html, element, join, paragraph
from hemline_training.report.page import Section, absent

TITLE = "What looks alike?"
ITEMS = 3_000  # dots a map
FEWEST = 10
COMPONENTS = 50  # before t-SNE
CATEGORIES = ("sub_category", "article_type", "master_category", "gender")
OTHER = "other or unknown"

Codes = npt.NDArray[np.int64]


def item_map(catalogue: Catalogue, vectors: F32, seed: int = 0) -> Section:
    """The map of at most ITEMS items. vectors: float32 (n, d), one row an item."""
    if len(catalogue) < FEWEST:
        return absent("map", TITLE, f"A map needs {FEWEST} items; there are {len(catalogue)}.")
    rows = np.arange(len(catalogue))
    if len(rows) > ITEMS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ITEMS, replace=False))
    attribute, names, codes = categories(catalogue)
    codes, x = codes[rows], vectors[rows]
    pca = PCA(min(COMPONENTS, *x.shape), random_state=seed)
    turned = np.asarray(pca.fit_transform(x), dtype=np.float32)
    island = TSNE(
        perplexity=min(30.0, (len(rows) - 1) / 3), init="pca", random_state=seed, n_jobs=1
    ).fit_transform(turned)
    share = float(pca.explained_variance_ratio_[:2].sum())
    hit, chance = same_as_nearest(island, codes)
    titles = [
        f"{catalogue.titles[row]} ({names[code]})" for row, code in zip(rows, codes, strict=True)
    ]
    lead = (
        "Each dot is an item, placed by what the encoder sees in its photo and words alone; nobody "
        "told it the categories, which are only the colours. Dots of one colour that lie together "
        "mean that it understands that kind of item. Point at a dot to read its name; untick a "
        "category to hide it."
    )
    drawn = (
        f"{len(rows):,} of {len(catalogue):,} items, drawn at random."
        if len(rows) < len(catalogue)
        else f"All {len(rows):,} items."
    )
    panels = [
        _panel(
            "PCA",
            "The two directions in which items differ most; they hold "
            f"{share:.0%} of all differences, so much overlaps that is apart in truth.",
            turned[:, :2],
            codes,
            names,
            titles,
        ),
        _panel(
            "t-SNE",
            f"Neighbours kept together: the nearest dot is of the same category for {hit:.0%} of "
            f"the dots; by chance it would be {chance:.0%}. Distances between islands mean little.",
            island,
            codes,
            names,
            titles,
        ),
    ]
    note = paragraph(f"{drawn} Colour: {attribute.replace('_', ' ')}.", class_="note")
    return Section("map", TITLE, lead, join(note, element("div", *panels, class_="maps")))


def categories(catalogue: Catalogue) -> tuple[str, list[str], Codes]:
    """The attribute to colour by, its commonest values and OTHER, and each item's place among them.

    The attribute is the first of CATEGORIES that at least half of the items have and that differs.
    """
    attribute = next((name for name in CATEGORIES if _tells(catalogue, name)), "article_type")
    codes, values = catalogue.codes(attribute).astype(np.int64), catalogue.values(attribute)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    common = np.argsort(-counts, kind="stable")[: COLOURS - 1]
    place = np.full(len(values) + 1, len(common))  # the last is for -1, unknown
    place[common] = np.arange(len(common))
    return attribute, [*(values[code] for code in common), OTHER], place[codes]


def _tells(catalogue: Catalogue, attribute: str) -> bool:
    codes = catalogue.codes(attribute)
    return len(catalogue.values(attribute)) > 1 and float((codes >= 0).mean()) >= 0.5


def same_as_nearest(points: F32, codes: Codes) -> tuple[float, float]:
    """The share of points whose nearest other point has the same code, and that share by chance."""
    near = NearestNeighbors(n_neighbors=2, n_jobs=1).fit(points).kneighbors(return_distance=False)
    hit = float((codes[near[:, 0]] == codes).mean())
    shares = np.bincount(codes) / len(codes)
    return hit, float(np.square(shares).sum())


def _panel(
    name: str, says: str, points: F32, codes: Codes, names: list[str], titles: list[str]
) -> Html:
    dots = [
        Dot(float(x), -float(y), int(code), title)
        for (x, y), code, title in zip(points, codes, titles, strict=True)
    ]
    what = f"{name} map of {len(dots):,} items, coloured by category. {says}"
    anchor = name.replace("-", "").lower()
    return element(
        "div", element("h3", name), paragraph(says), scatter(dots, names, f"map-{anchor}", what)
    )
