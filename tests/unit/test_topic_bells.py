"""Whoever wrote to a topic rings, and its readers wake; the dead and the strange are left alone."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hemline.topic_bells import LOOK_S, Bell, ring_all

PATIENCE_S = 60.0


def waits_in_a_thread(bell: Bell) -> threading.Thread:
    thread = threading.Thread(target=bell.wait, args=(10 * PATIENCE_S,), daemon=True)
    thread.start()
    return thread


def test_every_reader_of_a_topic_is_woken_and_none_of_another(tmp_path: Path) -> None:
    first, second = (Bell(tmp_path / "events", look_s=10 * PATIENCE_S) for _ in range(2))
    other = Bell(tmp_path / "vectors", look_s=10 * PATIENCE_S)
    waiting = [waits_in_a_thread(bell) for bell in (first, second)]
    asleep = waits_in_a_thread(other)
    ring_all(tmp_path / "events")
    for thread in waiting:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert asleep.is_alive()
    other.ring()
    asleep.join(PATIENCE_S)
    assert not asleep.is_alive()


def test_a_ring_that_came_before_the_wait_counts_once(tmp_path: Path) -> None:
    bell = Bell(tmp_path, look_s=10 * PATIENCE_S)
    for _ in range(3):
        ring_all(tmp_path)
    bell.wait(10 * PATIENCE_S)
    again = waits_in_a_thread(bell)
    again.join(0.2)
    assert again.is_alive(), "three rings were one reason to look"
    bell.ring()
    again.join(PATIENCE_S)
    assert not again.is_alive()


def test_a_reader_that_never_looks_does_not_stop_who_rings(tmp_path: Path) -> None:
    Bell(tmp_path)
    for _ in range(20_000):  # more than a pipe holds
        ring_all(tmp_path)


def test_the_bell_of_a_killed_reader_is_taken_down(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from hemline.topic_bells import Bell;"
        "bell = Bell(Path(sys.argv[1])); print('up', flush=True); time.sleep(600)"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None and reader.stdout.readline() == "up\n"
    ring_all(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    reader.send_signal(signal.SIGKILL)
    reader.wait()
    reader.stdout.close()
    ring_all(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_bell_that_is_closed_is_gone(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    bell.close()
    assert not list(tmp_path.iterdir())
    bell.close()
    bell.ring()


def test_a_bell_may_be_rung_while_it_is_closed_and_rings_in_no_other_file(tmp_path: Path) -> None:
    bells = [Bell(tmp_path / "events") for _ in range(300)]

    def ring() -> None:
        for bell in bells:
            for _ in range(20):
                bell.ring()

    ringing = [threading.Thread(target=ring) for _ in range(2)]
    for thread in ringing:
        thread.start()
    others = []
    for number, bell in enumerate(bells):  # each file gets the number of the pipe just closed
        bell.close()
        others.append((tmp_path / str(number)).open("wb"))
    for thread in ringing:
        thread.join(PATIENCE_S)
    for other in others:
        other.close()
    assert not any(path.stat().st_size for path in tmp_path.iterdir() if path.is_file())


def test_nobody_ever_read_the_topic(tmp_path: Path) -> None:
    ring_all(tmp_path / "nobody")


def test_files_that_are_no_bells_are_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("kept")
    ring_all(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "kept"


def test_without_room_for_a_bell_a_reader_looks_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    bell = Bell(tmp_path / "file" / "events", look_s=10 * PATIENCE_S)
    bell.wait(10 * PATIENCE_S)
    bell.ring()
    bell.close()
    assert "no bell" in caplog.text


def test_a_bell_nobody_rings_is_looked_at_all_the_same(tmp_path: Path) -> None:
    assert LOOK_S < 1
    Bell(tmp_path).wait(10 * PATIENCE_S)


def test_bells_are_for_their_owner_alone(tmp_path: Path) -> None:
    Bell(tmp_path)
    (pipe,) = tmp_path.iterdir()
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o600
