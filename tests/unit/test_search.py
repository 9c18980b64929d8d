"""Search, similar items, imported history, and calls that are not built yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from hemline.gateway.recommend import Stages
from hemline.gateway.search import SearchQuery, search
from hemline.gateway.shelf import Shelves
from hemline.live_items import LiveItems
from hemline.reranker.rerank import BlendReranker
from hemline.retrieval.index import FlatRetrieval
from hemline.sqlite_user_state import SqliteUserStates
from hemline.v1 import admin_pb2, catalog_pb2, common_pb2, recommender_pb2, user_pb2
from hemline.v1.event_pb2 import Event, RecordEventRequest
from hemline.v1.recommender_pb2 import RecommendRequest, SearchRequest, SimilarItemsRequest
from hemline.v1.user_pb2 import ForeignItem, GetUserRequest, ImportHistoryRequest
from shop import Shop
from small_world import FakeEncoders, build_small_release, item_id, style_photo


def styles_of(response) -> list[str]:
    return [scored.item.item_id.split("-")[0] for scored in response.items]


async def refused(call, request) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(request)
    return error.value


async def test_a_text_finds_what_it_names(shop: Shop) -> None:
    response = await shop.recommender.Search(SearchRequest(text="red boots", k=10))
    assert styles_of(response) == ["boots"] * 10
    assert response.items[0].reason == "Matches “red boots”"


async def test_a_photo_finds_what_it_shows(shop: Shop) -> None:
    response = await shop.recommender.Search(SearchRequest(image=style_photo("watch"), k=10))
    assert styles_of(response) == ["watch"] * 10


async def test_text_and_photo_pull_by_their_weights(shop: Shop) -> None:
    photo = style_photo("watch")
    for weight, style in ((0.9, "watch"), (0.1, "boots")):
        request = SearchRequest(text="boots", image=photo, image_weight=weight, k=5)
        assert styles_of(await shop.recommender.Search(request)) == [style] * 5


async def test_a_photo_is_looked_for_in_whole_items_and_a_text_in_their_words(shop: Shop) -> None:
    """A dress whose words say watch is the best for a dress's photo and a watch's words."""
    message = catalog_pb2.UpsertItemsRequest(
        item=common_pb2.Item(item_id="odd", title="watch", in_stock=True),
        image=style_photo("dress"),
    )

    async def one() -> AsyncIterator[catalog_pb2.UpsertItemsRequest]:
        yield message

    await shop.catalog.UpsertItems(one())
    request = SearchRequest(text="watch", image=style_photo("dress"), k=3)
    async with asyncio.timeout(60):
        while True:
            response = await shop.recommender.Search(request)
            if response.items[0].item.item_id == "odd":
                break
            await asyncio.sleep(0.02)
    assert response.items[0].score == pytest.approx(0.5 * 0.5**0.5 + 0.5, abs=1e-4)
    assert response.items[1].score < 0.7


async def test_taste_joins_a_search_by_photo_and_text(shop: Shop) -> None:
    event = Event(user_id="eve", item_id=item_id("scarf", 3), kind=5)
    await shop.events.RecordEvent(RecordEventRequest(event=event))
    await shop.applied("eve", 1)
    for weight, style in ((0.0, "watch"), (0.9, "scarf"), (1.0, "scarf")):
        request = SearchRequest(
            text="watch", image=style_photo("watch"), k=5, user_id="eve", user_weight=weight
        )
        response = await shop.recommender.Search(request)
        assert styles_of(response) == [style] * 5
        assert response.info.personal == (weight > 0)


async def test_a_release_without_photos_and_words_apart_mixes_them(tmp_path: Path) -> None:
    release = build_small_release(tmp_path, apart=False)
    items, encoders = LiveItems(release), FakeEncoders()
    retrieval = FlatRetrieval(items)
    users = SqliteUserStates(tmp_path / "users.sqlite")
    stages = Stages(Shelves(items), users, encoders, retrieval, BlendReranker(release))
    for weight, style in ((0.9, "watch"), (0.1, "boots")):
        query = SearchQuery(5, "r", "boots", style_photo("watch"), image_weight=weight)
        answer = await search(query, stages, 10.0)
        found = [release.catalogue.item_ids[scored.row] for scored in answer.items]
        assert [name.split("-")[0] for name in found] == [style] * 5
    retrieval.close()
    await users.close()


async def test_similar_items_leave_the_item_and_its_other_sizes_out(shop: Shop) -> None:
    request = SimilarItemsRequest(item_id=item_id("dress", 19), k=17)
    response = await shop.recommender.SimilarItems(request)
    assert styles_of(response) == ["dress"] * 17
    found = {scored.item.item_id for scored in response.items}
    assert not found & {item_id("dress", 18), item_id("dress", 19), item_id("dress", 0)}


async def test_similar_to_nothing_is_not_found(shop: Shop) -> None:
    request = SimilarItemsRequest(item_id="ghost", k=5)
    error = await refused(shop.recommender.SimilarItems, request)
    assert error.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (SearchRequest(k=5), "text"),
        (SearchRequest(text="   ", k=5), "text"),
        (SearchRequest(text="x" * 513, k=5), "text"),
        (SearchRequest(text="x", k=0), "k"),
        (SearchRequest(image=b"not an image", k=5), "image"),
        (SearchRequest(image=style_photo("watch")[:40], k=5), "image"),
        (SearchRequest(image=b"GIF89a" + bytes(100), k=5), "image"),
        (SearchRequest(text="x", k=5, image_weight=2.0), "image_weight"),
    ],
)
async def test_bad_searches_are_refused_with_the_field_named(
    shop: Shop, request_: SearchRequest, field: str
) -> None:
    error = await refused(shop.recommender.Search, request_)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith(field)


async def test_a_search_without_triton_is_unavailable_and_says_why(shop: Shop) -> None:
    shop.encoders.down = True
    error = await refused(shop.recommender.Search, SearchRequest(text="boots", k=5))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "clip_text unavailable" in error.details()


async def test_history_from_elsewhere_makes_the_next_answer_personal(shop: Shop) -> None:
    items = [
        ForeignItem(title="Vintage scarf", category="Scarves", image=style_photo("scarf")),
        ForeignItem(title="Wool scarf", price=40, currency="EUR", weight=5),
    ]
    response = await shop.user.ImportHistory(ImportHistoryRequest(user_id="mia", items=items))
    assert response.accepted == 2
    assert not response.errors
    await shop.applied("mia", 1)
    answer = await shop.recommender.Recommend(RecommendRequest(user_id="mia", k=10))
    assert answer.info.personal
    assert styles_of(answer).count("scarf") >= 8
    assert any(item.reason == "Close to the style you brought with you" for item in answer.items)
    user = await shop.user.GetUser(GetUserRequest(user_id="mia"))
    assert (user.imported_items, len(user.history)) == (2, 0)


async def test_the_same_import_counts_once_and_a_new_one_adds_up(shop: Shop) -> None:
    scarf = [ForeignItem(title="scarf")]
    for import_id in ("first", "first", "second"):
        request = ImportHistoryRequest(user_id="mia", items=scarf, import_id=import_id)
        await shop.user.ImportHistory(request)
    await shop.applied("mia", 2)
    user = await shop.user.GetUser(GetUserRequest(user_id="mia"))
    assert user.imported_items == 2
    request = ImportHistoryRequest(user_id="mia", items=scarf, import_id="third", replace=True)
    await shop.user.ImportHistory(request)
    await shop.applied("mia", 3)
    assert (await shop.user.GetUser(GetUserRequest(user_id="mia"))).imported_items == 1


async def test_a_click_still_moves_the_answer_of_a_shopper_with_a_long_past(shop: Shop) -> None:
    past = [ForeignItem(title="scarf", weight=5) for _ in range(100)]
    await shop.user.ImportHistory(ImportHistoryRequest(user_id="mia", items=past))
    await shop.applied("mia", 1)
    before = await shop.recommender.Recommend(RecommendRequest(user_id="mia", k=10))
    for number in range(5):
        event = Event(user_id="mia", item_id=item_id("watch", number + 1), kind=5)
        await shop.events.RecordEvent(RecordEventRequest(event=event))
    await shop.applied("mia", 6)
    after = await shop.recommender.Recommend(RecommendRequest(user_id="mia", k=10))
    assert styles_of(before).count("watch") == 0
    assert styles_of(after).count("watch") >= 5


async def test_foreign_items_that_cannot_be_used_are_named_and_the_rest_goes_in(
    shop: Shop,
) -> None:
    broken = style_photo("scarf")[:50]
    items = [
        ForeignItem(),
        ForeignItem(title="scarf"),
        ForeignItem(image=b"nonsense"),
        ForeignItem(image=broken),
        ForeignItem(title="scarf", weight=-1),
    ]
    response = await shop.user.ImportHistory(ImportHistoryRequest(user_id="mia", items=items))
    assert response.accepted == 1
    assert [(error.index, error.field) for error in response.errors] == [
        (0, "title"),
        (2, "image"),
        (3, "image"),
        (4, "weight"),
    ]


async def test_an_import_without_one_usable_item_is_refused(shop: Shop) -> None:
    request = ImportHistoryRequest(user_id="mia", items=[ForeignItem(image=b"nonsense")])
    error = await refused(shop.user.ImportHistory, request)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("items[0].image: ")


async def test_an_import_without_triton_is_unavailable_and_leaves_no_trace(shop: Shop) -> None:
    shop.encoders.down = True
    request = ImportHistoryRequest(user_id="mia", items=[ForeignItem(title="scarf")])
    error = await refused(shop.user.ImportHistory, request)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert await shop.users.get("mia") is None


async def test_an_unknown_user_is_no_error(shop: Shop) -> None:
    user = await shop.user.GetUser(GetUserRequest(user_id="nobody"))
    assert not user.known


async def test_calls_that_are_not_built_yet_say_so(shop: Shop) -> None:
    fbt = recommender_pb2.FrequentlyBoughtTogetherRequest(item_ids=["a"], k=1)
    calls = [
        (shop.recommender.FrequentlyBoughtTogether, fbt),
        (shop.recommender.Explain, recommender_pb2.ExplainRequest()),
        (shop.user.EraseUser, user_pb2.EraseUserRequest(user_id="ada")),
        (shop.admin.ListReleases, admin_pb2.ListReleasesRequest()),
    ]
    for call, request in calls:
        error = await refused(call, request)
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "not built yet" in error.details()


async def test_the_gateway_tells_its_health_and_its_services(shop: Shop) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    health = health_pb2_grpc.HealthStub(shop.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(shop.channel)

    async def ask():
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async for reply in stub.ServerReflectionInfo(ask()):
        names = {service.name for service in reply.list_services_response.service}
    assert {f"hemline.v1.{name}Service" for name in ("Recommender", "Event", "User")} <= names
