"""Rows put down on disk as they come, and read back without their duplicates, in bounded memory.

Rows go to one file in their order. Beside them a record of 28 bytes a row, the digest of its key
and its place, goes to one of 256 files by the digest, so that equal keys lie in the same one. Each
of those is small enough to sort in memory, and leaves in an array on disk how often each row
counts: 0 for a repetition, the sum of quantities for the first of its kind. Reading back is one
more pass.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Row = dict[str, Any]

ROWS_PER_BATCH = 4096
BYTES_PER_BATCH = 1 << 20  # of the row sizes the caller states
_KEYS_IN_MEMORY = 1 << 16
_PARTITIONS = 256

# One record of the keys: 15 bytes of digest and a 1 (numpy's "S16" would lose a trailing NUL), the
# row's number and its quantity.
_KEY = np.dtype([("key", "S16"), ("row", "<i8"), ("quantity", "<i4")])
_pack_key = struct.Struct("<15sBqi").pack


class Spool:
    """Rows of one schema on their way through a temporary folder.

    `add` everything, then `settle` once, then read `batches` any number of times.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows_path = folder / f"{name}.rows"
        self._counts_path = folder / f"{name}.counts"
        self._keys_folder = folder / f"{name}.keys"
        # A stream of batches: parquet would keep a record of every row group until it is closed.
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._file = pa.OSFile(str(self._rows_path), "wb")
        self._writer = pa.ipc.new_stream(self._file, schema, options=options)
        self._rows: list[Row] = []
        self._bytes = 0
        self._keys = bytearray()
        self.count = 0

    def add(self, row: Row, key: Sequence[object], size: int = 0) -> None:
        """Puts down one row. `key`: what makes it a repetition. `size`: its rough size in bytes."""
        digest = hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=15).digest()
        self._keys += _pack_key(digest, 1, self.count, row.get("quantity") or 1)
        self.count += 1
        self._rows.append(row)
        self._bytes += size
        if len(self._keys) == _KEYS_IN_MEMORY * _KEY.itemsize:
            self._spill_keys()
        if len(self._rows) == ROWS_PER_BATCH or self._bytes >= BYTES_PER_BATCH:
            self._write_rows()

    def settle(self, sum_quantities: bool) -> int:
        """Finds the repetitions; how many rows are left. With `sum_quantities` the first row of a
        kind takes over what the others count, else it counts as it did."""
        self._write_rows()
        self._writer.close()
        self._file.close()
        counts = np.memmap(self._counts_path, np.int32, "w+", shape=max(1, self.count))
        left = 0
        for keys in self._partitions():
            order = np.lexsort((keys["row"], keys["key"]))
            keys = keys[order]
            first = np.ones(len(keys), bool)
            first[1:] = keys["key"][1:] != keys["key"][:-1]
            starts = np.flatnonzero(first)
            if sum_quantities and len(keys):
                quantities = np.add.reduceat(keys["quantity"].astype(np.int64), starts)
            else:
                quantities = keys["quantity"][starts]
            counts[keys["row"][starts]] = np.minimum(quantities, np.iinfo(np.int32).max)
            left += len(starts)
        counts.flush()
        return left

    def batches(self) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.int32]]]:
        """The rows that are left, in the order they came, and how often each counts."""
        if self.count == 0:
            return
        counts = np.memmap(self._counts_path, np.int32, "r")
        start = 0
        with pa.OSFile(str(self._rows_path)) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                of_batch = np.array(counts[start : start + batch.num_rows])
                start += batch.num_rows
                left = of_batch > 0
                yield (batch if left.all() else batch.filter(pa.array(left))), of_batch[left]

    def _write_rows(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, self._schema))
            self._rows.clear()
            self._bytes = 0

    def _spill_keys(self) -> None:
        self._keys_folder.mkdir(exist_ok=True)
        keys = np.frombuffer(bytes(self._keys), _KEY)
        partition = keys.view(np.uint8).reshape(-1, _KEY.itemsize)[:, 0]
        order = np.argsort(partition, kind="stable")
        bounds = np.searchsorted(partition[order], np.arange(_PARTITIONS + 1))
        for number in range(_PARTITIONS):
            part = keys[order[bounds[number] : bounds[number + 1]]]
            with (self._keys_folder / f"{number:03d}").open("ab") as file:
                file.write(part.tobytes())
        self._keys.clear()

    def _partitions(self) -> Iterator[npt.NDArray[Any]]:
        if not self._keys_folder.exists():
            yield np.frombuffer(self._keys, _KEY)
            return
        self._spill_keys()
        for path in sorted(self._keys_folder.iterdir()):
            yield np.fromfile(path, _KEY)
            path.unlink()
