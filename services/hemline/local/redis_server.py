"""Debian's Redis on this machine: installed if it is missing, set up for states that must stay.

What a crash can lose. Every write goes to an append-only file before it is answered, so a killed
server loses nothing, unless the disk is so busy that Redis puts writing off (two seconds at most);
a power cut loses up to two seconds of writes. That is `appendfsync everysec`; with `always` every
Recommend would wait behind fsyncs, for Redis answers from one thread. What is lost is always the
newest, positions in the event log with it, so the updater sees how far back the states fell and
applies those events again.

The server listens on loopback alone and wants a password, which only the owner of the folder can
read: other users of the machine have no business in shoppers' histories.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from hemline.local.child import ChildSpec
from hemline.local.debian_package import installed_program
from hemline.local.private_file import write_private

HOST = "127.0.0.1"


def install_redis() -> Path:
    """The program `redis-server`. Raises PackageInstallError where it cannot be had."""
    return installed_program("redis-server", "redis-server")


def redis_spec(server: Path, port: int, folder: Path, max_memory: str = "0") -> ChildSpec:
    """How to run it on loopback; its settings, password and data are in `folder`.

    max_memory: as Redis writes it, e.g. 512mb; "0" for no limit. Beyond it writes fail and nothing
    is dropped: the updater waits, and Recommend goes on with the states there are.
    """
    settings = folder / "redis.conf"
    write_private(settings, redis_settings(port, folder, redis_password(folder), max_memory))
    return ChildSpec(
        name="redis",
        argv=(str(server), str(settings)),
        address=f"{HOST}:{port}",
        health=(f"redis://{HOST}:{port}",),
        ready_timeout_s=120.0,  # a large append-only file takes its time to be read
    )


def redis_settings(port: int, folder: Path, password: str, max_memory: str = "0") -> str:
    """The text of redis.conf."""
    return f"""\
bind {HOST}
port {port}
protected-mode yes
requirepass {password}
dir {folder.resolve()}
appendonly yes
appendfsync everysec
save ""
maxmemory {max_memory}
maxmemory-policy noeviction
"""


def redis_password(folder: Path) -> str:
    """The password of the Redis kept in `folder`; made with it, and the same from then on."""
    path = folder / "password"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text()
