"""A process stays on one core, its searching threads do not, and it moves when crowded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hemline.one_core import better_core

PROGRAM = """
import os, threading
from hemline import one_core

before = os.sched_getaffinity(0)
one_core.bind()
(core,) = os.sched_getaffinity(0)
done = threading.Event()
ids = {}

def wait(name, begin):
    begin()
    ids[name] = threading.get_native_id()
    ready.set()
    done.wait()

for name, begin in (("bound", int), ("unbound", one_core.unbound)):
    ready = threading.Event()
    threading.Thread(target=wait, args=(name, begin)).start()
    ready.wait()

def cores_of(name):
    return os.sched_getaffinity(ids[name])

assert core in before and cores_of("bound") == {core} and cores_of("unbound") == before
if len(before) > 1:
    other = min(before - {core})
    one_core.move(core, other)
    assert os.sched_getaffinity(0) == cores_of("bound") == {other}
    assert cores_of("unbound") == before
done.set()
"""


def test_the_threads_of_a_process_stay_together_and_move_together() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("waited", "idle", "core"),
    [
        (0.05, {0: 0.0, 1: 1.0}, None),  # not crowded
        (0.3, {0: 0.0, 1: 0.9}, 1),
        (0.3, {0: 0.0, 1: 0.2}, None),  # no better there
        (0.3, {0: 0.0, 1: 0.5, 2: 0.8}, 2),
        (0.3, {0: 0.9, 1: 0.5}, None),  # whatever it waited for, it has room here
    ],
)
def test_it_moves_to_where_there_is_more_room(
    waited: float, idle: dict[int, float], core: int | None
) -> None:
    assert better_core(0, waited, idle) == core
