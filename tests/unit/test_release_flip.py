"""A retrieval changes its release without a gap, and never mixes two of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio

from hemline.contracts import VectorQuery
from hemline.errors import NotFoundError, ReleaseError
from hemline.live_following import Follower
from hemline.live_items import LiveItems
from hemline.releases import Release, open_release
from hemline.retrieval.flip import ReleaseLoader
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.servicer import RetrievalServicer
from hemline.rpc import Server, connect
from hemline.sqlite_event_log import SqliteEventLog
from hemline.v1 import retrieval_pb2 as pb
from hemline.v1.retrieval_pb2_grpc import (
    RetrievalServiceStub,
    add_RetrievalServiceServicer_to_server,
)
from hemline.vectors import pack_f32
from live_changes import new_state
from small_world import TOWER_DIM, build_small_release

QUERY = VectorQuery("tower", np.eye(TOWER_DIM, dtype=np.float32)[0], 5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases; the last is promoted."""
    root = tmp_path_factory.mktemp("releases")
    for _ in range(3):
        build_small_release(root)
    return root


def nth(root: Path, n: int) -> Release:
    (folder,) = root.glob(f"r{n:04d}-*")
    return open_release(root, folder.name)


@pytest_asyncio.fixture
async def retrieval(root: Path) -> AsyncIterator[FlatRetrieval]:
    retrieval = FlatRetrieval(nth(root, 1))
    yield retrieval
    retrieval.close()


async def test_searches_of_both_releases_are_answered_through_a_flip(
    root: Path, retrieval: FlatRetrieval
) -> None:
    one, two, three = (nth(root, n).id for n in (1, 2, 3))
    loader = ReleaseLoader(root, retrieval)
    answered = 0
    stop = asyncio.Event()

    async def ask() -> None:
        nonlocal answered
        while not stop.is_set():
            current = retrieval.release.id
            await retrieval.search(current, [QUERY], 60.0)
            answered += 1
            await asyncio.sleep(0)

    asking = asyncio.create_task(ask())
    with pytest.raises(ReleaseError, match=two):
        await retrieval.search(two, [QUERY], 60.0)
    await loader.load(two)
    assert retrieval.release.id == two
    await retrieval.search(one, [QUERY], 60.0)  # a gateway that has not flipped yet
    await loader.load(three)
    await retrieval.search(two, [QUERY], 60.0)
    with pytest.raises(ReleaseError):
        await retrieval.search(one, [QUERY], 60.0)
    await loader.load(three)
    await loader.load(two)
    assert [items.release.id for items in retrieval.loaded] == [three, two]
    stop.set()
    await asking
    assert answered > 10


async def test_what_cannot_be_loaded_leaves_the_present_release_alone(
    root: Path, retrieval: FlatRetrieval
) -> None:
    before = retrieval.release.id
    with pytest.raises(NotFoundError, match="r0009"):
        await ReleaseLoader(root, retrieval).load("r0009-00000000")
    cramped = ReleaseLoader(root, retrieval, max_memory_bytes=retrieval.memory_bytes() + 1000)
    with pytest.raises(ReleaseError, match=r"needs about .* free of the bound set"):
        await cramped.load(nth(root, 2).id)
    assert retrieval.release.id == before
    assert len((await retrieval.search(before, [QUERY], 60.0))[0].rows) == 5


async def test_changes_of_one_release_never_show_in_another(root: Path, tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "events.sqlite")
    retrieval = FlatRetrieval(nth(root, 1))
    loader = ReleaseLoader(root, retrieval, lambda items: Follower(log, items))
    await loader.follow(retrieval.items)
    retrieval.items.apply([new_state("of-one")])
    await loader.load(nth(root, 2).id)
    assert retrieval.view.row("of-one") is None
    one = retrieval.items_of(nth(root, 1).id)
    assert isinstance(one, LiveItems) and one.view.row("of-one") is not None
    await loader.load(nth(root, 3).id)
    await loader.close()
    retrieval.close()
    await log.close()


async def test_over_the_wire_items_come_go_and_releases_change(
    root: Path, retrieval: FlatRetrieval
) -> None:
    server = Server("127.0.0.1:0")
    servicer = RetrievalServicer(retrieval, ReleaseLoader(root, retrieval))
    server.add(add_RetrievalServiceServicer_to_server, servicer, "hemline.v1.RetrievalService")
    await server.start()
    one, two = nth(root, 1).id, nth(root, 2).id
    change = new_state("new", seed=4)
    assert change.content is not None and change.tower is not None
    async with connect(f"127.0.0.1:{server.port}") as channel:
        stub = RetrievalServiceStub(channel)
        search = pb.RetrievalServiceSearchRequest(
            release=one,
            queries=[
                pb.VectorQuery(
                    space=pb.VECTOR_SPACE_TOWER, vector=pack_f32(change.tower), dim=TOWER_DIM, k=3
                )
            ],
        )
        item = pb.IndexedItem(
            content_vector=pack_f32(change.content), tower_vector=pack_f32(change.tower)
        )
        item.item.item_id, item.item.title, item.item.in_stock = "new", "New", True
        assert (await stub.Upsert(pb.UpsertRequest(release=one, items=[item]))).upserted == 1
        assert (await stub.Search(search)).hits[0].item_ids[0] == "new"
        assert (await stub.Delete(pb.DeleteRequest(item_ids=["new", "nobody"]))).deleted == 1
        assert "new" not in (await stub.Search(search)).hits[0].item_ids
        stats = await stub.Stats(pb.StatsRequest())
        assert (stats.release, stats.items, stats.deleted) == (one, 120, 1)

        item.tower_vector = item.tower_vector[:-4]
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Upsert(pb.UpsertRequest(release=one, items=[item]))
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "items[0].tower_vector" in (error.value.details() or "")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Upsert(pb.UpsertRequest(release="r0009-00000000", items=[item]))
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION

        assert (await stub.LoadRelease(pb.LoadReleaseRequest(release=two))).items == 120
        assert (await stub.Stats(pb.StatsRequest())).release == two
        assert (await stub.Search(search)).release == one
    await server.stop(0)
