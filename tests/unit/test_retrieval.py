"""Retrieval is exact under every filter, in process and over gRPC alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brute_force import matches
from hemline.contracts import RerankRequest, VectorQuery
from hemline.errors import DeadlineError, InvalidInputError, ReleaseError, UnavailableError
from hemline.filters import (
    AllOf,
    Filter,
    In,
    InStock,
    Not,
    check_filter,
    filter_mask,
)
from hemline.gateway.remotes import RemoteReranker, RemoteRetrieval
from hemline.releases import Release
from hemline.reranker.rerank import BlendReranker
from hemline.reranker.servicer import RerankerServicer
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.servicer import RetrievalServicer
from hemline.rpc import Server, connect
from hemline.v1.reranker_pb2_grpc import add_RerankerServiceServicer_to_server
from hemline.v1.retrieval_pb2_grpc import add_RetrievalServiceServicer_to_server
from hemline.vectors import normalise
from hemline.wire import filter_from_proto, filter_to_proto
from shapes import filters
from small_world import CLIP_DIM, TOWER_DIM


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(condition=filters, seed=st.integers(0, 2**32 - 1), k=st.integers(1, 130), data=st.data())
def test_search_equals_brute_force_under_every_filter(
    retrieval: FlatRetrieval, condition: Filter, seed: int, k: int, data: st.DataObject
) -> None:
    release = retrieval.release
    n = len(release.catalogue)
    vector = normalise(np.random.default_rng(seed).normal(size=CLIP_DIM))
    hidden = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=30)), dtype=np.int32)
    query = VectorQuery("content", vector, k, condition, hidden)
    (hits,) = asyncio.run(retrieval.search(release.id, [query], 10.0))

    allowed = [
        row
        for row in range(n)
        if row not in hidden and matches(condition, release.catalogue.item(row))
    ]
    scores = release.item_content[allowed] @ vector
    assert hits.matching == len(allowed)
    assert len(hits.rows) == min(k, len(allowed)) == len(set(hits.rows.tolist()))
    assert set(hits.rows.tolist()) <= set(allowed)
    best = np.sort(scores)[::-1][: len(hits.rows)]
    np.testing.assert_allclose(hits.scores, best, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(condition=filters)
def test_filters_survive_the_wire(small_release: Release, condition: Filter) -> None:
    message = filter_to_proto(condition)
    back = filter_from_proto(type(message).FromString(message.SerializeToString()))
    assert back is not None
    same = filter_mask(back, small_release.catalogue) == filter_mask(
        condition, small_release.catalogue
    )
    assert same.all()


def test_collapsing_variants_keeps_the_best_of_each_product(retrieval: FlatRetrieval) -> None:
    release = retrieval.release
    vector = np.asarray(release.item_content[18])  # one of two sizes of a dress
    query = VectorQuery("content", vector, 120, collapse_variants=True)
    (hits,) = asyncio.run(retrieval.search(release.id, [query], 10.0))
    groups = release.catalogue.variant_group[hits.rows]
    assert len(set(groups.tolist())) == len(hits.rows) == 120 - 6
    assert hits.rows[0] == 18
    assert 19 not in hits.rows


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (VectorQuery("content", np.ones(3, np.float32), 5), "queries[0].vector"),
        (VectorQuery("tower", np.full(TOWER_DIM, np.nan, np.float32), 5), "queries[0].vector"),
        (VectorQuery("tower", np.ones(TOWER_DIM, np.float32), 0), "queries[0].k"),
        (VectorQuery("tower", np.ones(TOWER_DIM, np.float32), 1001), "queries[0].k"),
        (
            VectorQuery("tower", np.ones(TOWER_DIM, np.float32), 5, In("size", ("S",))),
            "queries[0].filter.is_in.attribute",
        ),
    ],
)
async def test_queries_that_cannot_be_meant_are_refused(
    retrieval: FlatRetrieval, query: VectorQuery, field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await retrieval.search(retrieval.release.id, [query], 10.0)
    assert refused.value.field == field


def test_filters_nested_too_deep_are_refused() -> None:
    condition: Filter = InStock()
    for _ in range(20):
        condition = Not(condition)
    with pytest.raises(InvalidInputError, match="nested deeper"):
        check_filter(condition)


async def test_another_release_is_refused(retrieval: FlatRetrieval) -> None:
    query = VectorQuery("tower", np.ones(TOWER_DIM, np.float32), 5)
    with pytest.raises(ReleaseError, match="r9999-00000000"):
        await retrieval.search("r9999-00000000", [query], 10.0)


@pytest.fixture(scope="module")
def retrieval(small_release: Release):
    retrieval = FlatRetrieval(small_release)
    yield retrieval
    retrieval.close()


@pytest_asyncio.fixture
async def remote(small_release: Release, retrieval: FlatRetrieval) -> AsyncIterator[Server]:
    server = Server("127.0.0.1:0")
    server.add(
        add_RetrievalServiceServicer_to_server,
        RetrievalServicer(retrieval),
        "hemline.v1.RetrievalService",
    )
    server.add(
        add_RerankerServiceServicer_to_server,
        RerankerServicer(BlendReranker(small_release)),
        "hemline.v1.RerankerService",
    )
    await server.start()
    yield server
    await server.stop(0)


async def test_behind_a_channel_the_answers_are_the_same(
    remote: Server, small_release: Release, retrieval: FlatRetrieval
) -> None:
    rng = np.random.default_rng(3)
    queries = [
        VectorQuery(
            "content",
            normalise(rng.normal(size=CLIP_DIM)),
            7,
            AllOf((InStock(), In("colour", ("red", "blue")))),
            np.array([1, 5], dtype=np.int32),
        ),
        VectorQuery("tower", normalise(rng.normal(size=TOWER_DIM)), 9, collapse_variants=True),
    ]
    reranker = BlendReranker(small_release)
    history = np.array([3, 4, 45], dtype=np.int32)
    weights = np.array([1.0, 2.0, -2.0], dtype=np.float32)
    candidates = np.array([5, 6, 7, 50, 90], dtype=np.int32)
    request = RerankRequest(
        history,
        weights,
        candidates,
        {"tower": np.array([0.1, np.nan, 0.3, 0.2, 0.5], dtype=np.float32)},
        known_items=3,
    )
    async with connect(f"127.0.0.1:{remote.port}") as channel:
        far = RemoteRetrieval(channel, small_release.catalogue)
        here = await retrieval.search(small_release.id, queries, 10.0)
        there = await far.search(small_release.id, queries, 10.0)
        for a, b in zip(here, there, strict=True):
            assert a.rows.tolist() == b.rows.tolist()
            np.testing.assert_array_equal(a.scores, b.scores)
            assert a.matching == b.matching

        far_reranker = RemoteReranker(channel, small_release.catalogue)
        near_ranking = await reranker.rerank(small_release.id, request, 10.0)
        far_ranking = await far_reranker.rerank(small_release.id, request, 10.0)
        np.testing.assert_array_equal(near_ranking.scores, far_ranking.scores)
        assert near_ranking.parts.keys() == far_ranking.parts.keys()
        assert near_ranking.segment == far_ranking.segment == "2-4"
        near = await reranker.neighbours(small_release.id, history, weights, 10, 10.0)
        remote_hits = await far_reranker.neighbours(small_release.id, history, weights, 10, 10.0)
        assert near.rows.tolist() == remote_hits.rows.tolist()


async def test_errors_keep_their_type_across_the_wire(
    remote: Server, small_release: Release
) -> None:
    async with connect(f"127.0.0.1:{remote.port}") as channel:
        far = RemoteRetrieval(channel, small_release.catalogue)
        wrong = VectorQuery("tower", np.ones(3, np.float32), 5)
        with pytest.raises(InvalidInputError) as refused:
            await far.search(small_release.id, [wrong], 10.0)
        assert refused.value.field == "queries[0].vector"
        long = VectorQuery("tower", np.ones(TOWER_DIM, np.float32), 5)
        with pytest.raises(InvalidInputError, match="has norm 4, wanted 1") as refused:
            await far.search(small_release.id, [long], 10.0)
        assert refused.value.field == "queries[0].vector"
        right = VectorQuery("tower", normalise(np.ones(TOWER_DIM)), 5)
        with pytest.raises(ReleaseError):
            await far.search("r9999-00000000", [right], 10.0)


async def test_a_service_that_is_gone_is_unavailable(small_release: Release) -> None:
    async with connect("127.0.0.1:1") as channel:
        far = RemoteRetrieval(channel, small_release.catalogue)
        query = VectorQuery("tower", np.ones(TOWER_DIM, np.float32), 5)
        with pytest.raises((UnavailableError, DeadlineError)):
            await far.search(small_release.id, [query], 2.0)


def test_neighbours_of_a_disliked_item_are_not_proposed(small_release: Release) -> None:
    reranker = BlendReranker(small_release)
    rows = np.array([0, 20], dtype=np.int32)  # a dress, a pair of jeans
    weights = np.array([2.0, -2.0], dtype=np.float32)
    hits = asyncio.run(reranker.neighbours(small_release.id, rows, weights, 10, 1.0))
    assert hits.rows.tolist() == [1, 2, 3]
    np.testing.assert_allclose(hits.scores, [1.8, 1.2, 0.6], rtol=1e-6)
