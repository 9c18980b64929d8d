"""A release of any vectors, drawn ones for most, so that servers can be measured at any size.

Only what a search needs is in it: ids, attributes and vectors. It says in its manifest that nobody
trained it, and its files for CLIP, towers and blend are empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hemline.bench.vector_sets import drawn_set
from hemline.catalogue import ITEM_SCHEMA
from hemline.releases import FILES, Release, promote, write_release
from hemline.vectors import F32

_TOWER_DIM = 8
_COLOURS = 20


def draw_release(root: Path, real: F32, items: int, dim: int, seed: int) -> Release:
    """Write and promote a release of so many items below `root`; content vectors are as of
    `vector_sets.drawn_set` of `real`, float32 (n, d)."""
    rng = np.random.default_rng(seed)
    return release_of(root, drawn_set(real, items, dim, 1, rng).items, np.arange(items), seed)


def release_of(root: Path, content: F32, prices: npt.NDArray[np.integer], seed: int) -> Release:
    """Write and promote a release of these content vectors, float32 (n, d), below `root`.

    Tower vectors are small, for nobody asks for them. Item i has the id "drawn-i" and the price of
    its place in `prices`, (n,); all are in stock. seed: as the encoder's name.
    """
    items, dim = content.shape

    def build(folder: Path) -> dict[str, Any]:
        for name in FILES:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        pq.write_table(_items(items, prices), folder / "items.parquet")
        np.save(folder / "item_content.npy", content)
        np.save(folder / "item_tower.npy", np.eye(_TOWER_DIM, dtype=np.float32)[_codes(items, 8)])
        return {
            "drawn": True,
            "encoder": {"name": "drawn", "encoder_id": f"drawn-{seed}", "dim": dim},
            "tower_dim": _TOWER_DIM,
        }

    return promote(root, write_release(root, build).id, "bench")


def _items(count: int, prices: npt.NDArray[np.integer]) -> pa.Table:
    ids = pa.array([f"drawn-{place}" for place in range(count)])
    colours = pa.array([f"colour {code}" for code in range(_COLOURS)])
    known: dict[str, Any] = {
        "item_id": ids,
        "title": ids,
        "variant_group": ids,
        "colour": colours.take(pa.array(_codes(count, _COLOURS))),
        "price": pa.array(prices.astype(np.float32)),
        "in_stock": pa.array(np.ones(count, dtype=bool)),
    }
    fields = [field for field in ITEM_SCHEMA if field.name != "image"]
    columns = [known.get(field.name, pa.nulls(count, field.type)) for field in fields]
    return pa.table(columns, schema=pa.schema(fields))


def _codes(count: int, of: int) -> Any:
    return np.arange(count) % of
