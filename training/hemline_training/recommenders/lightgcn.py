"""LightGCN (He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for
Recommendation", SIGIR 2020).

    E(k+1) = D^-1/2 A D^-1/2 E(k),    E = mean of E(0) … E(K),    score(u, i) = E_u · E_i

trained with BPR on sampled negatives, L2 on the E(0) of the batch alone. Nothing but E(0) is
learnt. Every step propagates the whole graph forward and back, so a step costs about the same for a
batch of 2,048 as for one of 32,768: on a CPU large batches and a larger learning rate are the way.

Somebody new has no E(0): their layers are sums of their items' layers one below, as in the formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import bmat, csr_matrix, diags
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.recommenders.base import Feedback, Recommender
from hemline_training.recommenders.pairs import Pairs


@dataclass
class LightGCN(Recommender):
    """dim, layers: of the embeddings; l2: the paper's λ; loss: "bpr", or "softmax" over the batch's
    items with the temperature (sampled softmax learns in far fewer epochs).

    each_epoch: told epoch and mean loss; training stops when it returns True.
    """

    dim: int = 64
    layers: int = 3
    epochs: int = 60
    batch_size: int = 8192
    learning_rate: float = 5e-3
    l2: float = 1e-4
    loss: str = "bpr"
    temperature: float = 0.2
    seed: int = 0
    each_epoch: Callable[[int, float], bool] | None = None

    def _fit(self, feedback: Feedback) -> None:
        if self.loss not in ("bpr", "softmax"):
            raise InvalidInputError("loss", f"is {self.loss!r}; there are 'bpr' and 'softmax'")
        pairs = Pairs.of(feedback.likes)
        graph = normalised_graph(pairs.likes)
        rng = np.random.default_rng(self.seed)
        start = 0.1 * rng.standard_normal((sum(pairs.likes.shape), self.dim), dtype=np.float32)
        base = torch.from_numpy(start).requires_grad_()
        optimiser = torch.optim.Adam([base], lr=self.learning_rate)
        progress = tqdm(
            range(1, self.epochs + 1), desc="LightGCN", unit="epoch", leave=False, disable=None
        )
        self.losses: list[float] = []
        for epoch in progress:
            total = 0.0
            for batch in pairs.batches(self.batch_size, rng):
                loss = self._loss(graph, base, pairs, batch, rng)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                total += loss.item() * len(batch)
            self.losses.append(total / len(pairs))
            progress.set_postfix(loss=f"{self.losses[-1]:.4f}")
            self._keep(graph, base.detach(), feedback)
            if self.each_epoch is not None and self.each_epoch(epoch, self.losses[-1]):
                break

    def score(self, users: Any) -> F32:
        rows = np.asarray(users, dtype=np.int64)
        return np.asarray(self.user_vectors[rows] @ self.item_vectors.T)

    def fold_in(self, newcomers: Feedback) -> F32:
        """Layer k of a newcomer is Σ E_i(k-1) / √(d_u d_i) over their items i; layer 0 is zero."""
        likes = (newcomers.likes > 0).astype(np.float32)
        own = np.maximum(np.asarray(likes.sum(axis=1)).ravel(), 1.0)
        reach = diags(own**-0.5) @ likes @ diags(self._item_degree**-0.5)
        return np.asarray(reach @ self._lower_layers @ self.item_vectors.T, dtype=np.float32)

    def _keep(self, graph: csr_matrix, base: Tensor, feedback: Feedback) -> None:
        """The vectors that `score` and `fold_in` need."""
        with torch.no_grad():
            layers = propagate(graph, base, self.layers)
        mean = torch.stack(layers).mean(dim=0).numpy()
        n = feedback.n_users
        self.user_vectors, self.item_vectors = mean[:n], mean[n:]
        degree = np.bincount((feedback.likes > 0).indices, minlength=feedback.n_items)
        self._item_degree = np.maximum(degree, 1).astype(np.float32)
        below = torch.stack(layers[:-1]).sum(dim=0) / (self.layers + 1)
        self._lower_layers = below[n:].numpy()

    def _loss(
        self, graph: csr_matrix, base: Tensor, pairs: Pairs, batch: Any, rng: np.random.Generator
    ) -> Tensor:
        n = pairs.likes.shape[0]
        users = torch.from_numpy(pairs.users[batch])
        items = torch.from_numpy(pairs.items[batch] + n)
        vectors = torch.stack(propagate(graph, base, self.layers)).mean(dim=0)
        if self.loss == "softmax":
            return in_batch_softmax(vectors[users], vectors[items], items, self.temperature)
        wrong = torch.from_numpy(pairs.negatives(pairs.users[batch], 1, rng)[:, 0] + n)
        better = (vectors[users] * (vectors[items] - vectors[wrong])).sum(dim=1)
        squares = sum(base[rows].pow(2).sum() for rows in (users, items, wrong))
        return F.softplus(-better).mean() + self.l2 * squares / (2 * len(batch))


def in_batch_softmax(users: Tensor, items: Tensor, names: Tensor, temperature: float) -> Tensor:
    """Cross entropy of each user's own item among the batch's, by cosine over temperature.

    users, items: (b, d), row b of both a pair; names: int64 (b,), equal where the item is the same
    (those are no negatives of each other).
    """
    logits = F.normalize(users, dim=1) @ F.normalize(items, dim=1).T / temperature
    own = torch.arange(len(names))
    accidental = names[:, None] == names[None, :]
    accidental[own, own] = False
    return F.cross_entropy(logits.masked_fill(accidental, float("-inf")), own)


def normalised_graph(likes: csr_matrix) -> csr_matrix:
    """D^-1/2 A D^-1/2 of the bipartite graph: float32 CSR (users + items, users + items)."""
    x = (likes > 0).astype(np.float32)
    adjacency = bmat([[None, x], [x.T, None]], format="csr")
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1.0)
    scale = diags((degree**-0.5).astype(np.float32))
    return (scale @ adjacency @ scale).tocsr()


def propagate(graph: csr_matrix, base: Tensor, layers: int) -> list[Tensor]:
    """[E(0), E(1), …, E(layers)], each (nodes, dim)."""
    out = [base]
    for _ in range(layers):
        out.append(_SymmetricProduct.apply(graph, out[-1]))
    return out


class _SymmetricProduct(torch.autograd.Function):
    """graph @ x for a constant symmetric graph, whose gradient is graph @ gradient.

    scipy's product of a CSR and a dense matrix takes a third of the time of torch's on one core.
    """

    @staticmethod
    def forward(ctx: Any, graph: csr_matrix, x: Tensor) -> Tensor:
        ctx.graph = graph
        return torch.from_numpy(graph @ x.detach().numpy())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, torch.from_numpy(ctx.graph @ gradient.contiguous().numpy())
