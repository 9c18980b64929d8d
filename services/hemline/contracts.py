"""What the stages of an answer are to each other: plain objects first, gRPC second.

`recommend()` takes these interfaces and does not know whether a stage lives in its own process
(`retrieval.index.FlatRetrieval`, `reranker.rerank.BlendReranker`) or behind a channel
(`gateway.remotes`). Items are named by row, their place in the release's catalogue; ids travel only
between processes. Every method raises UnavailableError or DeadlineError when it cannot answer in
`timeout_s`, and ReleaseError when asked for a release it has not loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from hemline.filters import Filter
from hemline.vectors import F32

Space = Literal["tower", "content", "image", "text"]
Rows = npt.NDArray[np.int32]
NO_ROWS: Rows = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True)
class WeightedVector:
    """vector: float32 (dim,), unit norm. weight: above 0 and up to 1."""

    space: Space
    vector: F32
    weight: float = 1.0


@dataclass(frozen=True)
class VectorQuery:
    """The k nearest items of one vector, or of several together.

    vector: float32 (dim,), unit norm. also: the score of an item is `weight` times its cosine with
    `vector`, plus that of each of these.
    """

    space: Space
    vector: F32
    k: int
    filter: Filter | None = None
    exclude: Rows = field(default_factory=lambda: NO_ROWS)
    collapse_variants: bool = False
    weight: float = 1.0
    also: tuple[WeightedVector, ...] = ()

    @property
    def scaled(self) -> list[tuple[Space, F32]]:
        """Spaces, and vectors that hold their weights: an item's score is the sum of the inner
        products with them."""
        parts = [WeightedVector(self.space, self.vector, self.weight), *self.also]
        return [(part.space, part.vector * np.float32(part.weight)) for part in parts]


@dataclass(frozen=True)
class Hits:
    """Items, best first. rows: int32 (m,), distinct; scores: float32 (m,), cosine or a model's."""

    rows: Rows
    scores: F32
    matching: int = 0  # how many items matched the filter


class Retrieval(Protocol):
    @property
    def waits(self) -> bool:
        """Whether an answer may take longer than its computation, so that it needs a timeout, and
        something else can be done meanwhile."""

    async def search(
        self, release_id: str, queries: Sequence[VectorQuery], timeout_s: float
    ) -> list[Hits]:
        """The true top-k among the items that match, for each query; fewer only if fewer match."""


@dataclass(frozen=True)
class RerankRequest:
    """Candidates of one shopper, with what the sources know of them.

    history_rows, history_weights: (h,), oldest first, weights by `profile_weights`.
    candidate_rows: (c,). scores: part name -> float32 (c,), NaN where unknown.
    known_items: distinct items known of the shopper, imported ones included; picks the weights.
    """

    history_rows: Rows
    history_weights: F32
    candidate_rows: Rows
    scores: Mapping[str, F32]
    known_items: int


@dataclass(frozen=True)
class Part:
    """One model's raw scores and what they add to the final ones; float32 (c,) each."""

    values: F32
    contributions: F32


@dataclass(frozen=True)
class Ranking:
    """Final scores in the order of the candidates: float32 (c,), the sum of the contributions."""

    scores: F32
    parts: Mapping[str, Part]
    segment: str


class Reranker(Protocol):
    @property
    def waits(self) -> bool:
        """As `Retrieval.waits`."""

    async def rerank(self, release_id: str, request: RerankRequest, timeout_s: float) -> Ranking:
        """Blend of collaborative, retrieval and popularity scores for the candidates."""

    async def neighbours(
        self, release_id: str, rows: Rows, weights: F32, k: int, timeout_s: float
    ) -> Hits:
        """Items that shoppers of these items also liked, by summed weighted similarity."""


class Encoders(Protocol):
    """The models on Triton. `version` is the release's; vectors are float32, unit norm."""

    async def user_vectors(self, profiles: F32, version: int, timeout_s: float) -> F32:
        """(b, clip_dim) profiles to (b, tower_dim)."""

    async def item_vectors(self, content: F32, version: int, timeout_s: float) -> F32:
        """(b, clip_dim) content vectors to (b, tower_dim)."""

    async def image_vectors(self, images: Sequence[bytes], version: int, timeout_s: float) -> F32:
        """Encoded images to (b, clip_dim). Raises BadImageError naming the first broken one."""

    async def text_vectors(self, texts: Sequence[str], version: int, timeout_s: float) -> F32:
        """Texts to (b, clip_dim)."""
