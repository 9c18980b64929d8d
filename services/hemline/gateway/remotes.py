"""Retrieval and reranker behind a channel, for a cluster with one process each."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio
import numpy as np

from hemline.boundary import CALLER
from hemline.contracts import Hits, Part, Ranking, RerankRequest, Rows, VectorQuery
from hemline.rpc import call
from hemline.v1 import reranker_pb2, reranker_pb2_grpc, retrieval_pb2, retrieval_pb2_grpc
from hemline.vectors import F32, pack_f32
from hemline.wire import ItemIds, filter_to_proto, ids_of, known_rows_of

_SPACES = {
    "tower": retrieval_pb2.VECTOR_SPACE_TOWER,
    "content": retrieval_pb2.VECTOR_SPACE_CONTENT,
    "image": retrieval_pb2.VECTOR_SPACE_IMAGE,
    "text": retrieval_pb2.VECTOR_SPACE_TEXT,
}


class RemoteRetrieval:
    """`contracts.Retrieval` over gRPC; rows are those of `catalogue`."""

    waits = True

    def __init__(self, channel: grpc.aio.Channel, catalogue: ItemIds) -> None:
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)  # type: ignore[no-untyped-call]
        self._catalogue = catalogue

    async def search(
        self, release_id: str, queries: Sequence[VectorQuery], timeout_s: float
    ) -> list[Hits]:
        request = retrieval_pb2.RetrievalServiceSearchRequest(
            release=release_id,
            tenant=caller.tenant if (caller := CALLER.get()) is not None else "",
            queries=[
                retrieval_pb2.VectorQuery(
                    space=_SPACES[query.space],
                    vector=pack_f32(query.vector),
                    dim=len(query.vector),
                    k=query.k,
                    filter=filter_to_proto(query.filter),
                    exclude_item_ids=ids_of(query.exclude, self._catalogue),
                    collapse_variants=query.collapse_variants,
                    weight=query.weight,
                    also=[
                        retrieval_pb2.WeightedVector(
                            space=_SPACES[also.space],
                            vector=pack_f32(also.vector),
                            dim=len(also.vector),
                            weight=also.weight,
                        )
                        for also in query.also
                    ],
                )
                for query in queries
            ],
        )
        response = await call(self._stub.Search, request, timeout_s)
        return [self._hits(hits) for hits in response.hits]

    def _hits(self, hits: retrieval_pb2.Hits) -> Hits:
        """Without items that came a moment ago and are not known here yet."""
        row_of = self._catalogue.row_of
        rows = np.array([row_of.get(item_id, -1) for item_id in hits.item_ids], dtype=np.int32)
        known = rows >= 0
        return Hits(rows[known], _floats(hits.scores)[known], hits.matching)


class RemoteReranker:
    """`contracts.Reranker` over gRPC; rows are those of `catalogue`."""

    waits = True

    def __init__(self, channel: grpc.aio.Channel, catalogue: ItemIds) -> None:
        self._stub = reranker_pb2_grpc.RerankerServiceStub(channel)  # type: ignore[no-untyped-call]
        self._catalogue = catalogue

    async def rerank(self, release_id: str, request: RerankRequest, timeout_s: float) -> Ranking:
        message = reranker_pb2.RerankRequest(
            release=release_id,
            history=self._weighted(request.history_rows, request.history_weights),
            candidate_item_ids=ids_of(request.candidate_rows, self._catalogue),
            scores=[
                reranker_pb2.CandidateScores(part=name, values=pack_f32(values))
                for name, values in request.scores.items()
            ],
            known_items=request.known_items,
        )
        response = await call(self._stub.Rerank, message, timeout_s)
        return Ranking(
            scores=_floats(response.scores),
            parts={
                part.part: Part(_floats(part.values), _floats(part.contributions))
                for part in response.parts
            },
            segment=response.segment,
        )

    async def neighbours(
        self, release_id: str, rows: Rows, weights: F32, k: int, timeout_s: float
    ) -> Hits:
        message = reranker_pb2.NeighboursRequest(
            release=release_id, items=self._weighted(rows, weights), k=k
        )
        response = await call(self._stub.Neighbours, message, timeout_s)
        found = known_rows_of(response.item_ids, self._catalogue)
        return Hits(found, _floats(response.scores), matching=len(found))

    def _weighted(self, rows: Rows, weights: F32) -> list[reranker_pb2.WeightedItem]:
        return [
            reranker_pb2.WeightedItem(item_id=item_id, weight=weight)
            for item_id, weight in zip(ids_of(rows, self._catalogue), weights.tolist(), strict=True)
        ]


def _floats(data: bytes) -> F32:
    return np.frombuffer(data, dtype="<f4")
