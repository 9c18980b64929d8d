"""An index is chosen by the number of items, or by hand, and what is chosen is what answers."""

from __future__ import annotations

import numpy as np
import pytest

from hemline.errors import InvalidInputError
from hemline.retrieval.approximate import ApproximateIndex
from hemline.retrieval.exact import ExactIndex, FlatIndex
from hemline.retrieval.kinds import IndexKind, build_index, check_kind
from hemline.retrieval.spectral import SpectralIndex

_rng = np.random.default_rng(5)


def unit(x: np.ndarray) -> np.ndarray:
    return np.float32(x / np.linalg.norm(x, axis=1, keepdims=True))


STEEP = unit(_rng.normal(size=(4_000, 16)) * 0.5 ** np.arange(16))
EVEN = unit(_rng.normal(size=(4_000, 16)))


@pytest.mark.parametrize(
    ("kind", "vectors", "wanted"),
    [
        ("auto", STEEP, SpectralIndex),
        ("auto", EVEN, ExactIndex),
        ("exact", EVEN, ExactIndex),
        ("spectral", EVEN, SpectralIndex),
        ("int8", STEEP, ExactIndex),
        ("fp16", STEEP, ExactIndex),
        ("flat", STEEP, FlatIndex),
        ("hnsw", STEEP, ApproximateIndex),
        ("ivf", EVEN, ApproximateIndex),
        ("ivfpq", STEEP, ApproximateIndex),
    ],
)
def test_every_kind_finds_the_item_itself(
    kind: IndexKind, vectors: np.ndarray, wanted: type
) -> None:
    built = build_index(vectors, kind, brief=1_000)
    assert isinstance(built.index, wanted)
    assert built.memory_bytes >= vectors.nbytes
    everything = np.ones(len(vectors), dtype=bool)
    rows, _ = built.index.search(vectors[17], 10, everything, len(vectors))
    assert rows[0] == 17


def test_small_catalogues_are_never_searched_approximately() -> None:
    assert build_index(STEEP, "hnsw").kind == "spectral"
    assert build_index(EVEN, "ivf").kind == "int8"


def test_batches_are_for_large_catalogues() -> None:
    assert build_index(STEEP, "auto").batches is None
    assert build_index(STEEP, "auto", brief=1_000).batches is not None


def test_a_kind_that_is_not_there_is_refused_by_name() -> None:
    assert check_kind("hnsw") == "hnsw"
    with pytest.raises(InvalidInputError, match="'annoy' is not one of auto, exact"):
        check_kind("annoy")
