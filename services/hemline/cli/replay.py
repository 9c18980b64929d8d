"""The verb that builds every shopper's state anew from the event log."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hemline.cli.verb import Args, Verbs, add_home, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.local.cluster_file import ClusterRecord
    from hemline.updater.replay import Replay


class Stores(NamedTuple):
    """URLs of hemline.stores; updater: whether one of this home is running."""

    log: str
    users: str
    updater: bool


def add_verbs(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "replay",
        run_replay,
        "build every shopper's state anew from the event log",
        "hemline replay\n"
        "hemline replay --log kafka://broker:9092 --users redis://states:6379 --home .hemline",
    )
    verb.add_argument("--log", default="", metavar="URL", help="the event log, with --users")
    verb.add_argument(
        "--users",
        default="",
        metavar="URL",
        help="the user states, with --log (default: both of the cluster in --home)",
    )
    verb.add_argument(
        "--forget-older",
        action="store_true",
        help="go on although the log has not all the events that the states were built from",
    )
    add_home(verb)


def run_replay(args: Args) -> int:
    import asyncio

    stores = _stores(args)
    began = time.monotonic()
    replay = asyncio.run(_replay(args, stores))
    seconds = time.monotonic() - began
    rate = replay.records / seconds
    if args.json:
        found = {"records": replay.records, "seconds": round(seconds, 3)}
        print_json({**found, "records_per_s": round(rate, 1), "lineage": replay.lineage.id})
    else:
        print(f"{replay.records} records applied anew in {seconds:.1f} s, {rate:,.0f} a second")
    return 0


async def _replay(args: Args, stores: Stores) -> Replay:
    """Begin, and wait for the end; applies the records here unless the home's updater does."""
    import asyncio

    from hemline.releases import open_release
    from hemline.stores import open_event_log, open_user_states
    from hemline.updater.replay import begin_replay, follow_replay
    from hemline.updater.update import Updater

    # Another updater of the group shares the work, or has it all and leaves ours on standby.
    release = None if stores.updater else open_release(args.home / "releases")
    log, users = open_event_log(stores.log), open_user_states(stores.users)
    stopping = asyncio.Event()
    updating = None
    try:
        await log.check()
        await users.check()
        replay = await begin_replay(log, users, args.forget_older)
        if release is not None:
            updating = asyncio.create_task(Updater(log, users, None, release).run(stopping))
        with console(stderr=True).status("") as line:
            following = asyncio.create_task(
                follow_replay(
                    replay, users, lambda n: line.update(f"{n} of {replay.records} records applied")
                )
            )
            waiting = {following} | ({updating} if updating else set())
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if updating is not None and updating.done():  # it only ends by itself with an error
                following.cancel()
                await updating
            await following
        return replay
    finally:
        stopping.set()
        if updating is not None:
            await asyncio.wait({updating})
        await users.close()
        await log.close()


def _stores(args: Args) -> Stores:
    from hemline.errors import InvalidInputError, NotFoundError
    from hemline.local.cluster_file import read_cluster, supervisor_pid

    if bool(args.log) != bool(args.users):
        raise InvalidInputError("--log", "and --users go together; name both or neither")
    run = args.home / "run"
    if args.log:
        found = Stores(args.log, args.users, False)
    else:
        cluster = read_cluster(run)
        if cluster is not None and supervisor_pid(run) is not None:
            return _of_running(run, cluster)
        servers = {process.name for process in cluster.processes} if cluster else set()
        if kept := " and ".join(sorted(servers & {"kafka", "redis"})):
            raise NotFoundError(
                f"{args.home} keeps its data in {kept}, and no cluster is up: start it again "
                "as before with `hemline up`, or name --log and --users"
            )
        found = Stores(f"sqlite:{run}/events.sqlite", f"sqlite:{run}/users.sqlite", False)
    for url in (found.log, found.users):
        kind, _, path = url.partition(":")
        if kind == "sqlite" and not Path(path).is_file():
            raise NotFoundError(f"there is no {path}: nothing to replay; see --home and --log")
    return found


def stores_of(home: Path) -> Stores:
    """The stores of the cluster that is up in this home. Raises NotFoundError when none is,
    UnavailableError when its updater is not running."""
    from hemline.cli.client import cluster_in

    return _of_running(home / "run", cluster_in(home))


def _of_running(run: Path, cluster: ClusterRecord) -> Stores:
    """What the updater of the home's cluster was started with."""
    from hemline.errors import UnavailableError
    from hemline.local.cluster_file import process_of
    from hemline.redis_url import PASSWORD

    processes = {record.name: record for record in cluster.processes}
    updater = process_of(processes["updater"]) if "updater" in processes else None
    if updater is None:
        raise UnavailableError("the cluster's updater is not running; see `hemline status`")
    if "redis" in processes:
        os.environ[PASSWORD] = (run / "redis" / "password").read_text()
    line = updater.cmdline()
    return Stores(line[line.index("--log") + 1], line[line.index("--users") + 1], True)
