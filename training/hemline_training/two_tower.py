"""The two towers: user profile and item content into one space where a dot product predicts a like.

Sampled softmax over the batch's own targets plus uniformly drawn items, with the logQ correction of
Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations" (RecSys
2019); the mix of both kinds of negatives is Yang et al., "Mixed Negative Sampling" (WWW 2020).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from hemline.encoders.towers import Tower
from hemline.vectors import F32
from hemline_training.interactions import I64, LIKED_GRADE, Interactions, cut_histories


@dataclass(frozen=True)
class TwoTowerConfig:
    tower_dim: int = 64
    hidden_dim: int = 256
    epochs: int = 12
    stop_after: int = 0  # epochs, 0 for all; the learning-rate schedule stays that of `epochs`
    patience: int = 3  # epochs without a better validation score before stopping
    batch_size: int = 1024
    uniform_negatives: int = 1024
    temperature: float = 0.1
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    history_limit: int = 50  # events
    # Shares of examples whose history is cut to its last 1 to 3 events, or to before this visit.
    short_share: float = 0.3
    earlier_visit_share: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """loss: mean over the epoch's batches. validation: what `validate` said, None without it."""

    loss: float
    validation: float | None


@dataclass
class Towers:
    """A fitted pair, in eval mode, the epoch its weights are from, and every epoch of the fit."""

    user: Tower
    item: Tower
    epoch: int
    history: list[Epoch] = field(default_factory=list)

    def users(self, profiles: F32) -> F32:
        """float32 (b, clip_dim) -> (b, tower_dim), unit norm."""
        return _embed(self.user, profiles)

    def items(self, content: F32) -> F32:
        """float32 (n, clip_dim) -> (n, tower_dim), unit norm."""
        return _embed(self.item, content)


@dataclass(frozen=True)
class Examples:
    """Next-like examples: a target, and the event range [starts of the user, ends) known before."""

    users: I64
    targets: I64
    ends: I64
    visit_starts: I64

    def __len__(self) -> int:
        return len(self.users)


def next_likes(log: Interactions) -> Examples:
    """One example per liked (user, item) that has some history before its very first event.

    The history ends before the user first touched the target, so neither the target's own view nor
    anything later can leak in.
    """
    pair = log.users.astype(np.int64) * log.n_items + log.rows
    _, first = np.unique(pair, return_index=True)
    liked_pairs = np.unique(pair[log.grades >= LIKED_GRADE])
    first = first[np.isin(pair[first], liked_pairs)]
    first = np.sort(first[first > log.indptr[log.users[first]]])
    changes = np.diff(log.sessions, prepend=-1) != 0
    changes |= np.diff(log.users, prepend=-1) != 0
    visit_start = np.maximum.accumulate(np.where(changes, np.arange(len(log)), 0))
    return Examples(
        log.users[first].astype(np.int64),
        log.rows[first].astype(np.int64),
        first,
        visit_start[first],
    )


def log_q(
    targets: npt.ArrayLike, n_items: int, batch_size: int, uniform_negatives: int
) -> npt.NDArray[np.float32]:
    """log Q of every item, its chance to fill a place in a step: float32 (n_items,).

    Q(j) = (B p(j) + U / n) / (B + U), p(j) the share of examples with target j, B the batch size
    and U the number of uniform negatives; items with Q = 0 (U = 0, never a target) get -inf.
    """
    p = np.bincount(np.asarray(targets), minlength=n_items) / len(np.asarray(targets))
    q = (batch_size * p + uniform_negatives / n_items) / (batch_size + uniform_negatives)
    with np.errstate(divide="ignore"):
        return np.log(q).astype(np.float32)


def sampled_softmax_loss(
    users: Tensor,
    items: Tensor,
    targets: Tensor,
    candidates: Tensor,
    logq: Tensor,
    temperature: float,
) -> Tensor:
    """Cross entropy of each example's target among the step's candidates.

    users: (B, d) and items: (C, d), unit norm; targets: int64 (B,); candidates: int64 (C,), the
    first B of which are the targets in order; logq: (C,), subtracted from the logits so that
    popular items are not punished for turning up often as negatives. A candidate that equals an
    example's target without being its own place is masked (an accidental hit).
    """
    logits = users @ items.T / temperature - logq  # (B, C)
    own = torch.arange(len(targets))
    accidental = targets[:, None] == candidates[None, :]
    accidental[own, own] = False
    return F.cross_entropy(logits.masked_fill(accidental, float("-inf")), own)


