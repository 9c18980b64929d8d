"""Words and attributes: TF-IDF of the texts beside one-hot attributes, searched with Annoy.

An item is its TF-IDF row (Salton & Buckley, 1988; unit norm, sublinear term frequency) beside a
one-hot of each attribute, together reduced to `dim` by a truncated SVD (latent semantic analysis,
Deerwester et al. 1990), because Annoy's trees split dense vectors. `recommend` asks the Annoy index
(Bernhardsson, github.com/spotify/annoy) for the neighbours of the user's mean vector; `score` is
the exact cosine with everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from annoy import AnnoyIndex
from scipy.sparse import csr_matrix, hstack
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder

from hemline.catalogue import ATTRIBUTES
from hemline.errors import InvalidInputError
from hemline.vectors import F32, normalise
from hemline_training.recommenders.base import I64, Feedback, Recommender

TEXTS = ("title", "description")


@dataclass
class TfidfOneHot(Recommender):
    """attribute_weight: length of the one-hot part, that of the TF-IDF part being 1. trees and
    search_nodes are Annoy's: more of them find more of the true neighbours, and cost more.
    """

    dim: int = 128
    attribute_weight: float = 1.0
    trees: int = 20
    search_nodes: int = 20_000
    seed: int = 0

    def _fit(self, feedback: Feedback) -> None:
        if feedback.items is None:
            raise InvalidInputError("items", "TF-IDF needs the items' texts and attributes")
        features = item_features(feedback.items, self.attribute_weight)
        dim = min(self.dim, *(side - 1 for side in features.shape))
        if dim >= 2:
            reduced = TruncatedSVD(dim, random_state=self.seed).fit_transform(features)
        else:
            reduced = features.toarray()
        self.vectors = normalise(reduced)
        self._index = AnnoyIndex(self.vectors.shape[1], "angular")
        self._index.set_seed(self.seed + 1)  # Annoy takes 0 for its default
        for row, vector in enumerate(self.vectors):
            self._index.add_item(row, vector)
        self._index.build(self.trees, n_jobs=1)

    def fold_in(self, newcomers: Feedback) -> F32:
        return np.asarray(self._profiles(newcomers) @ self.vectors.T, dtype=np.float32)

    def recommend(self, users: npt.ArrayLike, k: int, exclude: csr_matrix | None = None) -> I64:
        """As the base class's, from Annoy's neighbours, and from everything where those run out."""
        rows = np.asarray(users, dtype=np.int64)
        mine = self.feedback.of_users(rows)
        hidden = (mine.likes > 0).tocsr() if exclude is None else exclude.tocsr()
        if exclude is None and mine.ratings is not None:
            hidden = ((hidden + (mine.ratings != 0)) > 0).tocsr()
        profiles = self._profiles(mine)
        out = np.full((len(rows), k), -1, dtype=np.int64)
        for at, profile in enumerate(profiles):
            seen = hidden.indices[hidden.indptr[at] : hidden.indptr[at + 1]]
            near = self._index.get_nns_by_vector(profile, k + len(seen), search_k=self.search_nodes)
            fresh = np.setdiff1d(near, seen, assume_unique=True)
            left = self.feedback.n_items - len(np.unique(seen))
            if len(fresh) < min(k, left):
                fresh = np.setdiff1d(np.arange(self.feedback.n_items), seen)
            order = np.argsort(-(self.vectors[fresh] @ profile), kind="stable")[:k]
            out[at, : len(order)] = fresh[order]
        return out

    def _profiles(self, feedback: Feedback) -> F32:
        return normalise(feedback.likes.astype(np.float32) @ self.vectors)


def item_features(items: pa.Table, attribute_weight: float = 1.0) -> csr_matrix:
    """Sparse float32 (n, terms + attribute values): unit TF-IDF rows beside one-hot attributes.

    Columns the table lacks are left out, missing values are no value. Raises InvalidInputError when
    it has none of the texts and attributes, or no word or value in them.
    """
    texts = [items[name].to_pylist() for name in TEXTS if name in items.column_names]
    attributes = [items[name].to_pylist() for name in ATTRIBUTES if name in items.column_names]
    parts: list[Any] = []
    words = [" ".join(part or "" for part in row) for row in zip(*texts, strict=True)]
    if any(word.strip() for word in words):
        parts.append(TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(words))
    for values in attributes:
        known = np.array([[value or ""] for value in values], dtype=object)
        drop = [""] if "" in known else None
        encoder = OneHotEncoder(drop=drop, dtype=np.float32)
        weight = attribute_weight / np.sqrt(len(attributes))
        parts.append(weight * encoder.fit_transform(known))
    parts = [part for part in parts if part.shape[1]]
    if not parts:
        raise InvalidInputError(
            "items", f"have no word or value in {', '.join(TEXTS)} or {', '.join(ATTRIBUTES)}"
        )
    return hstack(parts, format="csr", dtype=np.float32)
