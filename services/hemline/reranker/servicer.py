"""RerankerService over gRPC: ids on the wire, rows inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hemline.contracts import RerankRequest, Rows
from hemline.errors import InvalidInputError
from hemline.reranker.rerank import BlendReranker
from hemline.rpc import time_left_s
from hemline.v1 import reranker_pb2 as pb
from hemline.v1 import reranker_pb2_grpc
from hemline.vectors import F32, pack_f32
from hemline.wire import ids_of

MAX_K = 1000


class RerankerServicer(reranker_pb2_grpc.RerankerServiceServicer):
    def __init__(self, reranker: BlendReranker) -> None:
        self._reranker = reranker

    async def Rerank(self, request: pb.RerankRequest, context: Any) -> pb.RerankResponse:
        history, weights = self._weighted(request.history)
        ranking = await self._reranker.rerank(
            request.release,
            RerankRequest(
                history_rows=history,
                history_weights=weights,
                candidate_rows=self._rows(request.candidate_item_ids),
                scores={
                    score.part: np.frombuffer(score.values, dtype="<f4") for score in request.scores
                },
                known_items=request.known_items,
            ),
            time_left_s(context),
        )
        return pb.RerankResponse(
            release=request.release,
            scores=pack_f32(ranking.scores),
            parts=[
                pb.PartScores(
                    part=name,
                    values=pack_f32(part.values),
                    contributions=pack_f32(part.contributions),
                )
                for name, part in ranking.parts.items()
            ],
            segment=ranking.segment,
        )

    async def Neighbours(
        self, request: pb.NeighboursRequest, context: Any
    ) -> pb.NeighboursResponse:
        if not 1 <= request.k <= MAX_K:
            raise InvalidInputError("k", f"{request.k} is outside 1..{MAX_K}")
        rows, weights = self._weighted(request.items)
        hits = await self._reranker.neighbours(
            request.release, rows, weights, request.k, time_left_s(context)
        )
        return pb.NeighboursResponse(
            release=request.release,
            item_ids=ids_of(hits.rows, self._reranker.release.catalogue),
            scores=pack_f32(hits.scores),
        )

    def _weighted(self, items: Iterable[pb.WeightedItem]) -> tuple[Rows, F32]:
        items = list(items)
        rows = self._rows(item.item_id for item in items)
        return rows, np.array([item.weight for item in items], dtype=np.float32)

    def _rows(self, item_ids: Iterable[str]) -> Rows:
        """Items that came after the release all have the row after its last one."""
        catalogue = self._reranker.release.catalogue
        later = len(catalogue)
        return np.array([catalogue.row_of.get(i, later) for i in item_ids], dtype=np.int32)
