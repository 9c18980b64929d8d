"""RetrievalService over gRPC: ids on the wire, rows inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemline.contracts import Space, VectorQuery
from hemline.errors import InvalidInputError, NotBuiltError, ReleaseError
from hemline.live_items import UNKNOWN, Change
from hemline.live_record import change_from_proto
from hemline.retrieval.index import FlatRetrieval
from hemline.rpc import time_left_s
from hemline.v1 import retrieval_pb2 as pb
from hemline.v1 import retrieval_pb2_grpc
from hemline.vectors import pack_f32, unpack_f32
from hemline.wire import filter_from_proto, ids_of, known_rows_of

SPACES: dict[int, Space] = {pb.VECTOR_SPACE_TOWER: "tower", pb.VECTOR_SPACE_CONTENT: "content"}


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    def __init__(self, retrieval: FlatRetrieval) -> None:
        self._retrieval = retrieval

    async def Search(
        self, request: pb.RetrievalServiceSearchRequest, context: Any
    ) -> pb.RetrievalServiceSearchResponse:
        queries = [
            self._query(message, f"queries[{place}]")
            for place, message in enumerate(request.queries)
        ]
        hits = await self._retrieval.search(request.release, queries, time_left_s(context))
        return pb.RetrievalServiceSearchResponse(
            release=self._retrieval.release.id,
            hits=[
                pb.Hits(
                    item_ids=ids_of(found.rows, self._retrieval.view),
                    scores=pack_f32(found.scores),
                    matching=found.matching,
                )
                for found in hits
            ],
        )

    async def Stats(self, request: pb.StatsRequest, context: Any) -> pb.StatsResponse:
        release = self._retrieval.release
        return pb.StatsResponse(
            release=release.id,
            loaded_releases=[release.id],
            items=self._retrieval.view.count,
            dims={space: self._retrieval.dim(space) for space in SPACES.values()},
            index_kind="flat",
            bytes=self._retrieval.memory_bytes(),
        )

    async def Upsert(self, request: pb.UpsertRequest, context: Any) -> pb.UpsertResponse:
        self._check_release(request.release)
        changes = []
        for place, message in enumerate(request.items):
            try:
                change = change_from_proto(message, UNKNOWN)
                self._retrieval.items.check(change)
            except InvalidInputError as error:
                raise InvalidInputError(f"items[{place}].{error.field}", error.reason) from error
            changes.append(change)
        return pb.UpsertResponse(upserted=self._retrieval.items.apply(changes))

    async def Delete(self, request: pb.DeleteRequest, context: Any) -> pb.DeleteResponse:
        changes = [Change(item_id, None) for item_id in request.item_ids]
        return pb.DeleteResponse(deleted=self._retrieval.items.apply(changes))

    async def LoadRelease(
        self, request: pb.LoadReleaseRequest, context: Any
    ) -> pb.LoadReleaseResponse:
        raise NotBuiltError("live release changes are not built yet; promote it and restart")

    def _check_release(self, release_id: str) -> None:
        current = self._retrieval.release.id
        if release_id != current:
            raise ReleaseError(f"retrieval serves release {current}, not {release_id!r}")

    def _query(self, message: pb.VectorQuery, field: str) -> VectorQuery:
        if message.space not in SPACES:
            raise InvalidInputError(f"{field}.space", "must be TOWER or CONTENT")
        vector = unpack_f32(message.vector, message.dim, f"{field}.vector")
        if len(vector) != 1:
            raise InvalidInputError(f"{field}.vector", f"holds {len(vector)} vectors, not one")
        return VectorQuery(
            space=SPACES[message.space],
            vector=np.ascontiguousarray(vector[0]),
            k=message.k,
            filter=filter_from_proto(message.filter, f"{field}.filter"),
            exclude=known_rows_of(message.exclude_item_ids, self._retrieval.view),
            collapse_variants=message.collapse_variants,
        )
