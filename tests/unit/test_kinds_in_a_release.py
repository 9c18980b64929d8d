"""Whatever the kind of index, a release with changed items and filters is answered for truly."""

from __future__ import annotations

import numpy as np
import pytest

from hemline.contracts import VectorQuery
from hemline.filters import In, InStock, Not
from hemline.live_change import Change
from hemline.live_items import LiveItems
from hemline.releases import Release
from hemline.retrieval.kinds import IndexSettings
from hemline.retrieval.loaded_release import LoadedRelease
from hemline.vectors import normalise
from live_changes import new_state
from small_world import CLIP_DIM, TOWER_DIM, item_id

KINDS = ["spectral", "int8", "fp16", "flat", "hnsw", "ivf", "ivfpq"]


@pytest.mark.parametrize(
    "settings",
    [IndexSettings(kind, brief=0) for kind in KINDS]
    + [IndexSettings("scan", "cpu")],  # which a service refuses, and a test may have
    ids=[*KINDS, "scan"],
)
def test_every_kind_answers_as_the_exact_one(
    small_release: Release, settings: IndexSettings
) -> None:
    items = LiveItems(small_release)
    items.apply(
        [
            Change(item_id("dress", 0), None),
            new_state("new-1", "Red", 25.0, True, "", 3),
            new_state(item_id("dress", 1), "Mauve", 5.0, True, "", 4),
        ]
    )
    rng = np.random.default_rng(7)
    queries = [
        VectorQuery(space, normalise(rng.normal(size=dim)), k, condition, exclude, collapse)
        for space, dim in (("content", CLIP_DIM), ("tower", TOWER_DIM))
        for k in (1, 20, 150)
        for condition in (None, InStock(True), Not(In("colour", ("Red",))))
        for exclude in (np.zeros(0, np.int32), np.arange(10, dtype=np.int32))
        for collapse in (False, True)
    ]
    wanted = LoadedRelease(items).search_all(queries)
    found = LoadedRelease(items, settings).search_all(queries)
    for query, right, hits in zip(queries, wanted, found, strict=True):
        assert hits.matching == right.matching
        np.testing.assert_allclose(hits.scores, right.scores, atol=1e-5, err_msg=str(query))
        assert len(set(hits.rows.tolist())) == len(hits.rows)
