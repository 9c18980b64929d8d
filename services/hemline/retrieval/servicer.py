"""RetrievalService over gRPC: ids on the wire, rows inside."""

from __future__ import annotations

from typing import Any

import numpy as np

from hemline.contracts import Space, VectorQuery, WeightedVector
from hemline.errors import InvalidInputError, NotBuiltError
from hemline.filters import WRAPPED, Filter, tenants_named
from hemline.live_change import UNKNOWN, Change
from hemline.live_items import LiveItems
from hemline.live_record import change_from_proto
from hemline.retrieval.flip import ReleaseLoader
from hemline.retrieval.index import FlatRetrieval
from hemline.rpc import time_left_s
from hemline.v1 import common_pb2, retrieval_pb2_grpc
from hemline.v1 import retrieval_pb2 as pb
from hemline.vectors import pack_f32, unpack_f32
from hemline.wire import filter_from_proto, ids_of, known_rows_of

_NORM_OFF = 1e-2  # vectors that were stored in 16 bits are welcome

SPACES: dict[int, Space] = {
    pb.VECTOR_SPACE_TOWER: "tower",
    pb.VECTOR_SPACE_CONTENT: "content",
    pb.VECTOR_SPACE_IMAGE: "image",
    pb.VECTOR_SPACE_TEXT: "text",
}


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    def __init__(self, retrieval: FlatRetrieval, loader: ReleaseLoader | None = None) -> None:
        """loader: None where the release stays what it is."""
        self._retrieval = retrieval
        self._loader = loader

    def Search(
        self, request: pb.RetrievalServiceSearchRequest, context: Any
    ) -> pb.RetrievalServiceSearchResponse:
        items = self._retrieval.items_of(request.release)
        queries = [
            _query(message, f"queries[{place}]", items, request.tenant)
            for place, message in enumerate(request.queries)
        ]
        hits = self._retrieval.search_blocking(
            request.release, queries, time_left_s(context), request.tenant
        )
        return pb.RetrievalServiceSearchResponse(
            release=request.release,
            hits=[
                pb.Hits(
                    item_ids=ids_of(found.rows, items),
                    scores=pack_f32(found.scores),
                    matching=found.matching,
                )
                for found in hits
            ],
        )

    async def Stats(self, request: pb.StatsRequest, context: Any) -> pb.StatsResponse:
        view = self._retrieval.view
        return pb.StatsResponse(
            release=view.id,
            loaded_releases=[items.release.id for items in self._retrieval.loaded],
            items=view.count,
            deleted=len(view) - view.count,
            dims={space: self._retrieval.dim(space) for space in view.release.spaces},
            index_kind=self._retrieval.indexes.kind,
            bytes=self._retrieval.memory_bytes(),
        )

    async def Upsert(self, request: pb.UpsertRequest, context: Any) -> pb.UpsertResponse:
        items = self._retrieval.items_of(request.release)
        changes = []
        for place, message in enumerate(request.items):
            try:
                change = change_from_proto(message, UNKNOWN)
                items.check(change)
            except InvalidInputError as error:
                raise InvalidInputError(f"items[{place}].{error.field}", error.reason) from error
            changes.append(change)
        return pb.UpsertResponse(upserted=items.apply(changes))

    async def Delete(self, request: pb.DeleteRequest, context: Any) -> pb.DeleteResponse:
        changes = [Change(item_id, None) for item_id in request.item_ids]
        of_each = [items.apply(changes) for items in self._retrieval.loaded]
        return pb.DeleteResponse(deleted=of_each[-1])

    async def LoadRelease(
        self, request: pb.LoadReleaseRequest, context: Any
    ) -> pb.LoadReleaseResponse:
        if self._loader is None:
            raise NotBuiltError("this retrieval serves the release it was started with")
        items = await self._loader.load(request.release)
        return pb.LoadReleaseResponse(items=items.view.count)


def _query(message: pb.VectorQuery, field: str, items: LiveItems, tenant: str) -> VectorQuery:
    first = _vector(message, field)
    return VectorQuery(
        space=first.space,
        vector=first.vector,
        k=message.k,
        filter=_filter(message.filter, f"{field}.filter", tenant),
        exclude=known_rows_of(message.exclude_item_ids, items),
        collapse_variants=message.collapse_variants,
        weight=message.weight or 1.0,
        also=tuple(
            _vector(also, f"{field}.also[{place}]") for place, also in enumerate(message.also)
        ),
    )


def _filter(message: common_pb2.Filter, field: str, tenant: str) -> Filter | None:
    condition = filter_from_proto(message, field, WRAPPED)
    if tenant:
        for other in tenants_named(condition) - {tenant}:
            raise InvalidInputError(
                f"{field}.tenant", f"is {other!r}, and the search is done for {tenant!r}"
            )
    return condition


def _vector(message: pb.VectorQuery | pb.WeightedVector, field: str) -> WeightedVector:
    if message.space not in SPACES:
        raise InvalidInputError(f"{field}.space", "must be TOWER, CONTENT, IMAGE or TEXT")
    vector = unpack_f32(message.vector, message.dim, f"{field}.vector")
    if len(vector) != 1:
        raise InvalidInputError(f"{field}.vector", f"holds {len(vector)} vectors, not one")
    norm = float(np.linalg.norm(vector[0]))
    if abs(norm - 1.0) > _NORM_OFF:
        raise InvalidInputError(f"{field}.vector", f"has norm {norm:g}, wanted 1")
    return WeightedVector(SPACES[message.space], np.ascontiguousarray(vector[0]), message.weight)
