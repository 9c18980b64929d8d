"""The recommenders, by the names that `hemline evaluate --model` takes.

Each module is one family on the interface of `recommenders.base`.
"""

from __future__ import annotations

from collections.abc import Callable

from hemline.errors import NotFoundError
from hemline_training.recommenders.base import Feedback, Recommender
from hemline_training.recommenders.baselines import (
    MostPopular,
    RecentPopular,
    ReturningPopular,
    Rising,
    SegmentPopular,
)
from hemline_training.recommenders.blended import Blend, linear_parts, ordered_parts, sparse_parts
from hemline_training.recommenders.content import ContentCosine
from hemline_training.recommenders.ease import Ease
from hemline_training.recommenders.explicit import BiasedMf
from hemline_training.recommenders.graph_filters import bspm, gf_cf
from hemline_training.recommenders.low_rank import Ials
from hemline_training.recommenders.memory_cf import ItemNeighbours, Rp3Beta, UserNeighbours
from hemline_training.recommenders.segmented import SegmentBlend, cold_parts
from hemline_training.recommenders.sequences import SequentialNeighbours

__all__ = ["MODELS", "Feedback", "Recommender", "recommender"]

# Name -> a model with its default settings, for a seed. Modules that import torch are imported
# inside their function, so that a linear model does not pay for them.
MODELS: dict[str, Callable[[int], Recommender]] = {
    "popular": lambda seed: MostPopular(),
    "recent-popular": lambda seed: RecentPopular(),
    "returning-popular": lambda seed: ReturningPopular(),
    "rising": lambda seed: Rising(),
    "segment-popular": lambda seed: SegmentPopular(),
    "item-knn": lambda seed: ItemNeighbours(k=400, power=0.4, user_power=1.0),
    "item-cosine": lambda seed: ItemNeighbours(),
    "item-pearson": lambda seed: ItemNeighbours(similarity="pearson"),
    "user-knn": lambda seed: UserNeighbours(k=400, item_power=1.0),
    "user-pearson": lambda seed: UserNeighbours(similarity="pearson"),
    "rp3beta": lambda seed: Rp3Beta(k=1000, alpha=0.6, beta=0.3),
    "near": lambda seed: SequentialNeighbours(),
    "rp3beta-recent": lambda seed: Rp3Beta(k=1000, alpha=0.6, beta=0.3, recency=0.5),
    "bspm-recent": lambda seed: bspm(seed, recency=0.5),
    "ials-recent": lambda seed: Ials(recency=0.8, seed=seed),
    "ease": lambda seed: Ease(),
    "gf-cf": gf_cf,
    "bspm": bspm,
    "ials": lambda seed: Ials(seed=seed),
    "mf-als": lambda seed: BiasedMf("als", seed=seed),
    "mf-sgd": lambda seed: BiasedMf("sgd", seed=seed),
    "blend": lambda seed: Blend(linear_parts(seed), seed=seed),
    "blend-sparse": lambda seed: Blend(sparse_parts(seed), rounds=3, seed=seed),
    "blend-ordered": lambda seed: Blend(
        ordered_parts(seed), held=0.2, latest=True, users=3_000, seed=seed
    ),
    "blend-cold": lambda seed: SegmentBlend(cold_parts(seed), seed=seed),
    "content": lambda seed: ContentCosine(),
    "tfidf": lambda seed: _tfidf(seed),
    "ncf-bce": lambda seed: _neural_cf("bce", seed),
    "ncf-mse": lambda seed: _neural_cf("mse", seed),
    "lightgcn": lambda seed: _lightgcn(seed),
    "graphsage": lambda seed: _graphsage(seed),
    "ranker-network": lambda seed: _ranker("network", seed),
    "ranker-lambdarank": lambda seed: _ranker("lambdarank", seed),
    "towers": lambda seed: _feature_towers("softmax", seed),
    "towers-bce": lambda seed: _feature_towers("bce", seed),
    "towers-mse": lambda seed: _feature_towers("mse", seed),
}


def recommender(name: str, seed: int = 0) -> Recommender:
    """A model that is not fitted yet. Raises NotFoundError for a name that is not in MODELS."""
    if name not in MODELS:
        raise NotFoundError(f"there is no model {name!r}; there are {', '.join(sorted(MODELS))}")
    return MODELS[name](seed)


def _neural_cf(loss: str, seed: int) -> Recommender:
    from hemline_training.recommenders.neural_cf import NeuralCF

    return NeuralCF(loss=loss, seed=seed)


def _lightgcn(seed: int) -> Recommender:
    from hemline_training.recommenders.lightgcn import LightGCN

    return LightGCN(seed=seed)


def _tfidf(seed: int) -> Recommender:
    from hemline_training.recommenders.tfidf import TfidfOneHot

    return TfidfOneHot(seed=seed)


def _graphsage(seed: int) -> Recommender:
    from hemline_training.recommenders.graphsage import GraphSage

    return GraphSage(seed=seed)


def _feature_towers(loss: str, seed: int) -> Recommender:
    from hemline_training.recommenders.feature_towers import FeatureTowers

    return FeatureTowers(loss=loss, seed=seed)


def _ranker(kind: str, seed: int) -> Recommender:
    from hemline_training.recommenders.blended import linear_parts
    from hemline_training.recommenders.ranker import Ranker

    return Ranker({**linear_parts(seed), "popular": MostPopular}, kind=kind, seed=seed)
