"""python small_processes.py RELEASES: the processes of a small cluster, forked on request.

Starting Python and importing everything takes a second of CPU; this process has done so once, and a
fork of it is a gateway or an updater within milliseconds. Forked before anything has threads.

Reads one JSON object a line, a `Spawn`; answers with the pid. The forked process is killed by the
kernel when this one ends, and this one ends with its standard input.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dying import Call, Death, DyingLog, DyingStates
from planted import AcknowledgesFirstLog, CommitsFirst, ForgetfulStates

from hemline.event_log import EventLog
from hemline.gateway.event_servicer import EventServicer
from hemline.gateway.recommend import Stages
from hemline.gateway.shelf import Shelves
from hemline.live_items import LiveItems
from hemline.local.die_with_parent import PR_SET_PDEATHSIG
from hemline.releases import Release, open_release
from hemline.reranker.rerank import BlendReranker
from hemline.retrieval.index import FlatRetrieval
from hemline.rpc import Server, ServerSettings, stop_asked
from hemline.updater.update import Updater
from hemline.user_state import UserStates
from hemline.v1 import event_pb2_grpc
from small_world import FakeEncoders

NEVER = Death("publish", -1, after=False)


@dataclass(frozen=True)
class Spawn:
    """What to become. role: gateway or updater. folder: of the stores and the process's log.

    death: (call, count, after) of `dying.Death`, or None. bug: a key of BUGS, or "" for none.
    """

    role: str
    name: str
    folder: str
    port: int = 0
    death: tuple[Call, int, bool] | None = None
    bug: str = ""

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True)
class Bug:
    """Which parts a bug replaces."""

    log: Callable[[Path, Death], DyingLog] = DyingLog
    users: Callable[[Path, Death], DyingStates] = DyingStates
    updater: type[Updater] = Updater


BUGS = {
    "": Bug(),
    "commits first": Bug(updater=CommitsFirst),
    "applies twice": Bug(users=ForgetfulStates),
    "acknowledges first": Bug(log=AcknowledgesFirstLog),
}


async def gateway(log: EventLog, users: UserStates, release: Release, spawn: Spawn) -> None:
    """The door for events, as hemline.gateway.__main__ opens it."""
    items = LiveItems(release)
    retrieval, reranker = FlatRetrieval(items), BlendReranker(release)
    stages = Stages(Shelves(items), users, FakeEncoders(), retrieval, reranker)
    server = Server(f"127.0.0.1:{spawn.port}", ServerSettings())
    register = event_pb2_grpc.add_EventServiceServicer_to_server
    server.add(register, EventServicer(stages, log), "hemline.v1.EventService")
    await server.run_until_signal()
    retrieval.close()


async def updater(log: EventLog, users: UserStates, release: Release, spawn: Spawn) -> None:
    """As hemline.updater.__main__ wires it."""
    stopping = asyncio.Event()
    work = BUGS[spawn.bug].updater(log, users, FakeEncoders(), release)
    updating = asyncio.create_task(work.run(stopping))
    asked = asyncio.create_task(stop_asked().wait())
    await asyncio.wait((updating, asked), return_when=asyncio.FIRST_COMPLETED)
    stopping.set()
    await updating


async def become(spawn: Spawn, release: Release) -> None:
    folder, bug = Path(spawn.folder), BUGS[spawn.bug]
    death = Death(*spawn.death) if spawn.death else NEVER
    log = bug.log(folder / "events.sqlite", death)
    users = bug.users(folder / "users.sqlite", death)
    try:
        await {"gateway": gateway, "updater": updater}[spawn.role](log, users, release, spawn)
    finally:
        await users.close()
        await log.close()


def forked(spawn: Spawn, release: Release) -> None:
    """What the child does; it never returns."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(
        f"{spawn.folder}.{spawn.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
    for standard in (1, 2):
        os.dup2(output, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    code = 1
    try:
        asyncio.run(become(spawn, release))
        code = 0
    except Exception:
        logging.getLogger("hemline").exception("%s cannot go on", spawn.name)
    finally:
        os._exit(code)


def main() -> None:
    release = open_release(Path(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    print("ready", flush=True)
    while line := sys.stdin.readline():
        spawn = Spawn(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            forked(spawn, release)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
