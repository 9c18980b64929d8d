"""A supervisor without a terminal: started, and stopped from any other process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from hemline.errors import UnavailableError
from hemline.local.cluster_file import (
    ClusterRecord,
    end_orphans,
    logs_folder,
    process_of,
    read_cluster,
    supervisor_lock,
    supervisor_pid,
    wait_for_end,
)

_POLL_S = 0.05


def start_in_background(command: Sequence[str], run: Path) -> ClusterRecord:
    """Run `command`, which supervises the cluster of `run`, in a session of its own.

    Returns once the cluster is healthy; until then what the supervisor says is shown on stderr.
    Raises UnavailableError when it ends before, its reason shown by then.
    """
    log = logs_folder(run) / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, log.open("rb") as said:
        said.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        # Reaps it whenever it ends, should that be before this process does.
        reaping = threading.Thread(target=process.wait, daemon=True)
        reaping.start()
        try:
            return _wait_until_up(process, run, said)
        except KeyboardInterrupt:  # nobody would know of the cluster
            process.terminate()
            reaping.join()
            raise


def _wait_until_up(process: subprocess.Popen[bytes], run: Path, said: IO[bytes]) -> ClusterRecord:
    while True:
        ended = process.returncode is not None
        record = read_cluster(run)
        sys.stderr.write(said.read().decode(errors="replace"))
        sys.stderr.flush()
        if ended:
            raise UnavailableError(f"the cluster did not come up; see {logs_folder(run)}")
        ours = record is not None and record.supervisor_pid == process.pid
        if ours and record is not None and record.state == "running":
            return record
        time.sleep(_POLL_S)


def stop_cluster(run: Path, timeout_s: float = 120.0) -> list[str]:
    """Stop the supervisor of a home, in a terminal or not; returns once all processes are gone.

    Returns the names of what ran; empty when nothing did. Processes whose supervisor was killed
    are stopped too. Raises UnavailableError when the supervisor is still there after `timeout_s`.
    """
    record = read_cluster(run)
    pid = supervisor_pid(run)
    if pid is None:
        if record is None:
            return []
        with supervisor_lock(run):
            return end_orphans(record.processes)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not wait_for_end(run, timeout_s):
        raise UnavailableError(f"supervisor {pid} has not stopped after {timeout_s:g} s")
    record = read_cluster(run)  # as its last act the supervisor wrote what it stopped
    processes = record.processes if record else ()
    left = [p.name for p in processes if process_of(p) is not None]
    if left:
        with supervisor_lock(run):
            end_orphans(processes)
    return [process.name for process in processes if process.pid]
