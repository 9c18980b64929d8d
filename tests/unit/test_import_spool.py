"""Repetitions among rows that were put down on disk."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from hemline_training.data import spool
from hemline_training.data.spool import Spool

SCHEMA = pa.schema([("name", pa.string()), ("quantity", pa.int32())])


def spooled(folder: Path, rows: list[tuple[str, int]], sum_quantities: bool) -> dict[str, int]:
    held = Spool(folder, "rows", SCHEMA)
    for name, quantity in rows:
        held.add({"name": name, "quantity": quantity}, [name])
    left = held.settle(sum_quantities)
    found: dict[str, int] = {}
    for batch, counts in held.batches():
        for name, count in zip(batch["name"].to_pylist(), counts.tolist(), strict=True):
            assert name not in found
            found[name] = count
    assert len(found) == left
    return found


@pytest.mark.parametrize("in_memory", [1000, 1 << 16], ids=["spilled to disk", "in memory"])
def test_repetitions_are_found_wherever_they_lie_and_order_is_kept(
    in_memory: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    usual = spool._KEYS_IN_MEMORY
    request.addfinalizer(lambda: setattr(spool, "_KEYS_IN_MEMORY", usual))
    spool._KEYS_IN_MEMORY = in_memory
    draw = random.Random(0)
    rows = [(f"n{draw.randrange(700)}", draw.randrange(1, 4)) for _ in range(10_000)]
    summed: dict[str, int] = {}
    for name, quantity in rows:
        summed[name] = summed.get(name, 0) + quantity
    first = dict(reversed([(name, quantity) for name, quantity in rows]))

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    of_sum = spooled(tmp_path / "a", rows, sum_quantities=True)
    of_first = spooled(tmp_path / "b", rows, sum_quantities=False)

    assert of_sum == summed and list(of_sum) == list(summed)
    assert of_first == first and list(of_first) == list(summed)


def test_an_empty_spool_has_no_batches(tmp_path: Path) -> None:
    assert spooled(tmp_path, [], sum_quantities=True) == {}
