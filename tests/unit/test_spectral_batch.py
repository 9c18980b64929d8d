"""A batch over the spectral index answers each query as if it were alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hemline.retrieval.interface import Search
from hemline.retrieval.spectral import SpectralIndex, head_of

N, DIM = 150_000, 24
_rng = np.random.default_rng(5)
_X = _rng.normal(size=(N, DIM)) * 0.7 ** np.arange(DIM)
X = np.float32(_X / np.linalg.norm(_X, axis=1, keepdims=True))
INDEX = SpectralIndex(X, head_of(X))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    ks=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    share=st.sampled_from([1.0, 0.5, 0.05]),
    scale=st.sampled_from([1.0, 1e-3, 0.0]),
)
def test_each_gets_its_true_best(seed: int, ks: list[int], share: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    allowed = rng.random(N) < share
    vectors = np.float32(scale * rng.normal(size=(len(ks), DIM)) * 0.7 ** np.arange(DIM))
    found = INDEX.search_batch(
        [Search(v, k, allowed, int(allowed.sum())) for v, k in zip(vectors, ks, strict=True)]
    )
    for vector, k, (rows, scores) in zip(vectors, ks, found, strict=True):
        assert len(set(rows.tolist())) == k and allowed[rows].all()
        best = np.sort(X[allowed] @ vector)[::-1][:k]
        np.testing.assert_allclose(scores, best, rtol=1e-4, atol=1e-5 * scale)
        np.testing.assert_allclose(scores, X[rows] @ vector, rtol=1e-4, atol=1e-5 * scale)
