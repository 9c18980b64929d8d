"""Completion of explicit ratings: r̂ = μ + b_u + b_i + p_u·q_i with L2 (Koren et al. 2009).

Fitted by alternating least squares (each user's bias and vector at once, then each item's) or by
stochastic gradient descent, a mini-batch of ratings at a time.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.recommenders.base import Feedback, Recommender


class RatingRecommender(Recommender):
    """A model that also says which rating a user would give."""

    @abstractmethod
    def rate(self, users: npt.ArrayLike, items: npt.ArrayLike) -> F32:
        """Ratings float32 (n,) of pairs, within the range of those it was fitted on."""

    def rmse(self, ratings: csr_matrix) -> float:
        """Root of the mean squared error over the ratings of a CSR (n_users, n_items)."""
        return float(np.sqrt(np.mean(np.square(self._errors(ratings)))))

    def mae(self, ratings: csr_matrix) -> float:
        """Mean absolute error over the ratings of a CSR (n_users, n_items)."""
        return float(np.mean(np.abs(self._errors(ratings))))

    def _errors(self, ratings: csr_matrix) -> npt.NDArray[np.float64]:
        pairs = ratings.tocoo()
        return np.asarray(self.rate(pairs.row, pairs.col) - pairs.data, dtype=np.float64)


@dataclass
class BiasedMf(RatingRecommender):
    """solver: "als" or "sgd". regularisation: per rating, on vectors and biases alike.

    learning_rate, batch: for SGD only. An unknown user or item has bias and vector 0.
    """

    solver: str = "als"
    factors: int = 32
    regularisation: float = 0.1
    iterations: int = 20
    learning_rate: float = 0.02
    batch: int = 256
    seed: int = 0

    def _fit(self, feedback: Feedback) -> None:
        if feedback.ratings is None or not feedback.ratings.nnz:
            raise InvalidInputError("ratings", "completion needs explicit ratings, there are none")
        ratings = feedback.ratings.astype(np.float32).tocsr()
        self.mean = float(ratings.data.mean())
        self.range = float(ratings.data.min()), float(ratings.data.max())
        residual = ratings.copy()
        residual.data = residual.data - np.float32(self.mean)
        rng = np.random.default_rng(self.seed)
        shape = (feedback.n_items, self.factors + 1)
        # The last column of both sides is the bias.
        self.items = rng.normal(0, 0.1, shape).astype(np.float32)
        self.items[:, -1] = 0.0
        self.users = np.zeros((feedback.n_users, self.factors + 1), dtype=np.float32)
        self.losses: list[float] = []
        if self.solver == "als":
            by_item = residual.T.tocsr()
            for _ in range(self.iterations):
                self.users = self._solve(residual, self.items)
                self.items = self._solve(by_item, self.users)
                self.losses.append(self._loss(ratings))
            self.users = self._solve(residual, self.items)
        elif self.solver == "sgd":
            self.users[:, :-1] = rng.normal(0, 0.1, (feedback.n_users, self.factors))
            self._descend(residual, ratings, rng)
        else:
            raise InvalidInputError("solver", f"{self.solver!r} is neither als nor sgd")

    def rate(self, users: npt.ArrayLike, items: npt.ArrayLike) -> F32:
        u, i = self.users[np.asarray(users)], self.items[np.asarray(items)]
        raw = self.mean + np.einsum("nf,nf->n", u[:, :-1], i[:, :-1]) + u[:, -1] + i[:, -1]
        return np.asarray(np.clip(raw, *self.range), dtype=np.float32)

    def score(self, users: npt.ArrayLike) -> F32:
        return self._scores(self.users[np.asarray(users)])

    def fold_in(self, newcomers: Feedback) -> F32:
        """From the newcomer's ratings; likes without a rating say nothing here."""
        if newcomers.ratings is None:
            return self._scores(np.zeros((newcomers.n_users, self.factors + 1), np.float32))
        residual = newcomers.ratings.astype(np.float32).tocsr()
        residual.data = residual.data - np.float32(self.mean)
        return self._scores(self._solve(residual, self.items))

    def _scores(self, users: F32) -> F32:
        scores = self.mean + users[:, :-1] @ self.items[:, :-1].T
        return np.asarray(scores + users[:, -1:] + self.items[:, -1], dtype=np.float32)

    def _solve(self, residual: csr_matrix, fixed: F32) -> F32:
        """Bias and vector of every row by least squares, the other side fixed; zeros without data.

        A row's regulariser is λ times its number of ratings (Zhou et al., AAIM 2008).
        """
        out = np.zeros((residual.shape[0], fixed.shape[1]), dtype=np.float32)
        eye = np.eye(fixed.shape[1])
        for row in np.flatnonzero(np.diff(residual.indptr)):
            part = slice(residual.indptr[row], residual.indptr[row + 1])
            other = fixed[residual.indices[part]].astype(np.float64)
            wanted = residual.data[part] - other[:, -1]
            other[:, -1] = 1.0
            a = other.T @ other + self.regularisation * len(other) * eye
            out[row] = np.linalg.solve(a, other.T @ wanted)
        return out

    def _loss(self, ratings: csr_matrix) -> float:
        """Mean squared error of the ratings that are learned from."""
        return float(np.square(self._errors(ratings)).mean())

    def _descend(self, residual: csr_matrix, ratings: csr_matrix, rng: np.random.Generator) -> None:
        """Mini-batches: the gradients of one batch are added up per row before the step."""
        pairs = residual.tocoo()
        rate, decay = self.learning_rate, self.learning_rate * self.regularisation
        for _ in range(self.iterations):
            order = rng.permutation(pairs.nnz)
            for start in range(0, pairs.nnz, self.batch):
                rows = order[start : start + self.batch]
                u, i = pairs.row[rows], pairs.col[rows]
                p, q = self.users[u], self.items[i]
                predicted = np.einsum("nf,nf->n", p[:, :-1], q[:, :-1]) + p[:, -1] + q[:, -1]
                error = (pairs.data[rows] - predicted)[:, None]
                ahead_p, ahead_q = error * q, error * p
                ahead_p[:, -1:] = ahead_q[:, -1:] = error
                np.add.at(self.users, u, rate * ahead_p - decay * p)
                np.add.at(self.items, i, rate * ahead_q - decay * q)
            self.losses.append(self._loss(ratings))
