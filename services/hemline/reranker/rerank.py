"""The reranker story: a history and candidates in, blended scores out.

The shopper's factors are folded in from the history at every call, so that there is nothing to
refresh overnight and an unknown shopper with one click already has them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hemline.best_first import best_first
from hemline.blend import blend_scores, segment_of
from hemline.contracts import Hits, Part, Ranking, RerankRequest, Rows
from hemline.errors import InvalidInputError, ReleaseError
from hemline.fold_in import cf_scores, confidence, fold_in, gram, without_factors
from hemline.neighbours import NeighbourTable
from hemline.releases import Release
from hemline.vectors import F32

MAX_HISTORY = 500
MAX_CANDIDATES = 5000


class BlendReranker:
    """One release's factors, neighbours and blend; the in-process form of `contracts.Reranker`."""

    waits = False

    def __init__(self, release: Release) -> None:
        self.release = release
        cf = release.json("cf")
        self._alpha = float(cf["alpha"])
        self._regularisation = float(cf["regularisation"])
        self._factors: F32 = np.ascontiguousarray(release.array("cf_item_factors"))
        self._gram = gram(self._factors)
        self._without_factors = without_factors(self._factors)
        self._neighbours = NeighbourTable(
            release.array("neighbours_rows"), release.array("neighbours_scores")
        )
        self._popularity = release.array("popularity")[release.twins]
        self._trending = release.array("trending")[release.twins]
        self._weights: dict[str, dict[str, float]] = {
            segment["name"]: segment["weights"] for segment in release.json("blend")["segments"]
        }

    async def rerank(self, release_id: str, request: RerankRequest, timeout_s: float) -> Ranking:
        """See `contracts.Reranker.rerank`.

        Raises InvalidInputError for lists that are too long or of different lengths.
        """
        self._check_release(release_id)
        rows, history = request.candidate_rows, request.history_rows
        if not 1 <= len(rows) <= MAX_CANDIDATES:
            raise InvalidInputError("candidates", f"{len(rows)} is outside 1..{MAX_CANDIDATES}")
        self._check_history(history, request.history_weights)
        for name, values in request.scores.items():
            if len(values) != len(rows):
                raise InvalidInputError(f"scores.{name}", f"{len(values)} for {len(rows)} items")

        parts: dict[str, F32] = dict(request.scores)
        known = rows < len(self._factors)
        if known.all():
            parts |= self._parts(rows, history, request.history_weights)
        else:
            of_release = self._parts(rows[known], history, request.history_weights)
            parts |= {name: _spread(values, known) for name, values in of_release.items()}

        segment = segment_of(request.known_items)
        total, contributions = blend_scores(parts, self._weights[segment])
        return Ranking(
            scores=total,
            parts={name: Part(parts[name], contributions[name]) for name in parts},
            segment=segment,
        )

    async def neighbours(
        self, release_id: str, rows: Rows, weights: F32, k: int, timeout_s: float
    ) -> Hits:
        """See `contracts.Reranker.neighbours`."""
        self._check_release(release_id)
        self._check_history(rows, weights)
        found, scores = self._neighbours.scores(*self._of_release(rows, weights))
        best = best_first(scores, k)
        best = best[scores[best] > 0]
        return Hits(found[best], scores[best], matching=len(found))

    def _parts(self, rows: Rows, history: Rows, weights: F32) -> dict[str, F32]:
        """What the release's own models say of its own items."""
        parts: dict[str, F32] = {}
        history, weights = self._of_release(history, weights)
        if history.size:
            parts["cf"] = self._cf(history, weights, rows)
            parts["neighbours"] = self._neighbours.scores_of(rows, history, weights)
        parts["popularity"] = np.asarray(self._popularity[rows])
        parts["trending"] = np.asarray(self._trending[rows])
        return parts

    def _of_release(self, rows: Rows, weights: F32) -> tuple[Rows, F32]:
        """Without items that came after the release: no model of it has seen them."""
        known = rows < len(self._factors)
        return (rows, weights) if known.all() else (rows[known], weights[known])

    def _cf(self, history: Rows, weights: F32, candidates: Rows) -> F32:
        liked, signed = confidence(history, weights, self._alpha)
        user = fold_in(self._factors, self._gram, liked, signed, self._regularisation)
        return cf_scores(self._factors, self._without_factors, candidates, user)

    def _check_release(self, release_id: str) -> None:
        if release_id != self.release.id:
            raise ReleaseError(f"the reranker serves release {self.release.id}, not {release_id}")

    def _check_history(self, rows: Rows, weights: F32) -> None:
        if len(rows) > MAX_HISTORY or len(rows) != len(weights):
            raise InvalidInputError(
                "history", f"{len(rows)} items and {len(weights)} weights; at most {MAX_HISTORY}"
            )


def _spread(values: F32, known: npt.NDArray[np.bool_]) -> F32:
    """NaN, which is neither praised nor punished, where nothing is known."""
    spread = np.full(len(known), np.nan, dtype=np.float32)
    spread[known] = values
    return spread
