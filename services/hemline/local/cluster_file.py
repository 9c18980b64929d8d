"""What a home knows of its cluster: run/cluster.json, and the lock its supervisor holds.

    run/cluster.json      addresses and processes, replaced whole at every change
    run/supervisor.lock   locked while a supervisor lives; the kernel lets go when it dies, however
    run/logs/NAME.log     what each process says

The lock, not the file, tells whether a cluster is up.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from hemline.errors import HemlineError, UnavailableError

CLUSTER_FILE = "cluster.json"
LOCK_FILE = "supervisor.lock"

_SAME_BIRTH_S = 0.05


@dataclass(frozen=True)
class ProcessRecord:
    """One process: created is the kernel's time of its birth, started when it was asked for; Unix
    time in seconds, both."""

    name: str
    pid: int
    created: float
    started: float
    restarts: int
    address: str
    health: tuple[str, ...]
    log: str


@dataclass(frozen=True)
class ClusterRecord:
    """state: starting, running or stopping. gateway: HOST:PORT. split, tls: as of `hemline up`."""

    supervisor_pid: int
    state: str
    started: float
    release: str
    split: bool
    gateway: str
    processes: tuple[ProcessRecord, ...]
    tls: str = ""  # folder of the certificates; empty: plaintext


def logs_folder(run: Path) -> Path:
    return run / "logs"


def write_cluster(run: Path, record: ClusterRecord) -> None:
    """Replace cluster.json; a reader sees the old one or the new one."""
    temporary = run / f".{CLUSTER_FILE}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(record), indent=2) + "\n")
    temporary.replace(run / CLUSTER_FILE)


def read_cluster(run: Path) -> ClusterRecord | None:
    """What the last supervisor wrote, or None. Raises HemlineError for an unreadable file."""
    try:
        data = json.loads((run / CLUSTER_FILE).read_text())
        processes = [
            ProcessRecord(**{**process, "health": tuple(process["health"])})
            for process in data.pop("processes")
        ]
        return ClusterRecord(**data, processes=tuple(processes))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise HemlineError(f"{run / CLUSTER_FILE} is not readable: {error!r}") from error


@contextmanager
def supervisor_lock(run: Path) -> Iterator[None]:
    """Hold the home's lock. Raises UnavailableError when another supervisor has it."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOCK_FILE).open("a+") as lock:
        if not _locked(lock):
            raise UnavailableError(
                f"a cluster is already up in {run.parent} (supervisor {supervisor_pid(run)}); "
                "see `hemline status`, or stop it with `hemline down`"
            )
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _locked(lock: IO[str]) -> bool:
    for _ in range(10):  # somebody who only asks whether it is locked holds it for a moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.02)
    return False


def supervisor_pid(run: Path) -> int | None:
    """Pid of the supervisor that holds the lock, or None when no cluster is up."""
    try:
        with (run / LOCK_FILE).open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0)
    except FileNotFoundError:
        pass
    return None


def process_of(record: ProcessRecord) -> psutil.Process | None:
    """The process itself if it still runs; None if it is gone or the pid is another's by now."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.created) < _SAME_BIRTH_S
        if same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def end_orphans(records: Sequence[ProcessRecord], grace_s: float = 5.0) -> list[str]:
    """Stop processes a killed supervisor left behind; returns what was stopped, by name and pid.

    Call it with the supervisor's lock held: nobody else may be using them.
    """
    left = {r.name: p for r in records if (p := process_of(r)) is not None}
    for process in left.values():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(list(left.values()), timeout=grace_s)
    for process in stubborn:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # each leads its own group
    psutil.wait_procs(stubborn, timeout=grace_s)
    return [f"{name} ({process.pid})" for name, process in left.items()]


def wait_for_end(run: Path, timeout_s: float) -> bool:
    """Wait until no supervisor holds the lock; False when one still does."""
    deadline = time.monotonic() + timeout_s
    while supervisor_pid(run) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
