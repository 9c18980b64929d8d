"""A key's calls see its tenant's items and those of none, and change no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
import pytest_asyncio

from hemline.catalogue import Catalogue, Item, items_table
from hemline.contracts import VectorQuery
from hemline.errors import InvalidInputError
from hemline.filters import AllOf, InStock, Not, OfTenant, Range
from hemline.gateway.api_keys import ApiKeys
from hemline.key_file import SCOPES, create_key
from hemline.releases import Release
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.servicer import RetrievalServicer
from hemline.statuses import error_from
from hemline.v1 import catalog_pb2, common_pb2, event_pb2, recommender_pb2, retrieval_pb2
from hemline.vectors import pack_f32
from hemline.wire import filter_to_proto, item_from_proto, item_to_proto
from open_shop import open_shop
from shop import Shop
from small_world import CLIP_DIM, item_id


@dataclass
class Keyed:
    """Calls to a shop that wants keys, with one of a tenant's."""

    shop: Shop
    key: str

    async def __call__(self, method: Any, request: Any) -> Any:
        return await partial(method, metadata=(("x-api-key", self.key),))(request)

    async def refused(self, method: Any, request: Any) -> Exception:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self(method, request)
        return error_from(error.value)

    async def upsert(self, name: str, **more: Any) -> catalog_pb2.UpsertItemsResponse:
        item = common_pb2.Item(item_id=name, title=f"new {name}", in_stock=True, **more)

        async def one() -> AsyncIterator[catalog_pb2.UpsertItemsRequest]:
            yield catalog_pb2.UpsertItemsRequest(item=item)

        return await self(self.shop.catalog.UpsertItems, one())

    async def known(self, *names: str) -> set[str]:
        request = catalog_pb2.GetItemsRequest(item_ids=names)
        answer = await self(self.shop.catalog.GetItems, request)
        return {each.item.item_id for each in answer.items}

    async def until_known(self, name: str) -> None:
        async with asyncio.timeout(60):
            while not await self.known(name):
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def tenants(small_release: Release, tmp_path: Path) -> AsyncIterator[tuple[Keyed, Keyed]]:
    path = tmp_path / "keys.json"
    keys = [create_key(path, tenant, SCOPES)[1] for tenant in ("acme", "bolt")]
    async with open_shop(small_release, tmp_path, ApiKeys(path)) as shop:
        yield Keyed(shop, keys[0]), Keyed(shop, keys[1])


def shown(answer: Any) -> set[str]:
    return {scored.item.item_id for scored in answer.items}


def of(numbers: set[int]) -> set[str]:
    return {item_id(style, n) for style in ("dress", "jeans", "boots") for n in numbers}


async def test_every_kind_of_answer_is_without_the_items_of_others(tenants) -> None:
    acme, bolt = tenants
    for caller, own, other in ((acme, 9, 10), (bolt, 10, 9)):
        recommender = caller.shop.recommender
        answers = [
            await caller(
                recommender.Recommend, recommender_pb2.RecommendRequest(user_id="u", k=114)
            ),
            await caller(recommender.Search, recommender_pb2.SearchRequest(text="dress", k=114)),
            await caller(
                recommender.SimilarItems,
                recommender_pb2.SimilarItemsRequest(item_id=item_id("dress", own), k=114),
            ),
        ]
        for answer in answers:
            assert not shown(answer) & of({other})
            assert shown(answer) >= of({own}) - {item_id("dress", own)}
        assert await caller.known(*of({3, 9, 10})) == of({3, own})


async def test_items_of_others_are_as_unknown_as_those_that_are_not_there(tenants) -> None:
    acme, bolt = tenants
    theirs = item_id("boots", 10)
    similar = recommender_pb2.SimilarItemsRequest(item_id=theirs, k=3)
    missing = recommender_pb2.SimilarItemsRequest(item_id="boots-xx", k=3)
    told = [
        str(await acme.refused(acme.shop.recommender.SimilarItems, request))
        for request in (similar, missing)
    ]
    assert told[0].replace(theirs, "") == told[1].replace("boots-xx", "")
    context = recommender_pb2.RecommendRequest(
        user_id="u", k=3, context_item_ids=[item_id("dress", 3), theirs]
    )
    error = await acme.refused(acme.shop.recommender.Recommend, context)
    assert str(error) == f"context_item_ids[1]: unknown item {theirs!r}"
    click = event_pb2.RecordEventRequest(
        event=event_pb2.Event(user_id="u", item_id=theirs, kind=common_pb2.EVENT_KIND_CLICK)
    )
    error = await acme.refused(acme.shop.events.RecordEvent, click)
    assert str(error) == f"event.item_id: unknown item {theirs!r}"
    await bolt(bolt.shop.events.RecordEvent, click)


