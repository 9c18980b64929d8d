"""Neural collaborative filtering (He et al., "Neural Collaborative Filtering", WWW 2017).

    score(u, i) = h · (p_u ∘ q_i) + MLP([p'_u ; q'_i])          (the paper's NeuMF)

trained pointwise on likes and sampled negatives, with binary cross entropy, or with squared error
(on ratings where there are some, else on 1 and 0). The first layer of the MLP is linear in each
side, so that it is computed once a user and once an item; the rest must run for every pair.

Somebody new gets a user embedding of their own: some steps of gradient descent on their history
with everything else fixed, from the mean user embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.recommenders.base import I64, Feedback, Recommender
from hemline_training.recommenders.pairs import Pairs


class NeuMF(nn.Module):
    """users: (b, 2 d), items: (b, 2 d), of which half goes into the product, half into the MLP."""

    def __init__(self, n_users: int, n_items: int, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dim = dim
        self.users = nn.Embedding(n_users, 2 * dim)
        self.items = nn.Embedding(n_items, 2 * dim)
        self.item_bias = nn.Embedding(n_items, 1)
        self.bias = nn.Parameter(torch.zeros(1))
        self.product = nn.Linear(dim, 1, bias=False)
        self.of_user = nn.Linear(dim, hidden)
        self.of_item = nn.Linear(dim, hidden, bias=False)
        self.rest = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Linear(hidden // 2, 1),
        )
        nn.init.normal_(self.users.weight, std=0.1)
        nn.init.normal_(self.items.weight, std=0.1)
        nn.init.zeros_(self.item_bias.weight)
        nn.init.ones_(self.product.weight)

    def pairs(self, users: Tensor, items: Tensor, bias: Tensor) -> Tensor:
        """users (b, 2 d) and items (…, b, 2 d) as vectors, bias (…, b, 1) -> (…, b) scores."""
        d = self.dim
        product = self.product(users[..., :d] * items[..., :d])
        hidden = torch.relu(self.of_user(users[..., d:]) + self.of_item(items[..., d:]))
        scores: Tensor = product + self.rest(hidden) + bias + self.bias
        return scores.squeeze(-1)

    def forward(self, user_rows: Tensor, item_rows: Tensor) -> Tensor:
        """int64 (b,) and (b,) -> float32 (b,)."""
        return self.pairs(self.users(user_rows), self.items(item_rows), self.item_bias(item_rows))

    def matrix(self, users: Tensor) -> Tensor:
        """Every item for each user vector: (b, 2 d) -> (b, n_items)."""
        d = self.dim
        items = self.items.weight
        product = (users[:, :d] * self.product.weight) @ items[:, :d].T
        of_items = self.of_item(items[:, d:])
        rows = [
            self.rest(torch.relu(of_user + of_items)).squeeze(-1)
            for of_user in self.of_user(users[:, d:])
        ]
        return product + torch.stack(rows) + self.item_bias.weight.T + self.bias


@dataclass
class NeuralCF(Recommender):
    """loss: "bce" or "mse". negatives: drawn for each like. With ratings and "mse" they are what is
    learnt, with no negatives: a rated but disliked item is worth more than a guess.
    """

    loss: str = "bce"
    dim: int = 32
    hidden: int = 64
    dropout: float = 0.1
    epochs: int = 6  # more overfit (training/LOG.md)
    batch_size: int = 1024
    negatives: int = 4
    learning_rate: float = 3e-3
    weight_decay: float = 1e-5
    fold_in_steps: int = 60
    seed: int = 0

    def _fit(self, feedback: Feedback) -> None:
        if self.loss not in ("bce", "mse"):
            raise InvalidInputError("loss", f"is {self.loss!r}; there are 'bce' and 'mse'")
        self._explicit = self.loss == "mse" and feedback.ratings is not None
        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        pairs = Pairs.of(self._matrix(feedback))
        self._net = NeuMF(feedback.n_users, feedback.n_items, self.dim, self.hidden, self.dropout)
        if self._explicit:
            nn.init.constant_(self._net.bias, float(pairs.values.mean()))
        optimiser = torch.optim.Adam(
            self._net.parameters(), self.learning_rate, weight_decay=self.weight_decay
        )
        self.losses: list[float] = []
        progress = tqdm(
            range(self.epochs), desc="neural CF", unit="epoch", leave=False, disable=None
        )
        for _ in progress:
            total = 0.0
            for batch in pairs.batches(self.batch_size, rng):
                users, items, wanted = self._examples(pairs, batch, rng)
                loss = self._loss(self._net(users, items), wanted)
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimiser.step()
                total += loss.item() * len(batch)
            self.losses.append(total / len(pairs))
            progress.set_postfix(loss=f"{self.losses[-1]:.4f}")
        self._net.eval()

    def score(self, users: Any) -> F32:
        rows = torch.from_numpy(np.asarray(users, dtype=np.int64))
        with torch.inference_mode():
            return np.asarray(self._net.matrix(self._net.users(rows)).numpy())

    def fold_in(self, newcomers: Feedback) -> F32:
        """Embeddings fitted to each history against uniform negatives, then scored as usual."""
        start = self._net.users.weight.detach().mean(dim=0)
        vectors = start.repeat(newcomers.n_users, 1).requires_grad_()
        matrix = self._matrix(newcomers)
        if matrix.nnz:
            pairs = Pairs.of(matrix)
            rng = np.random.default_rng(self.seed)
            optimiser = torch.optim.Adam([vectors], lr=0.05)
            for _ in range(self.fold_in_steps):
                users, items, wanted = self._examples(pairs, np.arange(len(pairs)), rng)
                known = self._net.items(items).detach(), self._net.item_bias(items).detach()
                near = (vectors - start).pow(2).sum(dim=1).mean()
                loss = self._loss(self._net.pairs(vectors[users], *known), wanted) + 1e-3 * near
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss, inputs=[vectors])
                optimiser.step()
        with torch.inference_mode():
            return np.asarray(self._net.matrix(vectors.detach()).numpy())

    def _matrix(self, feedback: Feedback) -> Any:
        explicit = self._explicit and feedback.ratings is not None
        return feedback.ratings if explicit else feedback.likes

    def _examples(
        self, pairs: Pairs, batch: I64, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """User rows, item rows and targets of a batch: ratings, or likes with their negatives."""
        users, items = pairs.users[batch], pairs.items[batch]
        if self._explicit:
            wanted = pairs.values[batch]
        else:
            wrong = pairs.negatives(users, self.negatives, rng).ravel()
            wanted = np.concatenate(
                [np.ones(len(users), np.float32), np.zeros(len(wrong), np.float32)]
            )
            users = np.concatenate([users, np.repeat(users, self.negatives)])
            items = np.concatenate([items, wrong])
        return torch.from_numpy(users), torch.from_numpy(items), torch.from_numpy(wanted)

    def _loss(self, out: Tensor, wanted: Tensor) -> Tensor:
        if self.loss == "mse":
            return F.mse_loss(out, wanted)
        return F.binary_cross_entropy_with_logits(out, wanted)
