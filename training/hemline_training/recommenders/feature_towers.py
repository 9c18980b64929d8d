"""Two towers with features: all that is known of a user against all that is known of an item.

The towers that are served (`hemline_training.two_tower`) see content vectors alone, so that a click
changes a user vector in a millisecond. These also see counts, spend, recency, demographics; and
attributes, prices and popularity. Each tower is normalise(W c + MLP([c ; features])) with c the
content (of a user: the weighted mean of the history's), both W starting equal, so that an untrained
pair ranks by content. Losses:

    softmax   in-batch and uniform negatives with logQ correction (Yi et al., RecSys 2019)
    bce       sampled negatives, on a learnt scale and offset of the cosine
    mse       the same pairs, squared error against 1 and 0
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from hemline.errors import InvalidInputError
from hemline.vectors import F32
from hemline_training.recommenders.base import I64, Feedback, Recommender
from hemline_training.recommenders.pairs import Pairs
from hemline_training.recommenders.tower_features import (
    DEMOGRAPHICS,
    ITEM_NUMBERS,
    USER_NUMBERS,
    Events,
    Histories,
    ItemFeatures,
    demographics,
)
from hemline_training.two_tower import log_q, sampled_softmax_loss

LOSSES = ("softmax", "bce", "mse")


class FeatureTower(nn.Module):
    """content (b, c) and features (b, f) -> (b, dim), unit norm."""

    def __init__(
        self, content: int, features: int, dim: int, hidden: int, dropout: float, norm: bool
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(content, dim, bias=False)
        nn.init.orthogonal_(self.linear.weight)
        self.mlp = nn.Sequential(
            nn.LayerNorm(content + features) if norm else nn.Identity(),
            nn.Linear(content + features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
        )
        nn.init.zeros_(self.mlp[4].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.mlp[4].bias)  # type: ignore[arg-type]

    def forward(self, content: Tensor, features: Tensor) -> Tensor:
        out = self.linear(content) + self.mlp(torch.cat([content, features], dim=1))
        return F.normalize(out, dim=1)


class TowerPair(nn.Module):
    """Both towers with the tables of content, attribute values and demographics they read."""

    def __init__(self, content: Tensor, values: int, segments: int, options: FeatureTowers) -> None:
        super().__init__()
        self.content = nn.Parameter(content, requires_grad=not options.freeze_content)
        wide = options.embedding_dim
        self.values = nn.EmbeddingBag(max(values, 1), wide, mode="mean")
        self.segments = nn.Embedding(segments + 1, wide, padding_idx=0)
        shape = options.dim, options.hidden, options.dropout, options.normalise
        of_user = USER_NUMBERS + wide * len(DEMOGRAPHICS)
        self.user_tower = FeatureTower(content.shape[1], of_user, *shape)
        self.item_tower = FeatureTower(content.shape[1], ITEM_NUMBERS + wide, *shape)
        with torch.no_grad():
            self.item_tower.linear.weight.copy_(self.user_tower.linear.weight)
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.offset = nn.Parameter(torch.tensor(0.0))

    def users(self, histories: Histories, numbers: Tensor, segments: Tensor) -> Tensor:
        """(b, dim) from histories, their numbers (b, USER_NUMBERS) and segments (b, kinds)."""
        weights = torch.from_numpy(histories.weights)[:, None]
        mean = torch.zeros(histories.count, self.content.shape[1]).index_add(
            0,
            torch.from_numpy(histories.owner),
            weights * self.content[torch.from_numpy(histories.items)],
        )
        about = self.segments(segments).flatten(1)
        out: Tensor = self.user_tower(F.normalize(mean, dim=1), torch.cat([numbers, about], dim=1))
        return out

    def items(self, rows: I64, features: ItemFeatures) -> Tensor:
        """(b, dim) of items int64 (b,)."""
        starts, ends = features.indptr[rows], features.indptr[rows + 1]
        flat = np.concatenate([features.values[a:b] for a, b in zip(starts, ends, strict=True)])
        offsets = np.concatenate([[0], np.cumsum(ends - starts)[:-1]]).astype(np.int64)
        about = self.values(torch.from_numpy(flat), torch.from_numpy(offsets))
        numbers = torch.from_numpy(features.numbers[rows])
        content = self.content[torch.from_numpy(rows)]
        out: Tensor = self.item_tower(content, torch.cat([numbers, about], dim=1))
        return out


@dataclass
class FeatureTowers(Recommender):
    """freeze_content: leave the content vectors (CLIP's) as they are, or learn on from them.
    normalise: layer norm before each MLP. negatives: drawn a like for bce and mse, a batch for
    softmax.
    """

    loss: str = "softmax"
    dim: int = 64
    hidden: int = 128
    embedding_dim: int = 8
    dropout: float = 0.1
    normalise: bool = True
    freeze_content: bool = True
    epochs: int = 8
    batch_size: int = 512
    negatives: int = 4
    uniform_negatives: int = 512
    temperature: float = 0.1
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    history_limit: int = 50
    seed: int = 0

    def _fit(self, feedback: Feedback) -> None:
        if self.loss not in LOSSES:
            raise InvalidInputError("loss", f"is {self.loss!r}; there are {', '.join(LOSSES)}")
        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        pairs = Pairs.of(feedback.likes)
        self._features = ItemFeatures.of(feedback)
        self._known: dict[tuple[str, str], int] = {}
        segments = demographics(feedback, self._known, learn=True)
        self._pair = TowerPair(
            self._content(feedback), self._features.n_values, len(self._known), self
        )
        self._events = Events.of(feedback)
        logq = log_q(pairs.items, feedback.n_items, self.batch_size, self.uniform_negatives)
        optimiser = torch.optim.AdamW(
            self._pair.parameters(), self.learning_rate, weight_decay=self.weight_decay
        )
        self.losses: list[float] = []
        progress = tqdm(
            range(self.epochs), desc="feature towers", unit="epoch", leave=False, disable=None
        )
        for _ in progress:
            total = 0.0
            self._pair.train()
            for batch in pairs.batches(self.batch_size, rng):
                owner, target = self._events.users[batch], self._events.items[batch]
                histories = self._events.before(batch, self.history_limit)
                users = self._users(histories, segments[owner])
                loss = self._loss(users, owner, target, pairs, logq, rng)
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimiser.step()
                total += loss.item() * len(batch)
            self.losses.append(total / len(pairs))
            progress.set_postfix(loss=f"{self.losses[-1]:.4f}")
        self._pair.eval()
        with torch.inference_mode():
            rows = np.arange(feedback.n_items)
            self.item_vectors = self._pair.items(rows, self._features).numpy()

    def fold_in(self, newcomers: Feedback) -> F32:
        events = Events.of(newcomers)
        segments = demographics(newcomers, self._known, learn=False)
        histories = events.histories(np.arange(newcomers.n_users), self.history_limit)
        with torch.inference_mode():
            now = newcomers.now_ms or self.feedback.now_ms
            vectors = self._users(histories, segments, now).numpy()
        return np.asarray(vectors @ self.item_vectors.T, dtype=np.float32)

    def _content(self, feedback: Feedback) -> Tensor:
        if feedback.content is not None:
            return torch.from_numpy(np.array(feedback.content, dtype=np.float32))
        if not self._features.n_values:
            raise InvalidInputError("items", "the towers need content vectors or item attributes")
        start = torch.randn(self._features.n_values, self.dim) / self.dim**0.5
        offsets = torch.from_numpy(self._features.indptr[:-1])
        values = torch.from_numpy(self._features.values)
        return F.normalize(F.embedding_bag(values, start, offsets, mode="mean"), dim=1)

    def _users(self, histories: Histories, segments: I64, now_ms: int = 0) -> Tensor:
        numbers = torch.from_numpy(histories.numbers(self._features.prices, now_ms))
        return self._pair.users(histories, numbers, torch.from_numpy(segments))

    def _loss(
        self,
        users: Tensor,
        owner: I64,
        target: I64,
        pairs: Pairs,
        logq: F32,
        rng: np.random.Generator,
    ) -> Tensor:
        if self.loss == "softmax":
            uniform = rng.integers(0, self.feedback.n_items, self.uniform_negatives)
            shown = np.concatenate([target, uniform])
            return sampled_softmax_loss(
                users,
                self._pair.items(shown, self._features),
                torch.from_numpy(target),
                torch.from_numpy(shown),
                torch.from_numpy(logq[shown]),
                self.temperature,
            )
        wrong = pairs.negatives(owner, self.negatives, rng)
        shown = np.concatenate([target[:, None], wrong], axis=1)  # (b, 1 + negatives)
        items = self._pair.items(shown.ravel(), self._features)
        cosine = (users[:, None] * items.view(*shown.shape, -1)).sum(dim=2)
        wanted = torch.zeros(cosine.shape)
        wanted[:, 0] = 1
        out = self._pair.scale * cosine + self._pair.offset
        by = F.mse_loss if self.loss == "mse" else F.binary_cross_entropy_with_logits
        return by(out, wanted)
