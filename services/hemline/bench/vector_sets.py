"""Vectors to search: a release's own, and drawn ones whose spectrum is theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemline.vectors import F32, normalise

_CHUNK = 100_000


@dataclass(frozen=True, eq=False)
class VectorSet:
    """items: float32 (n, d); queries: float32 (q, d); unit norm, both."""

    name: str
    items: F32
    queries: F32


def real_set(name: str, vectors: F32, queries: int, rng: np.random.Generator) -> VectorSet:
    """A release's vectors, asked for with what a taste is: means of five of them."""
    picked = vectors[rng.integers(0, len(vectors), (queries, 5))]  # (q, 5, d)
    return VectorSet(name, vectors, normalise(picked.mean(axis=1)))


def drawn_set(real: F32, items: int, dim: int, queries: int, rng: np.random.Generator) -> VectorSet:
    """Gaussian vectors with the mean and the spectrum of real ones, stretched to `dim` dimensions.

    The spectrum of n real directions is read at `dim` evenly spaced places, so that the share of
    energy in the first tenth of directions is the same in every dimension.
    """
    centred = real - real.mean(axis=0)
    energy = np.linalg.eigvalsh(centred.T @ centred / len(real))[::-1]
    places = np.linspace(0, len(energy) - 1, dim)
    spread = np.sqrt(np.maximum(np.interp(places, np.arange(len(energy)), energy), 0.0))
    spread *= np.sqrt(energy.sum() / (spread**2).sum())
    mean = np.zeros(dim)
    mean[0] = np.linalg.norm(real.mean(axis=0))
    rotation, _ = np.linalg.qr(rng.standard_normal((dim, dim)))

    def draw(count: int) -> F32:
        vectors = mean + spread * rng.standard_normal((count, dim))
        return normalise((vectors @ rotation).astype(np.float32))

    drawn = np.empty((items, dim), dtype=np.float32)
    for start in range(0, items, _CHUNK):
        count = min(_CHUNK, items - start)
        drawn[start : start + count] = draw(count)
    return VectorSet(f"drawn {items:,} x {dim}", drawn, draw(queries))
