"""One Recommend through the real gateway: who gets what, and what the answer says of itself."""

from __future__ import annotations

import grpc
import pytest

from hemline.v1 import common_pb2 as common
from hemline.v1.event_pb2 import Event, RecordEventRequest
from hemline.v1.recommender_pb2 import RecommendRequest
from shop import Shop
from small_world import STYLES, item_id


def styles_of(response) -> list[str]:
    return [scored.item.item_id.split("-")[0] for scored in response.items]


async def click(shop: Shop, user: str, item: str, kind=common.EVENT_KIND_CLICK) -> None:
    event = Event(user_id=user, item_id=item, kind=kind)
    await shop.events.RecordEvent(RecordEventRequest(event=event))


async def test_a_newcomer_gets_popular_items_and_is_told_so(shop: Shop) -> None:
    response = await shop.recommender.Recommend(RecommendRequest(user_id="nobody", k=10))
    assert len(response.items) == 10
    assert not response.info.personal
    assert not response.info.degraded
    assert response.info.release == shop.release.id
    assert {"popular", "trending"} >= {s for item in response.items for s in item.sources}
    assert {item.reason for item in response.items} <= {"Popular with shoppers", "Trending now"}


async def test_the_next_answer_after_a_click_is_about_what_was_clicked(shop: Shop) -> None:
    await click(shop, "ada", item_id("boots", 3))
    await shop.applied("ada", 1)
    response = await shop.recommender.Recommend(RecommendRequest(user_id="ada", k=10))
    assert response.info.personal
    assert response.info.history_events == 1
    assert styles_of(response).count("boots") >= 8
    assert item_id("boots", 3) not in [scored.item.item_id for scored in response.items]
    first = response.items[0]
    assert first.because_of_item_id == item_id("boots", 3)
    assert "Fernhill boots 3" in first.reason
    assert sum(part.contribution for part in first.parts) == pytest.approx(first.score, abs=1e-5)


async def test_the_stored_vector_spares_the_answer_a_call_to_triton(shop: Shop) -> None:
    await click(shop, "ada", item_id("boots", 3))
    await shop.applied("ada", 1)
    shop.encoders.calls.clear()
    await shop.recommender.Recommend(RecommendRequest(user_id="ada", k=5))
    assert shop.encoders.calls == {}


async def test_items_on_the_screen_count_without_being_stored(shop: Shop) -> None:
    request = RecommendRequest(user_id="eve", k=6, context_item_ids=[item_id("watch", 4)])
    response = await shop.recommender.Recommend(request)
    assert response.info.personal
    assert styles_of(response).count("watch") >= 5
    assert await shop.users.get("eve") is None


async def test_a_dislike_hides_the_item_and_pushes_its_style_away(shop: Shop) -> None:
    await click(shop, "ada", item_id("boots", 3))
    await click(shop, "ada", item_id("dress", 1), common.EVENT_KIND_DISLIKE)
    await shop.applied("ada", 2)
    response = await shop.recommender.Recommend(RecommendRequest(user_id="ada", k=20))
    assert item_id("dress", 1) not in [scored.item.item_id for scored in response.items]
    assert styles_of(response).count("dress") <= 2


async def test_filters_are_hard_and_answers_are_full_while_items_match(shop: Shop) -> None:
    await click(shop, "ada", item_id("boots", 3))
    await shop.applied("ada", 1)
    blue_scarves = common.Filter(
        all_of=common.FilterList(
            filters=[
                common.Filter(is_in=common.AttributeIn(attribute="colour", values=["blue"])),
                common.Filter(is_in=common.AttributeIn(attribute="article_type", values=["Scarf"])),
            ]
        )
    )
    request = RecommendRequest(user_id="ada", k=50, filter=blue_scarves)
    response = await shop.recommender.Recommend(request)
    assert {scored.item.item_id for scored in response.items} == {
        item_id("scarf", number) for number in (1, 5, 9, 13, 17)
    }


async def test_a_price_range_leaves_unknown_prices_out(shop: Shop) -> None:
    cheap = common.Filter(range=common.NumericRange(attribute="price", max=16))
    response = await shop.recommender.Recommend(RecommendRequest(user_id="x", k=100, filter=cheap))
    numbers = {int(scored.item.item_id.split("-")[1]) for scored in response.items}
    assert numbers == {1, 2, 3, 4, 6}  # 0 is out of stock, 5 has no price