async def test_a_filter_for_another_tenant_is_refused_and_for_one_s_own_is_not(tenants) -> None:
    acme, _ = tenants
    for condition in (OfTenant("bolt"), AllOf((Not(OfTenant("bolt")), InStock()))):
        request = recommender_pb2.SearchRequest(
            text="dress", k=5, filter=filter_to_proto(condition)
        )
        error = await acme.refused(acme.shop.recommender.Search, request)
        assert isinstance(error, InvalidInputError) and error.field == "filter.tenant"
        assert "is 'bolt', and this API key is of 'acme'" in str(error)
    request.filter.CopyFrom(filter_to_proto(Not(OfTenant("acme"))))
    assert not (await acme(acme.shop.recommender.Search, request)).items


async def test_a_filter_as_deep_as_is_allowed_is_still_so_with_ours_around_it(tenants) -> None:
    acme, _ = tenants
    condition: Any = Range("price", 0.0, 1000.0)
    for _ in range(8):
        condition = Not(condition)
    request = recommender_pb2.SearchRequest(text="dress", k=5, filter=filter_to_proto(condition))
    assert len((await acme(acme.shop.recommender.Search, request)).items) == 5
    request.filter.CopyFrom(filter_to_proto(Not(condition)))
    error = await acme.refused(acme.shop.recommender.Search, request)
    assert "is nested deeper than 8" in str(error)


async def test_new_items_of_a_tenant_are_its_own_and_shared_ones_everybody_s(tenants) -> None:
    acme, bolt = tenants
    assert (await acme.upsert("mine", tenant="acme")).accepted == 1
    assert (await acme.upsert("ours")).accepted == 1
    await acme.until_known("mine")
    await bolt.until_known("ours")
    assert await bolt.known("mine", "ours") == {"ours"}


async def test_nobody_takes_changes_or_deletes_what_is_another_s(tenants) -> None:
    acme, bolt = tenants
    theirs = item_id("scarf", 10)
    for name, more, field in (
        ("new", {"tenant": "bolt"}, "item.tenant"),
        (theirs, {}, "item.item_id"),
        (theirs, {"tenant": "acme"}, "item.item_id"),
        ("new", {"tenant": "no spaces"}, "item.tenant"),
    ):
        answer = await acme.upsert(name, **more)
        assert (answer.accepted, answer.rejected) == (0, 1)
        assert answer.errors[0].field == field
    request = catalog_pb2.DeleteItemsRequest(item_ids=[theirs, "nothing"])
    answer = await acme(acme.shop.catalog.DeleteItems, request)
    assert (answer.deleted, list(answer.unknown_item_ids)) == (0, [theirs, "nothing"])
    assert await bolt.known(theirs) == {theirs}
    assert (await bolt(bolt.shop.catalog.DeleteItems, request)).deleted == 1


async def test_without_keys_everybody_sees_and_changes_everything(shop: Shop) -> None:
    request = recommender_pb2.SearchRequest(text="dress", k=19)
    answer = await shop.recommender.Search(request)
    assert shown(answer) >= {item_id("dress", 9), item_id("dress", 10)}
    request.filter.tenant = "bolt"
    answer = await shop.recommender.Search(request)
    assert item_id("dress", 10) in shown(answer) and item_id("dress", 9) not in shown(answer)


def test_a_search_done_for_one_tenant_never_asks_for_another_s(small_release: Release) -> None:
    retrieval = FlatRetrieval(small_release)
    request = retrieval_pb2.RetrievalServiceSearchRequest(
        release=small_release.id,
        tenant="acme",
        queries=[
            retrieval_pb2.VectorQuery(
                space=retrieval_pb2.VECTOR_SPACE_CONTENT,
                vector=pack_f32(np.eye(CLIP_DIM)[0]),
                dim=CLIP_DIM,
                k=5,
                filter=filter_to_proto(AllOf((OfTenant("bolt"),))),
            )
        ],
    )
    with pytest.raises(InvalidInputError) as error:
        RetrievalServicer(retrieval).Search(request, context=None)
    retrieval.close()
    assert error.value.field == "queries[0].filter.tenant"


async def test_a_tenant_s_name_must_be_one(small_release: Release) -> None:
    retrieval = FlatRetrieval(small_release)
    vector = np.eye(CLIP_DIM, dtype=np.float32)[0]
    for name in ("", "x" * 65):
        with pytest.raises(InvalidInputError, match="needs 1 to 64 characters"):
            query = VectorQuery("content", vector, 5, OfTenant(name))
            await retrieval.search(small_release.id, [query], 10.0)
    retrieval.close()


def test_catalogues_with_and_without_tenants_are_read(tmp_path: Path) -> None:
    items = [Item("a", "A", tenant="acme"), Item("b", "B")]
    table = items_table(items)
    assert "tenant" in table.column_names and "tenant" not in items_table(items[1:]).column_names
    assert list(Catalogue.from_table(table).items()) == items
    older = Catalogue.from_table(table.drop_columns(["tenant"]))
    assert [item.tenant for item in older.items()] == [None, None]
    assert older.codes("tenant").tolist() == [-1, -1]
    assert [item_from_proto(item_to_proto(item)) for item in items] == items
    assert pa.types.is_string(table["tenant"].type)
