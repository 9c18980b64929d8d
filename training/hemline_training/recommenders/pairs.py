"""What recommenders trained by gradient share: (user, item) pairs, negatives, batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.recommenders.base import I64


@dataclass(frozen=True)
class Pairs:
    """The entries above 0 of a matrix of likes or ratings, row by row.

    users, items: int64 (p,); values: float32 (p,); likes: the matrix as 0 and 1, CSR.
    """

    users: I64
    items: I64
    values: F32
    likes: csr_matrix

    @classmethod
    def of(cls, matrix: csr_matrix) -> Pairs:
        """Raises InvalidInputError when nobody likes anything: there is nothing to learn."""
        coo = matrix.tocoo()
        positive = coo.data > 0
        users, items = coo.row[positive], coo.col[positive]
        if not len(users):
            raise InvalidInputError("likes", "holds no pair above 0; a model needs some to learn")
        ones = np.ones(len(users), np.float32)
        return cls(
            users.astype(np.int64),
            items.astype(np.int64),
            coo.data[positive].astype(np.float32),
            csr_matrix((ones, (users, items)), shape=matrix.shape),
        )

    def __len__(self) -> int:
        return len(self.users)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[I64]:
        """One epoch: every pair's index once, shuffled, in about equal batches of at most size."""
        steps = -(-len(self) // size)
        yield from np.array_split(rng.permutation(len(self)), steps)

    def negatives(self, users: I64, each: int, rng: np.random.Generator, tries: int = 4) -> I64:
        """int64 (len(users), each): items drawn uniformly, drawn again while the user likes them.

        After so many tries a liked item may remain: of somebody who likes nearly everything.
        """
        n_items = self.likes.shape[1]
        drawn = rng.integers(0, n_items, (len(users), each))
        for _ in range(tries):
            owner = np.repeat(users, each)
            liked = np.asarray(self.likes[owner, drawn.ravel()]).ravel() > 0
            if not liked.any():
                break
            drawn.ravel()[liked] = rng.integers(0, n_items, int(liked.sum()))
        return np.asarray(drawn, dtype=np.int64)
