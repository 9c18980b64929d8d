"""Verbs that measure the way of an event: bench events, bench replay."""

from __future__ import annotations

from hemline.cli.bench_cluster import cluster_to_measure, item_ids_by_popularity, machine, say
from hemline.cli.cluster import add_backing, add_shape
from hemline.cli.verb import Args, Verbs, add_gateway, add_home, add_verb, console, print_json


def add_verbs(inner: Verbs) -> None:
    events = add_verb(
        inner,
        "events",
        run_events,
        "measure how soon an acknowledged event is visible, at a rate of events",
        "hemline bench events --kafka --redis\nhemline bench events --rate 200 --seconds 60 --json",
    )
    events.add_argument(
        "--rate", type=float, default=1000.0, help="events/s (default: %(default)g)"
    )
    events.add_argument("--seconds", type=float, default=20.0, help="default: %(default)g")
    events.add_argument("--users", type=int, default=20_000, help="default: %(default)s")
    events.add_argument(
        "--streamed",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of the events, sent by RecordEvents, not each in a call (default: %(default)g)",
    )
    events.add_argument(
        "--probes", type=float, default=10.0, metavar="N", help="watched a second (%(default)g)"
    )
    events.add_argument("--connections", type=int, default=4, help="default: %(default)s")
    add_gateway(events)
    replay = add_verb(
        inner,
        "replay",
        run_replay,
        "measure how fast the updater builds all states anew; writes events into the log first",
        "hemline bench replay --kafka --redis\nhemline bench replay --events 1000000 --json",
    )
    replay.add_argument("--events", type=int, default=200_000, help="default: %(default)s")
    replay.add_argument("--users", type=int, default=20_000, help="default: %(default)s")
    add_home(replay)
    replay.set_defaults(gateway="", tls_ca="", tls_client_cert="", tls_client_key="")
    for verb in (events, replay):
        verb.add_argument("--seed", type=int, default=1, help="of users and arrivals")
        add_shape(verb)
        add_backing(verb)


def run_events(args: Args) -> int:
    import asyncio
    from dataclasses import asdict

    from hemline.bench.cpu import servers_of_cluster
    from hemline.bench.events_tables import events_remarks, print_events
    from hemline.bench.freshness import EventsPlan, bench_events
    from hemline.bench.load import precise_loop
    from hemline.bench.targets import events_targets
    from hemline.bench.updater_metrics import updater_of_cluster
    from hemline.releases import open_release

    for name in ("rate", "seconds", "users", "probes", "connections"):
        _positive(args, name)
    _share(args.streamed)
    release = open_release(args.home / "releases")
    with cluster_to_measure(args) as (gateway, credentials):
        plan = EventsPlan(
            gateway=gateway,
            rate_per_s=args.rate,
            seconds=args.seconds,
            users=args.users,
            streamed=args.streamed,
            probes_per_s=args.probes,
            connections=args.connections,
            seed=args.seed,
        )
        run, here = args.home / "run", not args.gateway
        servers = servers_of_cluster(run) if here else None
        updater = updater_of_cluster(run) if here else None
        items = item_ids_by_popularity(release)
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            report = runner.run(bench_events(plan, items, servers, updater, say, credentials))
    if args.json:
        facts = {"release": release.id, "machine": machine(), **asdict(report)}
        facts["targets"] = [asdict(target) for target in events_targets(report)]
        print_json({**facts, "remarks": events_remarks(report)})
    else:
        print_events(console(), report)
    return 0


def run_replay(args: Args) -> int:
    import asyncio
    from dataclasses import asdict

    from hemline.bench.cpu import servers_of_cluster
    from hemline.bench.events_tables import print_replay, replay_remarks
    from hemline.bench.replay import ReplayPlan, ReplayReport, bench_replay
    from hemline.bench.targets import replay_targets
    from hemline.cli.replay import stores_of
    from hemline.releases import open_release
    from hemline.stores import open_event_log, open_user_states

    for name in ("events", "users"):
        _positive(args, name)
    release = open_release(args.home / "releases")
    plan = ReplayPlan(args.events, args.users, args.seed)
    servers = servers_of_cluster(args.home / "run")

    async def measure() -> ReplayReport:
        stores = stores_of(args.home)
        log, users = open_event_log(stores.log), open_user_states(stores.users)
        try:
            await log.check()
            items = item_ids_by_popularity(release)
            return await bench_replay(plan, log, users, items, servers, say)
        finally:
            await users.close()
            await log.close()

    with cluster_to_measure(args):
        report = asyncio.run(measure())
    if args.json:
        facts = {"release": release.id, "machine": machine(), **asdict(report)}
        facts["targets"] = [asdict(target) for target in replay_targets(report)]
        print_json({**facts, "remarks": replay_remarks(report)})
    else:
        print_replay(console(), report)
    return 0


def _positive(args: Args, name: str) -> None:
    from hemline.errors import InvalidInputError

    if not getattr(args, name) > 0:
        raise InvalidInputError(f"--{name}", f"{getattr(args, name)} is not positive")


def _share(value: float) -> None:
    from hemline.errors import InvalidInputError

    if not 0 <= value < 1:
        raise InvalidInputError("--streamed", f"{value:g} is no share from 0 to below 1")
