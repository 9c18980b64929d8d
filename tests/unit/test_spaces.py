"""Photos and words searched apart, or in one query with weights: always the true best."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brute_force import matches, true_best
from hemline.contracts import VectorQuery, WeightedVector
from hemline.errors import InvalidInputError, ReleaseError
from hemline.gateway.remotes import RemoteRetrieval
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.live_record import change_from_proto, change_to_proto
from hemline.releases import Release
from hemline.retrieval.blended import Part, search_blended
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.recall_watch import judge
from hemline.retrieval.servicer import RetrievalServicer
from hemline.retrieval.spectral import SpectralIndex, head_of
from hemline.rpc import Server, connect
from hemline.v1.retrieval_pb2_grpc import add_RetrievalServiceServicer_to_server
from hemline.vectors import F32, normalise
from live_changes import new_state
from shapes import filters
from small_world import CLIP_DIM, NO_PHOTO, TOWER_DIM, build_small_release, item_id

SPACES = ("tower", "content", "image", "text")
weights = st.sampled_from([0.01, 0.3, 0.5, 1.0])


def vector_in(space: str, seed: int) -> F32:
    dim = TOWER_DIM if space == "tower" else CLIP_DIM
    return normalise(np.random.default_rng(seed).normal(size=dim))


def query_of(spaces: list[str], of: list[float], seed: int, **more) -> VectorQuery:
    first, *others = (
        WeightedVector(space, vector_in(space, seed + n), weight)
        for n, (space, weight) in enumerate(zip(spaces, of, strict=True))
    )
    return VectorQuery(
        first.space, first.vector, weight=first.weight, also=tuple(others), **({"k": 20} | more)
    )


def vectors_of(change: Change) -> dict[str, F32]:
    """What `Change` promises, said again."""
    image, text = change.image, change.text
    if text is None:
        image = text = change.content
    if image is None:
        image = np.zeros(CLIP_DIM, np.float32)
    return {"tower": change.tower, "content": change.content, "image": image, "text": text}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    spaces=st.lists(st.sampled_from(SPACES), min_size=1, max_size=4),
    of=st.lists(weights, min_size=4, max_size=4),
    changed=st.lists(st.integers(0, 12), max_size=6),
    condition=st.none() | filters,
    k=st.integers(1, 140),
    seed=st.integers(0, 9999),
    collapse=st.booleans(),
)
def test_any_blend_equals_brute_force_after_any_changes(
    small_release: Release, spaces, of, changed, condition, k, seed, collapse
) -> None:
    items = LiveItems(small_release)
    retrieval = FlatRetrieval(items)
    there = {
        item.item_id: (item, {space: small_release.vectors(space)[row] for space in SPACES})
        for row, item in enumerate(small_release.catalogue.items())
    }
    for number in changed:
        name = item_id("dress", number) if number < 6 else f"new-{number}"
        change = new_state(name, seed=number + len(there))
        items.apply([change])
        there[name] = (change.item, vectors_of(change))
    query = query_of(
        spaces, of[: len(spaces)], seed, k=k, filter=condition, collapse_variants=collapse
    )
    (hits,) = asyncio.run(retrieval.search(small_release.id, [query], 10.0))
    retrieval.close()

    scores = {
        name: sum(float(vectors[space] @ vector) for space, vector in query.scaled)
        for name, (item, vectors) in there.items()
        if condition is None or matches(condition, item)
    }
    names = [items.view.item_ids[row] for row in hits.rows]
    groups = {name: there[name][0].variant_group for name in scores}
    best = true_best(scores, groups if collapse else None, k)
    assert set(names) <= scores.keys() and len(set(names)) == len(names)
    np.testing.assert_allclose(hits.scores, best, atol=1e-5)
    np.testing.assert_allclose([scores[name] for name in names], best, atol=1e-5)
    assert judge(query, hits, items.view, items.view) == ({"found": len(names)} if names else {})


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    k=st.sampled_from([1, 10, 100, 700]),
    share=st.sampled_from([1.0, 0.6, 0.4]),
    scales=st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    indexed=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_bounds_of_several_spaces_miss_none_of_the_best(
    big_sets: list[F32], seed: int, k: int, share: float, scales, indexed
) -> None:
    rng = np.random.default_rng(seed)
    n = len(big_sets[0])
    allowed = rng.random(n) < share
    parts = []
    true = np.zeros(n)
    for vectors, scale, has_index in zip(big_sets, scales, indexed, strict=True):
        query = (scale * normalise(rng.normal(size=vectors.shape[1]))).astype(np.float32)
        index = SpectralIndex(vectors, head_of(vectors)) if has_index else None
        parts.append(Part(vectors, index, query))
        true += vectors @ query
    rows, scores = search_blended(parts, k, allowed, int(allowed.sum()))
    assert allowed[rows].all() and len(set(rows.tolist())) == k
    best = np.sort(true[allowed])[::-1][:k]
    np.testing.assert_allclose(scores, best, atol=1e-5)
    np.testing.assert_allclose(true[rows], best, atol=1e-5)


@pytest.fixture(scope="module")
def big_sets() -> list[F32]:
    """More items than are scored without bounds, in spaces where few directions hold most energy,
    one item in five without a vector in the first."""
    rng = np.random.default_rng(5)
    sets = [
        normalise(rng.normal(size=(9_000, dim)) * 0.6 ** np.arange(dim)) for dim in (24, 24, 12)
    ]
    sets[0][::5] = 0.0
    return sets


def test_an_item_without_photo_scores_nothing_among_photos(small_release: Release) -> None:
    retrieval = FlatRetrieval(small_release)
    (hits,) = asyncio.run(
        retrieval.search(small_release.id, [query_of(["image"], [1.0], 3, k=120)], 10.0)
    )
    retrieval.close()
    without = set(np.arange(120)[NO_PHOTO].tolist())
    scored = dict(zip(hits.rows.tolist(), hits.scores.tolist(), strict=True))
    assert without == {row for row, score in scored.items() if score == 0.0}


def test_vectors_of_photo_and_words_survive_the_topic(small_release: Release) -> None:
    for seed in range(3):
        change = new_state("new", seed=seed)
        again = change_from_proto(change_to_proto(change, small_release.id), change.order)
        for space, vector in vectors_of(change).items():
            np.testing.assert_array_equal(vectors_of(again)[space], vector)


def test_new_words_for_an_item_leave_its_vectors_as_they_are(small_release: Release) -> None:
    items = LiveItems(small_release)
    for row in (3, 7):  # with a photo, and without
        item = items.view.item(row)
        items.apply([items.view.with_vectors_of(row, item, order=1)])
        for space in SPACES:
            found = items.view.vectors(space)[row]
            np.testing.assert_array_equal(found, small_release.vectors(space)[row])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (query_of(["image", "text"], [1.0, 0.0], 1), "queries[0].also[0].weight"),
        (query_of(["image", "text"], [1.5, 1.0], 1), "queries[0].weight"),
        (query_of(["text"] * 5, [1.0] * 5, 1), "queries[0].also"),
        (
            VectorQuery(
                "text", vector_in("text", 1), 5, also=(WeightedVector("tower", np.ones(3)),)
            ),
            "queries[0].also[0].vector",
        ),
    ],
)
async def test_blends_that_cannot_be_meant_are_refused(
    small_release: Release, query: VectorQuery, field: str
) -> None:
    retrieval = FlatRetrieval(small_release)
    with pytest.raises(InvalidInputError) as refused:
        await retrieval.search(small_release.id, [query], 10.0)
    retrieval.close()
    assert refused.value.field == field


async def test_a_release_without_these_spaces_says_so(tmp_path: Path) -> None:
    release = build_small_release(tmp_path, apart=False)
    assert release.spaces == ("tower", "content")
    with pytest.raises(ReleaseError, match=f"release {release.id} was made without .*'image'"):
        release.vectors("image")
    retrieval = FlatRetrieval(release)
    with pytest.raises(InvalidInputError, match="without the space 'text'") as refused:
        await retrieval.search(release.id, [query_of(["tower", "text"], [1, 1], 1)], 10.0)
    assert refused.value.field == "queries[0].also[0].space"
    items = LiveItems(release)
    items.apply([new_state("new-1", seed=3)])
    assert items.changes()[0].text is None
    retrieval.close()


async def test_blends_cross_the_wire(small_release: Release) -> None:
    retrieval = FlatRetrieval(small_release)
    server = Server("127.0.0.1:0")
    server.add(
        add_RetrievalServiceServicer_to_server,
        RetrievalServicer(retrieval),
        "hemline.v1.RetrievalService",
    )
    await server.start()
    queries = [
        query_of(["image", "text", "tower"], [0.3, 0.7, 0.1], 5),
        query_of(["text"], [1.0], 6),
        query_of(["content"], [0.25], 7),
    ]
    async with connect(f"127.0.0.1:{server.port}") as channel:
        far = RemoteRetrieval(channel, small_release.catalogue)
        here = await retrieval.search(small_release.id, queries, 10.0)
        there = await far.search(small_release.id, queries, 10.0)
    await server.stop(0)
    retrieval.close()
    for near, remote in zip(here, there, strict=True):
        assert near.rows.tolist() == remote.rows.tolist()
        np.testing.assert_array_equal(near.scores, remote.scores)
