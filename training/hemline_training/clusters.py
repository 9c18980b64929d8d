"""Clusters of items in CLIP space: HDBSCAN, with DBSCAN to compare.

HDBSCAN (Campello, Moulavi & Sander, "Density-Based Clustering Based on Hierarchical Density
Estimates", PAKDD 2013) finds clusters of different densities and leaves outliers alone; DBSCAN
(Ester et al., KDD 1996) knows one density for all, so that a catalogue of dense T-shirts and sparse
scarves gets one giant or many crumbs. Distances concentrate in many dimensions, so both work on the
first principal components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.neighbors import NearestNeighbors

from hemline.errors import InvalidInputError
from hemline.vectors import F32, normalise

I64 = npt.NDArray[np.int64]

OUTLIER = -1


@dataclass(frozen=True)
class Clustering:
    """labels: int64 (n,), clusters 0, 1, … by falling size, OUTLIER where an item is in none."""

    labels: I64

    @property
    def sizes(self) -> I64:
        """int64 (clusters,), falling."""
        return np.bincount(self.labels[self.labels >= 0])

    @property
    def outliers(self) -> float:
        """Share of items in no cluster."""
        return float((self.labels == OUTLIER).mean())

    def agreement(self, codes: npt.ArrayLike) -> dict[str, float]:
        """With attribute codes int (n,), -1 unknown and left out, over the clustered items.

        ami: adjusted mutual information, 0 for chance, 1 for equal. purity: share of items whose
        cluster has their attribute value as its most frequent. NaN when nothing is left.
        """
        codes = np.asarray(codes)
        both = (codes >= 0) & (self.labels >= 0)
        if not both.any():
            return {"ami": float("nan"), "purity": float("nan")}
        label, code = self.labels[both], codes[both]
        table = np.zeros((label.max() + 1, code.max() + 1), dtype=np.int64)
        np.add.at(table, (label, code), 1)
        return {
            "ami": float(adjusted_mutual_info_score(code, label)),
            "purity": float(table.max(axis=1).sum() / both.sum()),
        }


def hdbscan(vectors: F32, least: int = 25, components: int = 15, seed: int = 0) -> Clustering:
    """Clusters of at least `least` items of unit vectors float32 (n, d).

    Raises InvalidInputError for fewer than 2 * least vectors.
    """
    points = _points(vectors, least, components, seed)
    return _ordered(HDBSCAN(min_cluster_size=least, copy=True, n_jobs=1).fit_predict(points))


def dbscan(
    vectors: F32, radius: float = 0.0, least: int = 25, components: int = 15, seed: int = 0
) -> Clustering:
    """Clusters of points with `least` neighbours within `radius`.

    radius 0 is chosen by the data: the median distance to the `least`-th neighbour, near which the
    sorted distances bend (the k-distance plot of the paper). Raises as `hdbscan`.
    """
    points = _points(vectors, least, components, seed)
    if not radius:
        near = NearestNeighbors(n_neighbors=least, n_jobs=1).fit(points)
        radius = float(np.median(near.kneighbors(points)[0][:, -1]))
    return _ordered(DBSCAN(eps=radius, min_samples=least, n_jobs=1).fit_predict(points))


def _points(vectors: F32, least: int, components: int, seed: int) -> F32:
    if len(vectors) < 2 * least:
        raise InvalidInputError(
            "vectors", f"{len(vectors)} items make no two clusters of at least {least}"
        )
    unit = normalise(vectors)
    kept = min(components, unit.shape[1])
    return np.asarray(PCA(kept, random_state=seed).fit_transform(unit), dtype=np.float32)


def _ordered(labels: npt.NDArray[np.integer]) -> Clustering:
    clustered = labels[labels >= 0]
    by_size = np.argsort(-np.bincount(clustered), kind="stable") if len(clustered) else clustered
    rank = np.full(len(by_size) + 1, OUTLIER, dtype=np.int64)  # the last, OUTLIER's, stays
    rank[by_size] = np.arange(len(by_size))
    return Clustering(rank[labels])
