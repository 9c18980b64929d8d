"""GraphSAGE (Hamilton, Ying & Leskovec, "Inductive Representation Learning on Large Graphs",
NeurIPS 2017) on the graph of users, items and attribute values.

    h(k)_v = W_self h(k-1)_v + W_near mean{h(k-1)_u, u near v},   score(u, i) = cos(h_u, h_i) / τ

What a node starts from is all that is known of it, never who it is: a user their age group and
gender, an item its content vector, an attribute value a learnt vector. So users and items that
training never saw have a representation like everybody else's, from whatever they are linked to.
Only where items come with neither content nor attributes do they get learnt vectors of their own.

Trained on sampled two-hop neighbourhoods with in-batch softmax and its logQ correction; the edge to
predict is never in the neighbourhood it is predicted from. Afterwards all neighbours are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import SAGEConv
from tqdm import tqdm

from hemline.vectors import F32
from hemline_training.recommenders.base import I64, Feedback, Recommender
from hemline_training.recommenders.neighbourhood import NO_NODE, Graph, draw
from hemline_training.recommenders.pairs import Pairs

SEGMENTS = ("age_group", "gender")


class SageNet(nn.Module):
    """First features of every node, and two SAGEConv layers over them."""

    def __init__(self, content: F32 | None, graph: Graph, segments: int, dim: int) -> None:
        super().__init__()
        _, items, values = graph.counts
        self.content: Tensor | None
        self.register_buffer("content", None if content is None else torch.from_numpy(content))
        self.of_content = nn.Linear(1 if content is None else content.shape[1], dim)
        own = items if content is None and not values else 0
        self.of_item = nn.Embedding(max(own, 1), dim)
        self.of_value = nn.Embedding(max(values, 1), dim)
        self.of_segment = nn.EmbeddingBag(max(segments, 1), dim, mode="sum")
        self.first = SAGEConv((dim, dim), dim)
        self.second = SAGEConv((dim, dim), dim)
        self.has_own = own > 0
        for embedding in (self.of_item, self.of_value, self.of_segment):
            nn.init.normal_(embedding.weight, std=0.5 / dim**0.5)

    def items(self, rows: Tensor) -> Tensor:
        """First features of items int64 (b,): (b, dim)."""
        if self.content is not None:
            return torch.as_tensor(self.of_content(self.content[rows]))
        if self.has_own:
            return torch.as_tensor(self.of_item(rows))
        return self.of_content.bias.expand(len(rows), -1)

    def users(self, segments: Tensor) -> Tensor:
        """First features of users by their segments int64 (b, kinds): (b, dim)."""
        if segments.shape[1] == 0:
            return torch.zeros(len(segments), self.of_segment.embedding_dim)
        return torch.as_tensor(self.of_segment(segments))


@dataclass
class GraphSage(Recommender):
    """near: neighbours drawn a node, at the first and at the second hop. cold_share: of examples
    are shown without anybody's likes, an item by its attributes alone and a user by their segments,
    so that the network learns to do without (Volkovs et al., "DropoutNet", NeurIPS 2017).
    """

    dim: int = 64
    near: tuple[int, int] = (10, 5)
    cold_share: float = 0.2
    epochs: int = 10
    batch_size: int = 512
    learning_rate: float = 3e-3
    temperature: float = 0.1
    seed: int = 0

    def _fit(self, feedback: Feedback) -> None:
        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        pairs = Pairs.of(feedback.likes)
        self._graph = Graph.of(feedback)
        self._segment_of: dict[tuple[str, str], int] = {}
        self._segments = self._segments_of(feedback, learn=True)
        self._net = SageNet(feedback.content, self._graph, len(self._segment_of), self.dim)
        optimiser = torch.optim.Adam(self._net.parameters(), self.learning_rate)
        log_q = np.log(np.bincount(pairs.items, minlength=feedback.n_items) / len(pairs) + 1e-12)
        self.losses: list[float] = []
        progress = tqdm(
            range(self.epochs), desc="GraphSAGE", unit="epoch", leave=False, disable=None
        )
        for _ in progress:
            total = 0.0
            for batch in pairs.batches(self.batch_size, rng):
                loss = self._loss(pairs, batch, log_q, rng)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                total += loss.item() * len(batch)
            self.losses.append(total / len(pairs))
            progress.set_postfix(loss=f"{self.losses[-1]:.4f}")
        self._keep()

    def fold_in(self, newcomers: Feedback) -> F32:
        """A newcomer is one more user node, linked to what they like; the others stay the same."""
        likes = (newcomers.likes > 0).astype(np.float32)
        share = likes.multiply(1 / np.maximum(likes.sum(axis=1), 1)).tocsr().astype(np.float32)
        n, items = self._graph.counts[0], self._graph.counts[1]
        with torch.no_grad():
            start = self._net.users(self._segments_of(newcomers))
            hidden = apply_layer(self._net.first, start, share @ self._first[n : n + items]).relu()
            out = apply_layer(self._net.second, hidden, share @ self._second[n : n + items])
        return np.asarray(F.normalize(out, dim=1).numpy() @ self.item_vectors.T, dtype=np.float32)

    def _keep(self) -> None:
        """Representations of all nodes from all of their neighbours, layer by layer."""
        users, items, _ = self._graph.counts
        means = self._graph.means
        self._net.eval()
        with torch.no_grad():
            start = self._features(np.arange(sum(self._graph.counts)))
            self._first = start.numpy()
            hidden = apply_layer(self._net.first, start, means @ self._first).relu()
            self._second = hidden.numpy()
            out = F.normalize(apply_layer(self._net.second, hidden, means @ self._second), dim=1)
        self.item_vectors = out.numpy()[users : users + items]

    def _loss(self, pairs: Pairs, batch: I64, log_q: Any, rng: np.random.Generator) -> Tensor:
        users, items = pairs.users[batch], pairs.items[batch]
        n = self._graph.counts[0]
        seeds = np.concatenate([users, items + n])
        barred = np.concatenate([items + n, users])
        out = F.normalize(self._sampled(seeds, barred, rng), dim=1)
        of_users, of_items = out[: len(batch)], out[len(batch) :]
        logits = of_users @ of_items.T / self.temperature
        logits = logits - torch.from_numpy(log_q[items].astype(np.float32))
        also = np.asarray(pairs.likes[users][:, items].todense()) > 0  # no negatives: likes as well
        np.fill_diagonal(also, False)
        logits = logits.masked_fill(torch.from_numpy(also), float("-inf"))
        return F.cross_entropy(logits, torch.arange(len(batch)))

    def _sampled(self, seeds: I64, barred: I64, rng: np.random.Generator) -> Tensor:
        """Second-layer outputs of the seeds (s,) from their sampled neighbourhoods: (s, dim)."""
        graph, cold = self._graph, rng.random(len(seeds)) < self.cold_share
        first = draw(graph.adjacency, seeds, self.near[0], rng, barred)
        first[cold] = draw(graph.described, seeds[cold], self.near[0], rng, barred[cold])
        nodes, at = np.unique(np.concatenate([seeds, first.ravel()]), return_inverse=True)
        known = nodes != NO_NODE
        nodes, at = nodes[known], at - int(not known[0])
        none = np.full(len(nodes), NO_NODE)
        second = draw(graph.adjacency, nodes, self.near[1], rng, none)
        below, at_below = np.unique(np.concatenate([nodes, second.ravel()]), return_inverse=True)
        known = below != NO_NODE
        below, at_below = below[known], at_below - int(not known[0])
        features = self._features(below)
        hidden = self._net.first(
            (features, features[at_below[: len(nodes)]]),
            edges(second, at_below[len(nodes) :]),
        ).relu()
        out = self._net.second((hidden, hidden[at[: len(seeds)]]), edges(first, at[len(seeds) :]))
        return torch.as_tensor(out)

    def _features(self, nodes: I64) -> Tensor:
        """First features of nodes int64 (b,), sorted: users, then items, then values."""
        users, items, _ = self._graph.counts
        one, two = np.searchsorted(nodes, [users, users + items])
        parts = [
            self._net.users(self._segments[torch.from_numpy(nodes[:one])]),
            self._net.items(torch.from_numpy(nodes[one:two] - users)),
            self._net.of_value(torch.from_numpy(nodes[two:] - users - items)),
        ]
        return torch.cat(parts)

    def _segments_of(self, feedback: Feedback, learn: bool = False) -> Tensor:
        """int64 (users, kinds): the number of each user's segments; unknown values share one."""
        table: pa.Table | None = feedback.users
        kinds = [s for s in SEGMENTS if table is not None and s in table.column_names]
        if learn:
            self._kinds = kinds
        columns = []
        for kind in self._kinds:
            values = table[kind].to_pylist() if table is not None and kind in kinds else None
            names = [(kind, str(v)) for v in (values or [None] * feedback.n_users)]
            if learn:
                for name in [(kind, "None"), *names]:
                    self._segment_of.setdefault(name, len(self._segment_of))
            unknown = self._segment_of[(kind, "None")]
            columns.append([self._segment_of.get(name, unknown) for name in names])
        empty = np.zeros((0, feedback.n_users))
        return torch.from_numpy(np.array(columns or empty, dtype=np.int64).T.copy())


def apply_layer(layer: SAGEConv, own: Tensor, mean: F32) -> Tensor:
    """What a SAGEConv gives to nodes whose neighbours' mean is known: (b, dim) each."""
    return torch.as_tensor(layer.lin_l(torch.from_numpy(np.asarray(mean))) + layer.lin_r(own))


def edges(drawn: I64, sources: I64) -> Tensor:
    """int64 (2, e) from sampled neighbours (n, each) and their places: source over target."""
    targets = np.repeat(np.arange(len(drawn)), drawn.shape[1])
    real = drawn.ravel() != NO_NODE
    return torch.from_numpy(np.stack([sources[real], targets[real]]).astype(np.int64))
