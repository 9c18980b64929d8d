"""An index is chosen by the number of items, or by hand, and what is chosen is what answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hemline.errors import InvalidInputError, SetupError
from hemline.retrieval.approximate import ApproximateIndex
from hemline.retrieval.exact import ExactIndex, FlatIndex
from hemline.retrieval.kinds import IndexSettings, build_index, checked_settings
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
def test_every_kind_finds_the_item_itself(kind: str, vectors: np.ndarray, wanted: type) -> None:
    built = build_index(vectors, IndexSettings(kind, brief=1_000))
    assert isinstance(built.index, wanted)
    assert built.index.memory_bytes >= vectors.nbytes
    everything = np.ones(len(vectors), dtype=bool)
    rows, _ = built.index.search(vectors[17], 10, everything, len(vectors))
    assert rows[0] == 17


def test_small_catalogues_are_never_searched_approximately() -> None:
    assert build_index(STEEP, IndexSettings("hnsw")).kind == "spectral"
    assert build_index(EVEN, IndexSettings("ivf")).kind == "int8"


def test_batches_are_for_what_searches_several_faster_than_one_by_one() -> None:
    assert build_index(STEEP, IndexSettings("spectral")).batches is not None
    assert build_index(STEEP, IndexSettings("int8")).batches is None


@pytest.mark.parametrize(
    ("settings", "threads", "said"),
    [
        (IndexSettings("annoy"), 1, "'annoy' is not one of auto, exact, .* of --device cpu"),
        (IndexSettings("cagra"), 1, "'cagra' is not one of auto, exact"),
        (IndexSettings("hnsw", "cuda"), 1, "'hnsw' is not one of auto, scan, .* of --device cuda"),
        (IndexSettings(device="tpu"), 1, "'tpu' is not one of cpu, cuda"),
        (IndexSettings(filtered_by="hope"), 1, "'hope' is not index or exact"),
        (IndexSettings("scan", "cuda"), 2, "is 2; an index on a GPU is for one thread"),
        (IndexSettings("cagra", "cuda"), 1, "'cagra' on a GPU cannot leave items out, .*exact"),
        (IndexSettings("flat", "cuda"), 1, "'flat' on a GPU cannot leave items out"),
    ],
)
def test_what_cannot_be_honoured_is_refused_at_start(
    settings: IndexSettings, threads: int, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        checked_settings(settings, threads)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("kind", ["auto", "scan", "flat", "ivf", "cagra"])
def test_without_a_gpu_its_kinds_are_refused_with_what_to_do(kind: str) -> None:
    with pytest.raises(SetupError, match=r"--device cpu|--index scan"):
        checked_settings(IndexSettings(kind, "cuda", filtered_by="exact"))
