"""One new item, from UpsertItems to the next answer; and how soon a deleted one is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import grpc
import numpy as np
import pytest

from hemline.v1 import catalog_pb2, common_pb2, event_pb2, recommender_pb2
from hemline.vectors import pack_f32
from shop import Shop
from small_world import CLIP_DIM, STYLES, item_contents, item_id, style_photo


def upsert(name: str, title: str = "Fernhill red dress", **more) -> catalog_pb2.UpsertItemsRequest:
    outer = {key: more.pop(key) for key in ("image", "content_vector", "encoder_id") if key in more}
    item = common_pb2.Item(item_id=name, title=title, **{"in_stock": True} | more)
    return catalog_pb2.UpsertItemsRequest(item=item, **outer)


async def send(shop: Shop, *messages: catalog_pb2.UpsertItemsRequest):
    async def stream() -> AsyncIterator[catalog_pb2.UpsertItemsRequest]:
        for message in messages:
            yield message

    return await shop.catalog.UpsertItems(stream())


async def found(shop: Shop, text: str, k: int = 200, **filters) -> dict[str, common_pb2.ScoredItem]:
    request = recommender_pb2.SearchRequest(text=text, k=k, **filters)
    response = await shop.recommender.Search(request)
    return {scored.item.item_id: scored for scored in response.items}


async def until(question: Callable, timeout_s: float = 60.0):
    """What the question is answered with once that is true of anything."""
    ends = time.monotonic() + timeout_s
    while not (answer := await question()):
        assert time.monotonic() < ends, "it never came true"
        await asyncio.sleep(0.005)
    return answer


async def test_a_new_item_is_found_recommended_and_clicked(shop: Shop) -> None:
    response = await send(shop, upsert("novel", "Novel boots", image=style_photo("boots")))
    assert (response.accepted, response.rejected) == (1, 0)
    scored = await until(lambda: first(shop, "boots", "novel"))
    assert scored.item.title == "Novel boots" and scored.score > 0.8

    click = event_pb2.Event(user_id="ada", item_id="novel", kind=common_pb2.EVENT_KIND_CLICK)
    await shop.events.RecordEvent(event_pb2.RecordEventRequest(event=click))
    await shop.applied("ada", 1)
    ada = await shop.users.get("ada")
    assert ada is not None and ada.vector is not None, "a click on a new item does not count"
    request = recommender_pb2.RecommendRequest(user_id="bob", k=20, context_item_ids=["novel"])
    response = await shop.recommender.Recommend(request)
    assert not response.info.degraded and response.info.personal
    assert sum(scored.item.item_id.startswith("boots") for scored in response.items) >= 10
    request = recommender_pb2.RecommendRequest(
        user_id="eve", k=20, context_item_ids=[item_id("boots", 7)]
    )
    response = await shop.recommender.Recommend(request)
    assert "novel" in [scored.item.item_id for scored in response.items]
    similar = await shop.recommender.SimilarItems(
        recommender_pb2.SimilarItemsRequest(item_id="novel", k=5)
    )
    assert all(scored.item.item_id.startswith("boots") for scored in similar.items)


async def first(shop: Shop, text: str, name: str) -> common_pb2.ScoredItem | None:
    return (await found(shop, text)).get(name)


async def test_a_deleted_item_is_gone_with_the_acknowledgement(shop: Shop) -> None:
    name = item_id("dress", 3)
    assert name in await found(shop, "dress")
    response = await shop.catalog.DeleteItems(
        catalog_pb2.DeleteItemsRequest(item_ids=[name, "nobody", name])
    )
    assert response.deleted == 1 and list(response.unknown_item_ids) == ["nobody"]
    for _ in range(20):  # and it does not come back with what the indexer says
        assert name not in await found(shop, "dress")
        recommended = await shop.recommender.Recommend(
            recommender_pb2.RecommendRequest(
                user_id="x", k=120, context_item_ids=[item_id("dress", 4)]
            )
        )
        assert name not in [scored.item.item_id for scored in recommended.items]
        await asyncio.sleep(0.005)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.recommender.SimilarItems(recommender_pb2.SimilarItemsRequest(item_id=name, k=5))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    got = await shop.catalog.GetItems(catalog_pb2.GetItemsRequest(item_ids=[name]))
    assert list(got.unknown_item_ids) == [name]
    await send(shop, upsert(name, "Fernhill dress again", image=style_photo("dress")))
    await until(lambda: first(shop, "dress", name))


async def test_stock_and_price_count_from_the_acknowledgement_on(shop: Shop) -> None:
    name = item_id("jeans", 4)
    title = (await found(shop, "jeans"))[name].item.title
    before = dict(shop.encoders.calls)
    await send(shop, upsert(name, title, in_stock=False, article_type="Jeans", colour="Red"))
    assert name not in await found(shop, "jeans")
    await send(
        shop,
        upsert(name, title, price=500.0, article_type="Jeans", colour="Red", gender="Men"),
    )
    dear = common_pb2.Filter(range=common_pb2.NumericRange(attribute="price", min=400))
    assert list(await found(shop, "jeans", filter=dear)) == [name]
    got = await shop.catalog.GetItems(catalog_pb2.GetItemsRequest(item_ids=[name, "nobody"]))
    assert got.items[0].item.price == 500.0 and got.release == shop.release.id
    assert shop.encoders.calls.get("clip_image", 0) == before.get("clip_image", 0)


async def test_an_item_keeps_its_photo_when_its_words_change(shop: Shop) -> None:
    await send(shop, upsert("novel", "watch", image=style_photo("boots")))
    await until(lambda: first(shop, "boots", "novel"))
    await send(shop, upsert("novel", "scarf"))

    async def moved() -> bool:
        scored = await first(shop, "scarf", "novel")
        return scored is not None and scored.score > 0.6

    await until(moved)
    assert (await found(shop, "boots"))["novel"].score > 0.6, "the photo was lost"
    assert (await found(shop, "watch"))["novel"].score < 0.2, "the old words are still there"


async def test_a_given_vector_is_not_encoded_again(shop: Shop) -> None:
    vector = item_contents()[STYLES.index("watch") * 20]
    message = upsert(
        "given", "anything", content_vector=pack_f32(vector), encoder_id="fake-encoder"
    )
    await send(shop, message)
    scored = await until(lambda: first(shop, "watch", "given"))
    assert scored.score > 0.7
    assert "clip_image" not in shop.encoders.calls


async def test_what_cannot_be_meant_is_refused_by_field_and_the_rest_goes_on(shop: Shop) -> None:
    good = pack_f32(item_contents()[0])
    wrong = {
        "item.item_id": upsert(""),
        "item.title": upsert("a", "  "),
        "item.price": upsert("b", price=float("nan")),
        "item.year": upsert("c", year=99_999),
        "item.currency": upsert("d", currency="euro"),
        "image": upsert("e", image=b"no image"),
        "encoder_id": upsert("f", content_vector=good, encoder_id="another"),
        "content_vector": upsert("g", content_vector=good[:-4], encoder_id="fake-encoder"),
        "item.brand": upsert("h", brand="x" * 200),
    }
    zeros = upsert("i", content_vector=bytes(4 * CLIP_DIM), encoder_id="fake-encoder")
    both = upsert("j", content_vector=good, encoder_id="fake-encoder", image=style_photo("jeans"))
    response = await send(shop, *wrong.values(), zeros, both, upsert("fine"))
    assert (response.accepted, response.rejected) == (1, 11)
    assert [e.field for e in response.errors] == [*wrong, "content_vector", "content_vector"]
    assert "norm 0" in response.errors[9].message and "not with one" in response.errors[10].message
    for request in (
        catalog_pb2.DeleteItemsRequest(),
        catalog_pb2.DeleteItemsRequest(item_ids=["a", ""]),
        catalog_pb2.DeleteItemsRequest(item_ids=["x"] * 3 + [f"{n}" for n in range(10_001)]),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await shop.catalog.DeleteItems(request)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_without_encoders_items_wait_and_deletions_do_not(shop: Shop) -> None:
    shop.encoders.down = True
    await send(shop, upsert("late", "late dress"))
    await shop.catalog.DeleteItems(catalog_pb2.DeleteItemsRequest(item_ids=[item_id("dress", 1)]))
    shop.encoders.down = False
    assert item_id("dress", 1) not in await found(shop, "dress")
    scored = await until(lambda: first(shop, "dress", "late"))
    assert scored.item.title == "late dress"


async def test_a_catalogue_of_nothing_has_an_empty_answer(shop: Shop) -> None:
    everything = [item_id(style, number) for style in STYLES for number in range(20)]
    await shop.catalog.DeleteItems(catalog_pb2.DeleteItemsRequest(item_ids=everything))
    assert await found(shop, "dress") == {}
    response = await shop.recommender.Recommend(
        recommender_pb2.RecommendRequest(user_id="ada", k=20)
    )
    assert len(response.items) == 0
    assert np.isfinite(response.info.candidates)
