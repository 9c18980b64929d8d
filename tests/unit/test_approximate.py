"""Approximate indexes find nearly everything, and everything where a filter is selective."""

from __future__ import annotations

import numpy as np
import pytest

from hemline import metrics
from hemline.errors import InvalidInputError
from hemline.retrieval.approximate import AnnKind, ApproximateIndex
from hemline.retrieval.exact import ExactIndex
from hemline.retrieval.loaded_release import check_kind

N, DIM, K = 8_000, 24, 20
_rng = np.random.default_rng(2)
_X = _rng.normal(size=(N, DIM)) * 0.8 ** np.arange(DIM)
X = np.float32(_X / np.linalg.norm(_X, axis=1, keepdims=True))
EXACT = ExactIndex(X)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.001])
def test_recall_holds_at_every_selectivity(kind: AnnKind, share: float) -> None:
    index = ApproximateIndex(X, kind, EXACT, effort=200 if kind == "hnsw" else 40)
    exact_before = metrics.SEARCH_SCANS.labels("exact_for_ann")._value.get()
    found = wanted = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        allowed = rng.random(N) < share
        matching = int(allowed.sum())
        k = min(K, matching)
        vector = np.float32(rng.normal(size=DIM) * 0.8 ** np.arange(DIM))
        rows, scores = index.search(vector, k, allowed, matching)
        assert len(set(rows.tolist())) == k and allowed[rows].all()
        np.testing.assert_allclose(scores, X[rows] @ vector, rtol=1e-4)
        best = np.sort(X[allowed] @ vector)[::-1][k - 1]
        found += int((scores >= best - 1e-6).sum())
        wanted += k
    assert found / wanted >= 0.99
    exact = metrics.SEARCH_SCANS.labels("exact_for_ann")._value.get() - exact_before
    assert exact == (30 if share <= 0.1 else 0)


def test_a_kind_that_is_not_there_is_refused_by_name() -> None:
    assert check_kind("hnsw") == "hnsw"
    with pytest.raises(InvalidInputError, match="'cagra' is not one of exact, spectral"):
        check_kind("cagra")