async def test_every_eligible_product_is_shown_once_when_k_asks_for_all(shop: Shop) -> None:
    response = await shop.recommender.Recommend(RecommendRequest(user_id="x", k=500))
    ids = [scored.item.item_id for scored in response.items]
    assert len(ids) == len(set(ids)) == len(STYLES) * 18  # no 0, and one of the two sizes
    groups = [scored.item.variant_group for scored in response.items]
    assert len(groups) == len(set(groups))


async def test_excluded_items_and_out_of_stock_items_never_show(shop: Shop) -> None:
    everything = await shop.recommender.Recommend(RecommendRequest(user_id="x", k=500))
    first = everything.items[0].item.item_id
    request = RecommendRequest(user_id="x", k=500, exclude_item_ids=[first, "never heard of"])
    response = await shop.recommender.Recommend(request)
    ids = {scored.item.item_id for scored in response.items}
    assert first not in ids
    assert all(scored.item.in_stock for scored in response.items)


async def test_without_triton_the_answer_is_personal_and_names_what_is_missing(shop: Shop) -> None:
    shop.encoders.down = True
    await click(shop, "ada", item_id("boots", 3))
    await shop.applied("ada", 1)
    response = await shop.recommender.Recommend(RecommendRequest(user_id="ada", k=10))
    assert styles_of(response).count("boots") >= 8
    (degraded,) = response.info.degraded
    assert (degraded.stage, degraded.reason) == ("user_vector", "unavailable")
    assert degraded.fallback == "content space only"
    shop.encoders.down = False
    await click(shop, "ada", item_id("boots", 4))
    await shop.applied("ada", 2)
    healed = await shop.recommender.Recommend(RecommendRequest(user_id="ada", k=10))
    assert not healed.info.degraded


async def test_a_deadline_too_short_for_anything_still_gives_popular_items(shop: Shop) -> None:
    await click(shop, "ada", item_id("boots", 3))
    await shop.applied("ada", 1)
    from hemline.gateway.answer import RecommendQuery
    from hemline.gateway.recommend import Stages, recommend
    from hemline.gateway.shelf import Shelf
    from hemline.reranker.rerank import BlendReranker
    from hemline.retrieval.index import FlatRetrieval

    shelf = Shelf(shop.release)
    retrieval = FlatRetrieval(shop.release)
    stages = Stages(
        lambda: shelf, shop.users, shop.encoders, retrieval, BlendReranker(shop.release)
    )
    answer = await recommend(RecommendQuery("ada", 5, "r"), stages, deadline_s=0.0)
    retrieval.close()
    assert len(answer.items) == 5
    assert {degraded.reason for degraded in answer.degraded} == {"deadline"}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (RecommendRequest(user_id="", k=5), "user_id"),
        (RecommendRequest(user_id="u" * 129, k=5), "user_id"),
        (RecommendRequest(user_id="a\x00b", k=5), "user_id"),
        (RecommendRequest(user_id="u", k=0), "k"),
        (RecommendRequest(user_id="u", k=501), "k"),
        (RecommendRequest(user_id="u", k=5, diversity=1.5), "diversity"),
        (RecommendRequest(user_id="u", k=5, context_item_ids=["ghost"]), "context_item_ids[0]"),
        (
            RecommendRequest(
                user_id="u",
                k=5,
                filter=common.Filter(is_in=common.AttributeIn(attribute="shape", values=["x"])),
            ),
            "filter.is_in.attribute",
        ),
        (
            RecommendRequest(
                user_id="u",
                k=5,
                filter=common.Filter(range=common.NumericRange(attribute="price", min=9, max=3)),
            ),
            "filter.range",
        ),
    ],
)
async def test_bad_requests_are_refused_with_the_field_named(
    shop: Shop, request_: RecommendRequest, field: str
) -> None:
    from google.rpc import error_details_pb2, status_pb2
    from grpc_status.rpc_status import from_call  # noqa: F401  (documents the detail's type)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await shop.recommender.Recommend(request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(f"{field}: ")
    metadata = dict(refused.value.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    bad = error_details_pb2.BadRequest()
    status.details[0].Unpack(bad)
    assert bad.field_violations[0].field == field
