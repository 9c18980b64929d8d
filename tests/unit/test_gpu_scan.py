"""The scan on a GPU, run on the CPU: the true k best, whatever the vectors, filters and batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemline import metrics
from hemline.retrieval.gpu_scan import TorchScan
from hemline.retrieval.interface import Search

N, DIM = 5_003, 24  # no multiple of the groups that the best are looked for in


def vectors(kind: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    match kind:
        case "crowded":  # thousands of items nearly as good as the best
            x = np.ones((N, DIM)) + 1e-3 * rng.normal(size=(N, DIM))
        case "uneven":  # some dimensions a thousand times larger than others
            x = rng.normal(size=(N, DIM)) * np.logspace(0, 3, DIM)
        case _:
            x = rng.normal(size=(N, DIM))
    return np.float32(x / np.linalg.norm(x, axis=1, keepdims=True))


INDEXES = {
    kind: (x, TorchScan(x, "cpu"))
    for kind in ("plain", "uneven", "crowded")
    for x in (vectors(kind),)
}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(list(INDEXES)),
    seed=st.integers(0, 2**32 - 1),
    asked=st.lists(
        st.tuples(st.integers(1, 700), st.sampled_from([1.0, 0.5, 0.2, 0.1, 0.01])),
        min_size=1,
        max_size=5,
    ),
    scale=st.sampled_from([1.0, 1e-3, 1e3]),
)
def test_a_batch_gets_the_true_k_best(
    kind: str, seed: int, asked: list[tuple[int, float]], scale: float
) -> None:
    x, index = INDEXES[kind]
    rng = np.random.default_rng(seed)
    masks = {share: rng.random(N) < share for _, share in asked}
    searches = []
    for k, share in asked:
        matching = int(masks[share].sum())
        vector = np.float32(scale * rng.normal(size=DIM))
        searches.append(Search(vector, min(k, matching), masks[share], matching))
    for search, (rows, scores) in zip(searches, index.search_batch(searches), strict=True):
        assert rows.dtype == np.int32 and len(set(rows.tolist())) == search.k == len(rows)
        assert search.allowed[rows].all()
        np.testing.assert_allclose(scores, x[rows] @ search.vector, rtol=1e-4, atol=1e-5 * scale)
        best = np.sort(x[search.allowed] @ search.vector)[::-1][: search.k]
        np.testing.assert_allclose(scores, best, rtol=1e-4, atol=1e-5 * scale)


def test_the_best_are_found_group_by_group() -> None:
    """So many items that the best of each group are looked at first."""
    rng = np.random.default_rng(1)
    x = np.float32(rng.normal(size=(40_037, 8)))
    index = TorchScan(x, "cpu")
    for _ in range(5):
        vector = np.float32(rng.normal(size=8))
        rows, _ = index.search(vector, 10, np.ones(len(x), bool), len(x))
        assert rows.tolist() == np.argsort(-(x @ vector))[:10].tolist()


def test_when_rounding_hides_the_best_all_are_scored_and_that_is_counted() -> None:
    """All items are one in 16 bits, and differ in 32."""
    x = np.ones((40_000, 4), np.float32)
    x[:, 0] += np.float32(1e-5) * np.random.default_rng(0).random(40_000, dtype=np.float32)
    counter = metrics.SEARCH_SCANS.labels("gpu_then_float32")
    before = counter._value.get()
    query = np.array([1, 0, 0, 0], np.float32)
    _, scores = TorchScan(x, "cpu").search(query, 20, np.ones(len(x), bool), len(x))
    np.testing.assert_array_equal(scores, np.sort(x[:, 0])[::-1][:20])
    assert counter._value.get() == before + 1


@pytest.mark.parametrize("read_only", [True, False])
def test_a_mask_that_changes_is_not_remembered(read_only: bool) -> None:
    x, index = INDEXES["plain"]
    allowed = np.zeros(N, bool)
    allowed[::2] = True
    allowed.setflags(write=not read_only)
    for _ in range(2):
        rows, _ = index.search(x[1], 5, allowed, int(allowed.sum()))
        assert allowed[rows].all()
        if not read_only:
            allowed[:] = ~allowed


def test_an_empty_catalogue_can_be_loaded() -> None:
    index = TorchScan(np.zeros((0, 8), np.float32), "cpu")
    assert index.memory_bytes == 0 and index.dim == 8
    assert not index.suits(10, 0)
