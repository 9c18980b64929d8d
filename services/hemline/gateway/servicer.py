"""RecommenderService over gRPC: requests checked, answers put into messages.

Everything a caller can get wrong is refused here, with the field named.
"""

from __future__ import annotations

import time
from typing import Any

from hemline.errors import InvalidInputError, NotFoundError
from hemline.event_log import EventLog
from hemline.gateway.answer import Answer, RecommendQuery
from hemline.gateway.answer_wire import ItemWriter
from hemline.gateway.checks import (
    MAX_ID,
    check_k,
    check_share,
    check_text,
    request_id_or_new,
)
from hemline.gateway.exposures import ExposureLog
from hemline.gateway.recommend import Stages, recommend
from hemline.gateway.search import SearchQuery, SimilarQuery, search, similar
from hemline.gateway.tenants import check_visible, own_filter, visible
from hemline.images import check_image_header
from hemline.live_view import LiveView
from hemline.rpc import time_left_s
from hemline.v1 import (
    common_pb2,
    event_pb2,
    recommender_pb2,
    recommender_pb2_grpc,
)
from hemline.wire import known_rows_of, rows_of

MAX_EXCLUDED = 10_000
MAX_CONTEXT = 100


class RecommenderServicer(recommender_pb2_grpc.RecommenderServiceServicer):
    """Answers, as encoded messages. Each is logged as an exposure after it has been sent."""

    def __init__(self, stages: Stages, log: EventLog) -> None:
        self._stages = stages
        self._exposures = ExposureLog(log)
        self._writer = ItemWriter(lambda: stages.shelf().release)

    async def Recommend(self, request: recommender_pb2.RecommendRequest, context: Any) -> bytes:
        catalogue = self._catalogue
        check_text("user_id", request.user_id, most=MAX_ID, least=1)
        check_text("surface", request.surface, most=64)
        _check_count("exclude_item_ids", len(request.exclude_item_ids), MAX_EXCLUDED)
        _check_count("context_item_ids", len(request.context_item_ids), MAX_CONTEXT)
        for place, item_id in enumerate(request.context_item_ids):
            check_visible(f"context_item_ids[{place}]", item_id, catalogue)
        query = RecommendQuery(
            user_id=request.user_id,
            k=check_k(request.k),
            request_id=request_id_or_new(request.request_id),
            filter=own_filter(request.filter),
            exclude=known_rows_of(request.exclude_item_ids, catalogue),
            context=rows_of(request.context_item_ids, catalogue, "context_item_ids"),
            include_seen=request.include_seen,
            diversity=(
                check_share("diversity", request.diversity)
                if request.HasField("diversity")
                else None
            ),
            surface=request.surface,
        )
        answer = await recommend(query, self._stages, time_left_s(context))
        self._log_exposure(query, answer)
        response = recommender_pb2.RecommendResponse(info=_info(answer))
        return response.SerializeToString() + self._writer.items(answer)

    async def Search(self, request: recommender_pb2.SearchRequest, context: Any) -> bytes:
        check_text("text", request.text, most=512)
        if not request.text.strip() and not request.image:
            raise InvalidInputError("text", "text or image must be given")
        if request.image:
            check_image_header(request.image)
        check_text("user_id", request.user_id, most=MAX_ID)
        query = SearchQuery(
            k=check_k(request.k),
            request_id=request_id_or_new(request.request_id),
            text=request.text.strip(),
            image=request.image,
            image_weight=(
                check_share("image_weight", request.image_weight)
                if request.HasField("image_weight")
                else 0.5
            ),
            filter=own_filter(request.filter),
            user_id=request.user_id,
            user_weight=check_share("user_weight", request.user_weight),
        )
        answer = await search(query, self._stages, time_left_s(context))
        response = recommender_pb2.SearchResponse(info=_info(answer))
        return response.SerializeToString() + self._writer.items(answer)

    async def SimilarItems(
        self, request: recommender_pb2.SimilarItemsRequest, context: Any
    ) -> bytes:
        check_text("item_id", request.item_id, most=MAX_ID, least=1)
        check_text("user_id", request.user_id, most=MAX_ID)
        row = self._catalogue.row(request.item_id)
        if row is None or not visible(row, self._catalogue):
            raise NotFoundError(f"item_id: unknown item {request.item_id!r}")
        query = SimilarQuery(
            row=row,
            k=check_k(request.k),
            request_id=request_id_or_new(request.request_id),
            filter=own_filter(request.filter),
            user_id=request.user_id,
            user_weight=check_share("user_weight", request.user_weight),
        )
        answer = await similar(query, self._stages, time_left_s(context))
        response = recommender_pb2.SimilarItemsResponse(info=_info(answer))
        return response.SerializeToString() + self._writer.items(answer)

    async def exposures_logged(self) -> None:
        """Wait until the exposures of all answers given so far are logged."""
        await self._exposures.flush()

    @property
    def _catalogue(self) -> LiveView:
        return self._stages.shelf().release

    def _log_exposure(self, query: RecommendQuery, answer: Answer) -> None:
        exposure = event_pb2.Exposure(
            request_id=answer.request_id,
            user_id=query.user_id,
            release=answer.release,
            arm=answer.arm,
            surface=query.surface,
            item_ids=[self._catalogue.item_ids[item.row] for item in answer.items],
            scores=[item.score for item in answer.items],
            degraded_stages=[degraded.stage for degraded in answer.degraded],
            answered_ms=int(time.time() * 1000),
        )
        self._exposures.add(exposure)


def _info(answer: Answer) -> common_pb2.AnswerInfo:
    return common_pb2.AnswerInfo(
        request_id=answer.request_id,
        release=answer.release,
        arm=answer.arm,
        degraded=[
            common_pb2.Degradation(stage=d.stage, reason=d.reason, fallback=d.fallback)
            for d in answer.degraded
        ],
        timings=[
            common_pb2.StageTiming(stage=stage, milliseconds=seconds * 1000)
            for stage, seconds in answer.timings.items()
        ],
        personal=answer.personal,
        candidates=answer.candidates,
        history_events=answer.history_events,
    )


def _check_count(field: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidInputError(field, f"{count} ids, at most {most} are allowed")