def fit_two_tower(
    log: Interactions,
    content: F32,
    config: TwoTowerConfig,
    validate: Callable[[Towers], float] | None = None,
) -> Towers:
    """Towers trained on the next likes of `log`.

    content: float32 (n_items, clip_dim), unit norm. validate: scores towers, higher is better; with
    it the best epoch's weights are returned and training stops early, without it the last's.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    dims = content.shape[1], config.tower_dim, config.hidden_dim
    user = Tower(*dims)
    item = Tower(*dims)
    item.load_state_dict(user.state_dict())  # an untrained pair ranks by content alone
    examples = next_likes(log)
    if len(examples) == 0:
        return Towers(user.eval(), item.eval(), 0)
    logq = torch.from_numpy(
        log_q(examples.targets, log.n_items, config.batch_size, config.uniform_negatives)
    )
    vectors = torch.from_numpy(np.ascontiguousarray(content))
    parameters = [*user.parameters(), *item.parameters()]
    optimiser = torch.optim.AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = max(-(-len(examples) // config.batch_size), 1)

    # The schedule is cut by early stopping, never stretched: epoch e of a refit is this epoch e.
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimiser, 1.0, 0.1, total_iters=steps * config.epochs
    )
    best, best_score = copy.deepcopy(Towers(user, item, 0)), -np.inf
    history: list[Epoch] = []
    progress = tqdm(
        range(1, (config.stop_after or config.epochs) + 1),
        desc="two towers",
        unit="epoch",
        leave=False,
    )
    for epoch in progress:
        user.train()
        item.train()
        total = 0.0
        for batch in np.array_split(rng.permutation(len(examples)), steps):
            profiles, kept = _batch_profiles(log, content, examples, batch, config, rng)
            targets = torch.from_numpy(examples.targets[batch][kept])
            if len(targets) == 0:
                continue
            uniform = torch.from_numpy(rng.integers(0, log.n_items, config.uniform_negatives))
            candidates = torch.cat([targets, uniform])
            loss = sampled_softmax_loss(
                user(torch.from_numpy(profiles[kept])),
                item(vectors[candidates]),
                targets,
                candidates,
                logq[candidates],
                config.temperature,
            )
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            total += loss.item()
        score = -np.inf
        if validate is not None:
            score = validate(Towers(user.eval(), item.eval(), epoch))
        history.append(Epoch(total / steps, None if validate is None else score))
        progress.set_postfix(loss=f"{total / steps:.3f}", validation=f"{score:.4f}")
        if validate is None or score > best_score:
            best, best_score = copy.deepcopy(Towers(user, item, epoch)), score
        elif epoch - best.epoch >= config.patience:
            break
    best.user.eval()
    best.item.eval()
    best.history = history
    return best


def _batch_profiles(
    log: Interactions,
    content: F32,
    examples: Examples,
    batch: I64,
    config: TwoTowerConfig,
    rng: np.random.Generator,
) -> tuple[F32, npt.NDArray[np.bool_]]:
    """Profiles of a batch with some histories cut short, and which examples still have one."""
    chance = rng.random(len(batch))
    ends = examples.ends[batch]
    starts = np.maximum(log.indptr[examples.users[batch]], ends - config.history_limit)
    earlier = chance < config.earlier_visit_share
    ends = np.where(earlier, np.maximum(examples.visit_starts[batch], starts), ends)
    short = chance > 1 - config.short_share
    limit = np.where(short, rng.integers(1, 4, len(batch)), config.history_limit)
    return cut_histories(log, examples.users[batch], ends, limit).profiles(content)


@torch.no_grad()
def _embed(tower: Tower, x: F32) -> F32:
    parts = [
        tower(torch.from_numpy(np.ascontiguousarray(x[i : i + 8192]))).numpy()
        for i in range(0, len(x), 8192)
    ]
    if not parts:
        return np.zeros((0, tower.output_dim), dtype=np.float32)
    return np.concatenate(parts)
