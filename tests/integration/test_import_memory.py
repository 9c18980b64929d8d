"""An import within a memory limit, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What the import may use beyond Python and its libraries, which alone take some 100 MB.
LIMIT_MB = 12
LINES, LINE_BYTES = 5200, 26_000

# glibc would keep freed strings of a description's size for later, and count them as used.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}

CHILD = """
import json, os, resource, sys
from pathlib import Path
import pyarrow as pa
import hemline_training.data.import_data as imports

def data_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData"))

pa.set_cpu_count(1)
columns = {"items": {"columns": {"item_id": "id", "title": "name", "description": "words"}}}
first = Path(sys.argv[2] + ".first")
first.write_text("id,name,words\\n1,a,b\\n")
out = Path(sys.argv[3])
imports.import_data("table", first, out, columns=columns, progress=False)  # loads the libraries
limit = data_kb() * 1024 + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
if sys.argv[4] == "read-whole":
    Path(sys.argv[2]).read_bytes()
report = imports.import_data("table", Path(sys.argv[2]), out, columns=columns, progress=False)
items = report.tables["items"]
print(json.dumps([items.rows_in, items.rows_out]))
"""


def run_within_limit(source: Path, out: Path, how: str) -> subprocess.CompletedProcess[str]:
    child = [sys.executable, "-c", CHILD, str(LIMIT_MB << 20), str(source), str(out), how]
    return subprocess.run(
        # The stacks of Arrow's threads count as data; 8 MB each are promised, a few KB used.
        ["sh", "-c", 'ulimit -s 1024; exec "$@"', "sh", *child],
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"} | MALLOC,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.integration
def test_a_file_ten_times_larger_than_the_memory_limit_is_imported(tmp_path: Path) -> None:
    source = tmp_path / "goods.csv"
    words = "soft woven cotton " * (LINE_BYTES // 18)
    with source.open("w") as file:
        file.write("id,name,words\n")
        for number in range(LINES):
            file.write(f"{number % (LINES - 100)},Dress {number},{words}\n")
    try:
        assert source.stat().st_size > 10 * LIMIT_MB << 20
        done = run_within_limit(source, tmp_path / "out", "streamed")
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout) == [LINES, LINES - 100]

        # The limit bites: who reads the file whole does not come through.
        greedy = run_within_limit(source, tmp_path / "out", "read-whole")
        assert greedy.returncode != 0 and "MemoryError" in greedy.stderr
    finally:
        source.unlink()
