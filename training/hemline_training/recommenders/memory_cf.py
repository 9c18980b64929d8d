"""Memory-based CF: the k most similar items to each item, or users to each user, and nothing else.

    cosine    s(a, b) = x_a·x_b / (|x_a| |x_b|)^(2·power)        shrunk by n_ab / (n_ab + shrinkage)
    pearson   the cosine of rows less their means
    RP3β      the walk item -> user -> item, divided by popularity^β    Paudel et al., TiiS 2017

Similarities are made block by block and only the k best of a row are kept, so memory is the blocks'
(a whole item-item matrix of Gowalla would be 1.7 billion cells).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags_array, vstack

from hemline.vectors import F32
from hemline_training.recommenders.base import Feedback, Recommender
from hemline_training.recommenders.recency import weighed

ROWS = 1024


@dataclass
class ItemNeighbours(Recommender):
    """Σ of the similarities of an item to those of the history.

    similarity: "cosine" or "pearson". power: exponent of the norms, ½ for the cosine proper; below
    it popular items gain. to_power: that of the scored item's norm, where it is not the same: what
    is known votes with its own weight, and what is scored may still be popular. user_power: users
    count 1 / (likes)^user_power each. recency: of the history, see `recency.weighed`. hops: 2 for
    the neighbours of neighbours alone, which reach what shares nobody with the history; each step
    on divides by (an item's summed ones)^hop_power.
    """

    k: int = 100
    similarity: str = "cosine"
    shrinkage: float = 0.0
    power: float = 0.5
    user_power: float = 0.0
    recency: float = 0.0
    to_power: float | None = None
    hops: int = 1
    hop_power: float = 0.6

    def _fit(self, feedback: Feedback) -> None:
        x = _values(feedback, self.similarity)
        if self.user_power:
            x = csr_matrix(diags_array(_power(_degrees(x), -self.user_power / 2)) @ x)
        self._similar = nearest(x.T.tocsr(), self.k, self.power, self.shrinkage, self.similarity)
        if self.to_power is not None:
            norms = _power(_squares(x.T.tocsr()), self.power - self.to_power)
            self._similar = csr_matrix(diags_array(norms) @ self._similar)
        reach = np.asarray(self._similar.sum(axis=0), dtype=np.float64).ravel()
        self._step = csr_matrix(diags_array(_power(reach, -self.hop_power)) @ self._similar.T)

    def fold_in(self, newcomers: Feedback) -> F32:
        x = weighed(newcomers, self.recency)
        # Rows of `_similar` are the items to be scored, each with its own k neighbours.
        reached = x @ self._similar.T
        for _ in range(self.hops - 1):
            reached = reached @ self._step
        return np.asarray(reached.todense(), dtype=np.float32)


@dataclass
class UserNeighbours(Recommender):
    """Σ of what the k most similar users like, each weighted by similarity ** amplify.

    A newcomer is compared with everybody. item_power: items count 1 / (users)^item_power each in a
    comparison, so that sharing a rare item says more than sharing a popular one. recency: of the
    histories that are compared.
    """

    k: int = 200
    similarity: str = "cosine"
    shrinkage: float = 0.0
    power: float = 0.5
    item_power: float = 0.0
    amplify: float = 1.0
    recency: float = 0.0

    def _fit(self, feedback: Feedback) -> None:
        self._likes = (feedback.likes > 0).astype(np.float32)
        self._weight = _power(_degrees(self._likes.T), -self.item_power / 2)
        self._known = self._compared(feedback)
        self._mine = self._similar(self._known, excluded=True)

    def fold_in(self, newcomers: Feedback) -> F32:
        similar = self._similar(self._compared(newcomers), excluded=False)
        return np.asarray((similar @ self._likes).todense(), dtype=np.float32)

    def score(self, users: npt.ArrayLike) -> F32:
        """A user of the fitted feedback is not their own neighbour."""
        return np.asarray((self._mine[np.asarray(users)] @ self._likes).todense(), np.float32)

    def _compared(self, feedback: Feedback) -> csr_matrix:
        return csr_matrix(self._values(feedback) @ diags_array(self._weight))

    def _values(self, feedback: Feedback) -> csr_matrix:
        if self.recency:
            return weighed(feedback, self.recency)
        return _values(feedback, self.similarity)

    def _similar(self, rows: csr_matrix, excluded: bool) -> csr_matrix:
        found = nearest(
            self._known,
            self.k,
            self.power,
            self.shrinkage,
            self.similarity,
            rows=None if excluded else rows,
        )
        found.data **= self.amplify
        return found


@dataclass
class Rp3Beta(Recommender):
    """The three-step walk user -> item -> user -> item.

    alpha: exponent of the steps' probabilities. beta: of the popularity they are divided by.
    recency: of the history.
    """

    k: int = 200
    alpha: float = 1.0
    beta: float = 0.6
    recency: float = 0.0

    def _fit(self, feedback: Feedback) -> None:
        x = (feedback.likes > 0).astype(np.float32)
        of_user, of_item = _degrees(x), _degrees(x.T)
        to_item = diags_array(_power(of_user, -self.alpha)) @ x
        to_user = diags_array(_power(of_item, -self.alpha)) @ x.T
        arrive = csr_matrix(to_item @ diags_array(_power(of_item, -self.beta)))
        self._walk = _best_products(csr_matrix(to_user), arrive, self.k)

    def fold_in(self, newcomers: Feedback) -> F32:
        """Without recency, the first step is as likely for every item of a history."""
        x = weighed(newcomers, self.recency)
        return np.asarray((x @ self._walk).todense(), dtype=np.float32)


def nearest(
    x: csr_matrix,
    k: int,
    power: float = 0.5,
    shrinkage: float = 0.0,
    similarity: str = "cosine",
    rows: csr_matrix | None = None,
) -> csr_matrix:
    """The k rows of x most similar to each row of `rows`: CSR (rows, len(x)), positive values.

    rows: without it x itself, no row being its own neighbour.
    """
    others = x if rows is None else rows
    scaled, queries = (
        csr_matrix(diags_array(_power(_squares(m), -power)) @ m) for m in (x, others)
    )
    transposed = scaled.T.tocsr()
    if not shrinkage:
        return _best_products(queries, transposed, k, own=rows is None)
    both = (x != 0).astype(np.float32).T.tocsr()
    return _best_products(queries, transposed, k, rows is None, shrinkage, both)


def _best_products(
    left: csr_matrix,
    right: csr_matrix,
    k: int,
    own: bool = True,
    shrinkage: float = 0.0,
    both: csr_matrix | None = None,
) -> csr_matrix:
    """The k highest positive entries of each row of left @ right, without the diagonal if `own`."""
    kept = []
    for start in range(0, left.shape[0], ROWS):
        part = left[start : start + ROWS]
        product = csr_matrix(part @ right)
        if both is not None:
            shared = csr_matrix((part != 0).astype(np.float32) @ both)
            shared.data /= shared.data + shrinkage
            product = csr_matrix(product.multiply(shared))
        if own:
            owner = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
            product.data[product.indices == owner + start] = 0.0
        kept.append(_best_of_rows(product, k))
    return csr_matrix(vstack(kept))


def _best_of_rows(m: csr_matrix, k: int) -> csr_matrix:
    """m with all but the k highest positive values of each row removed; float32."""
    data, indices, indptr = [], [], [0]
    for row in range(m.shape[0]):
        part = slice(m.indptr[row], m.indptr[row + 1])
        values, columns = m.data[part], m.indices[part]
        if len(values) > k:
            best = np.argpartition(-values, k - 1)[:k]
            values, columns = values[best], columns[best]
        positive = values > 0
        data.append(values[positive])
        indices.append(columns[positive])
        indptr.append(indptr[-1] + int(positive.sum()))
    joined = np.concatenate(data).astype(np.float32), np.concatenate(indices)
    return csr_matrix((*joined, indptr), shape=m.shape)


def _values(feedback: Feedback, similarity: str) -> csr_matrix:
    """What is compared: likes, or for pearson ratings, if any, less the user's mean."""
    if similarity != "pearson" or feedback.ratings is None:
        return (feedback.likes > 0).astype(np.float32)
    ratings = feedback.ratings.astype(np.float32)
    count = np.maximum(np.diff(ratings.indptr), 1)
    mean = np.asarray(ratings.sum(axis=1)).ravel() / count
    ratings.data -= np.repeat(mean.astype(np.float32), np.diff(ratings.indptr))
    return csr_matrix(ratings)


def _degrees(x: csr_matrix) -> npt.NDArray[np.float64]:
    return np.asarray(x.sum(axis=1), dtype=np.float64).ravel()


def _squares(x: csr_matrix) -> npt.NDArray[np.float64]:
    return np.asarray(x.multiply(x).sum(axis=1), dtype=np.float64).ravel()


def _power(values: npt.NDArray[np.float64], exponent: float) -> npt.NDArray[np.float32]:
    """values ** exponent, 0 where the value is 0."""
    out = np.where(values > 0, np.power(np.maximum(values, 1e-12), exponent), 0.0)
    return out.astype(np.float32)
