"""Verbs that measure: bench serve; the others are in `bench_*`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hemline.cli import bench_events
from hemline.cli.bench_cluster import cluster_to_measure, item_ids_by_popularity, machine, say
from hemline.cli.bench_grpc import add_verb_grpc
from hemline.cli.bench_retrieval import add_verb_retrieval
from hemline.cli.bench_upserts import add_verb_upserts
from hemline.cli.cluster import add_backing, add_shape
from hemline.cli.verb import Args, Verbs, add_gateway, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.bench.serve import Rate
    from hemline.bench.shoppers import ShopperPlan

DEFAULT_RATES = "25%,50%,75%,90%"


def add_verbs(verbs: Verbs) -> None:
    bench = verbs.add_parser("bench", help="measure speed and cost")
    inner = bench.add_subparsers(metavar="VERB", required=True)
    add_verb_retrieval(inner)
    add_verb_grpc(inner)
    serve = add_verb(
        inner,
        "serve",
        run_serve,
        "measure latency and processor time of Recommend at several rates",
        "hemline bench serve --seconds 20 --overload 5\n"
        "hemline bench serve --rates 25%,200 --users 10000 --json",
    )
    serve.add_argument(
        "--rates",
        default=DEFAULT_RATES,
        metavar="N|N%,…",
        help="requests/s, or shares of the peak (default: %(default)s)",
    )
    serve.add_argument(
        "--seconds", type=float, default=10.0, help="of each rate (default: %(default)g)"
    )
    serve.add_argument(
        "--users", type=int, default=2000, help="shoppers to make (default: %(default)s)"
    )
    serve.add_argument(
        "--events-per-user", default="5-20", metavar="M|M-N", help="default: %(default)s"
    )
    serve.add_argument("-k", "--k", type=int, default=20, help="items (default: %(default)s)")
    serve.add_argument(
        "--overload", type=float, default=0.0, metavar="X", help="offer X times the peak at the end"
    )
    serve.add_argument(
        "--rounds", type=int, default=5, help="of overload, peak beside it (default: %(default)s)"
    )
    serve.add_argument("--connections", type=int, default=8, help="default: %(default)s")
    serve.add_argument("--seed", type=int, default=1, help="of users and arrivals")
    add_shape(serve)
    add_backing(serve)
    add_gateway(serve)
    serve.set_defaults(timeout=1.0)
    bench_events.add_verbs(inner)
    add_verb_upserts(inner)


def run_serve(args: Args) -> int:
    import asyncio
    from dataclasses import asdict

    from hemline.bench.cpu import servers_of_cluster
    from hemline.bench.load import precise_loop
    from hemline.bench.serve import ServePlan, bench_serve
    from hemline.bench.tables import print_report, remarks
    from hemline.bench.targets import targets
    from hemline.releases import open_release

    rates, shoppers = read_rates(args.rates), read_shoppers(args.users, args.events_per_user)
    release = open_release(args.home / "releases")
    item_ids = item_ids_by_popularity(release)
    with cluster_to_measure(args) as (gateway, credentials):
        here = not args.gateway
        plan = ServePlan(
            gateway=gateway,
            rates=rates,
            shoppers=shoppers,
            seconds=args.seconds,
            k=args.k,
            deadline_s=args.timeout,
            connections=args.connections,
            overload=args.overload,
            rounds=args.rounds,
            seed=args.seed,
        )
        servers = servers_of_cluster(args.home / "run") if here else None
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            report = runner.run(bench_serve(plan, item_ids, servers, say, credentials))
    if args.json:
        facts = {"release": release.id, "machine": machine(), **asdict(report)}
        facts["targets"] = [asdict(target) for target in targets(report)]
        print_json({**facts, "remarks": remarks(report)})
    else:
        print_report(console(), report)
    return 0


def read_rates(text: str) -> tuple[Rate, ...]:
    """`25%,200` as rates. Raises InvalidInputError for what is no positive number."""
    from hemline.bench.serve import Rate
    from hemline.errors import InvalidInputError

    rates = []
    for part in text.split(","):
        number, of_peak = part.strip().removesuffix("%"), part.strip().endswith("%")
        try:
            value = float(number) / (100 if of_peak else 1)
        except ValueError:
            value = 0.0
        if not 0 < value < 1e7:
            raise InvalidInputError(
                "--rates",
                f"{part!r} is neither requests/s, like 200, nor a share, like 25%",
            )
        rates.append(Rate(value, of_peak))
    return tuple(rates)


def read_shoppers(users: int, events: str) -> ShopperPlan:
    """`12` or `5-20` events for each. Raises InvalidInputError."""
    from hemline.bench.shoppers import ShopperPlan
    from hemline.errors import InvalidInputError

    least, _, most = events.partition("-")
    try:
        plan = ShopperPlan(users, int(least), int(most or least))
    except ValueError:
        plan = ShopperPlan(users, 0, 0)
    if not 1 <= plan.least_events <= plan.most_events:
        raise InvalidInputError("--events-per-user", f"{events!r} is neither 12 nor like 5-20")
    if users < 1:
        raise InvalidInputError("--users", f"{users} is not positive")
    return plan
