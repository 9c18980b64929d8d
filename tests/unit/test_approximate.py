"""Approximate indexes find nearly everything, and everything where a filter is selective."""

from __future__ import annotations

import numpy as np
import pytest

from hemline import metrics
from hemline.retrieval.approximate import AnnKind, ApproximateIndex
from hemline.retrieval.exact import ExactIndex

N, DIM, K = 8_000, 24, 20
_rng = np.random.default_rng(2)
_X = _rng.normal(size=(N, DIM)) * 0.8 ** np.arange(DIM)
X = np.float32(_X / np.linalg.norm(_X, axis=1, keepdims=True))
EXACT = ExactIndex(X)


EFFORT: dict[AnnKind, int] = {"hnsw": 200, "ivf": 40, "ivfpq": 60}


def flat_spectrum() -> np.ndarray:
    """No few directions hold the energy, so that the vectors are indexed whole."""
    x = np.random.default_rng(3).normal(size=(N, DIM))
    return np.float32(x / np.linalg.norm(x, axis=1, keepdims=True))


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.001])
def test_recall_holds_at_every_selectivity(kind: AnnKind, share: float) -> None:
    index = ApproximateIndex(X, kind, EXACT, EFFORT[kind])
    exact_before = metrics.SEARCH_SCANS.labels("exact_for_ann")._value.get()
    recall = recall_of(index, X, share, 0.8 ** np.arange(DIM))
    assert recall >= 0.99
    exact = metrics.SEARCH_SCANS.labels("exact_for_ann")._value.get() - exact_before
    assert exact == (30 if share <= 0.1 else 0)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_vectors_that_fill_all_directions_are_indexed_whole(kind: AnnKind) -> None:
    x = flat_spectrum()
    index = ApproximateIndex(x, kind, ExactIndex(x), 10 * EFFORT[kind])
    assert recall_of(index, x, 1.0, np.ones(DIM)) >= 0.99


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
@pytest.mark.parametrize("decay", [0.8, 0.9, 1.0])
def test_by_itself_an_index_looks_as_far_as_its_vectors_need(kind: AnnKind, decay: float) -> None:
    spread = decay ** np.arange(DIM)
    x = np.random.default_rng(3).normal(size=(N, DIM)) * spread
    x = np.float32(x / np.linalg.norm(x, axis=1, keepdims=True))
    index = ApproximateIndex(x, kind, ExactIndex(x))
    for share in (1.0, 0.3):
        assert recall_of(index, x, share, spread) >= 0.99


def test_an_index_that_cannot_find_enough_says_so(caplog: pytest.LogCaptureFixture) -> None:
    class Elsewhere(ExactIndex):
        """Whose truth is not what the graph finds."""

        def search(self, vector, k, allowed, matching):
            return super().search(-vector, k, allowed, matching)

    index = ApproximateIndex(X, "ivf", Elsewhere(X))
    assert "of the 100 nearest at its utmost" in caplog.text and "ivf" in caplog.text
    assert recall_of(index, X, 1.0, 0.8 ** np.arange(DIM)) >= 0.99


def recall_of(index: ApproximateIndex, x: np.ndarray, share: float, spread: np.ndarray) -> float:
    found = wanted = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        allowed = rng.random(N) < share
        matching = int(allowed.sum())
        k = min(K, matching)
        vector = np.float32(rng.normal(size=DIM) * spread)
        rows, scores = index.search(vector, k, allowed, matching)
        assert len(set(rows.tolist())) == k and allowed[rows].all()
        np.testing.assert_allclose(scores, x[rows] @ vector, rtol=1e-4, atol=1e-6)
        best = np.sort(x[allowed] @ vector)[::-1][k - 1]
        found += int((scores >= best - 1e-6).sum())
        wanted += k
    return found / wanted
