"""Both exact indexes are exact: as good as scoring everything in float32, whatever the vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemline import metrics
from hemline.retrieval.exact import ExactIndex, FlatIndex
from hemline.retrieval.interface import Index
from hemline.retrieval.spectral import SpectralIndex, head_of

N, DIM = 9_000, 24
Make = Callable[[np.ndarray], Index]


def vectors(kind: str, rng: np.random.Generator) -> np.ndarray:
    match kind:
        case "clustered":
            centres = rng.normal(size=(20, DIM))
            x = centres[rng.integers(0, 20, N)] + 0.2 * rng.normal(size=(N, DIM))
        case "uneven":  # some dimensions a thousand times larger than others
            x = rng.normal(size=(N, DIM)) * np.logspace(0, 3, DIM)
        case "crowded":  # thousands of items nearly as good as the best
            x = np.ones((N, DIM)) + 1e-3 * rng.normal(size=(N, DIM))
        case _:
            x = rng.normal(size=(N, DIM))
            x[:, 3] = 0
    return np.float32(x / np.linalg.norm(x, axis=1, keepdims=True))


def spectral(x: np.ndarray) -> SpectralIndex:
    return SpectralIndex(x, head_of(x))


def one_direction(x: np.ndarray) -> SpectralIndex:
    """A head that says little, so that nearly everything is scored in full."""
    return SpectralIndex(x, head_of(x)[:, :1])


def fp16(x: np.ndarray) -> ExactIndex:
    return ExactIndex(x, "fp16")


INDEXES = {
    (kind, make): (x, make(x))
    for kind in ("clustered", "uneven", "crowded", "one dimension empty")
    for x in (vectors(kind, np.random.default_rng(3)),)
    for make in (ExactIndex, fp16, FlatIndex, spectral, one_direction)
}


@settings(max_examples=500, deadline=None)
@given(
    index=st.sampled_from(list(INDEXES.values())),
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 700),
    allowed_share=st.sampled_from([1.0, 0.97, 0.5, 0.2]),
    scale=st.sampled_from([1.0, 1e-3, 1e3]),
)
def test_the_k_best_are_the_true_ones(
    index: tuple[np.ndarray, Index],
    seed: int,
    k: int,
    allowed_share: float,
    scale: float,
) -> None:
    x, searched = index
    rng = np.random.default_rng(seed)
    allowed = rng.random(N) < allowed_share
    vector = np.float32(scale * rng.normal(size=DIM))
    rows, scores = searched.search(vector, k, allowed, int(allowed.sum()))

    assert len(set(rows.tolist())) == k and allowed[rows].all()
    np.testing.assert_allclose(scores, x[rows] @ vector, rtol=1e-4, atol=1e-5 * scale)
    best = np.sort(x[allowed] @ vector)[::-1][:k]
    np.testing.assert_allclose(scores, best, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("make", [ExactIndex, fp16, FlatIndex, spectral])
def test_a_query_of_zeros_finds_k_items_all_the_same(make: Make) -> None:
    _, index = INDEXES["clustered", make]
    rows, scores = index.search(np.zeros(DIM, np.float32), 50, np.ones(N, dtype=bool), N)
    assert len(set(rows.tolist())) == 50 and not scores.any()


def test_a_guess_too_high_is_made_good_and_counted() -> None:
    """All that is sampled is good, and by it so would be three times as many as there are."""
    x = np.zeros((8_000, 8), np.float32)
    x[:, 0] = 0.1
    x[::3, 0] = np.linspace(0.5, 1.0, len(x[::3]))  # every sampled item, and two of three are not
    index = ExactIndex(x)
    counter = metrics.SEARCH_SCANS.labels("int8_then_float32")
    before = counter._value.get()
    k = 1_500
    rows, scores = index.search(np.eye(8, dtype=np.float32)[0], k, np.ones(8_000, bool), 8_000)
    assert counter._value.get() == before + 1
    np.testing.assert_allclose(scores, np.sort(x[:, 0])[::-1][:k], atol=1e-6)
    assert len(set(rows.tolist())) == k


@pytest.mark.parametrize("make", [ExactIndex, fp16, FlatIndex, spectral])
@pytest.mark.parametrize("n", [1, 5, 2_000, 2_001, 4_000, 4_001])
def test_small_catalogues_are_searched_too(n: int, make: Make) -> None:
    x = vectors("plain", np.random.default_rng(0))[:n]
    rows, _ = make(x).search(x[0], 1, np.ones(n, dtype=bool), n)
    assert rows.tolist() == [0]


def test_the_head_is_as_short_as_the_spectrum_allows() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(5_000, 32)).astype(np.float32)
    assert head_of(flat).shape == (32, 32)  # nothing can be left out
    steep = np.float32(flat * 0.5 ** np.arange(32))
    head = head_of(steep)
    assert head.shape == (32, 3)  # 1 - 0.25 ** 3 of the energy is 98.4%
    np.testing.assert_allclose(head.T @ head, np.eye(3), atol=1e-6)
    assert head_of(np.zeros((10, 4), np.float32)).shape[1] >= 1


def test_a_poor_sample_costs_time_and_not_truth() -> None:
    """Every sampled item is a bad one, or every one is among the best."""
    rng = np.random.default_rng(1)
    x = np.float32(rng.normal(size=(8_192, 16)) * 0.3 ** np.arange(16))
    for share in (0.0, 5.0):
        shifted = x.copy()
        shifted[::4, 0] += share if share else -5.0  # the sample is every fourth
        index = SpectralIndex(shifted, head_of(shifted))
        query = np.eye(16, dtype=np.float32)[0]
        rows, scores = index.search(query, 100, np.ones(8_192, dtype=bool), 8_192)
        np.testing.assert_allclose(scores, np.sort(shifted[:, 0])[::-1][:100], rtol=1e-5)
        assert len(set(rows.tolist())) == 100
