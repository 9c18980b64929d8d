"""Verbs that measure: bench serve."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hemline.cli.bench_retrieval import add_verb_retrieval
from hemline.cli.cluster import add_backing
from hemline.cli.verb import Args, Verbs, add_gateway, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.bench.serve import Rate
    from hemline.bench.shoppers import ShopperPlan
    from hemline.credentials import Credentials

DEFAULT_RATES = "25%,50%,75%,90%"


def add_verbs(verbs: Verbs) -> None:
    bench = verbs.add_parser("bench", help="measure speed and cost")
    inner = bench.add_subparsers(metavar="VERB", required=True)
    add_verb_retrieval(inner)
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
    serve.add_argument("--connections", type=int, default=8, help="default: %(default)s")
    serve.add_argument("--seed", type=int, default=1, help="of users and arrivals")
    serve.add_argument(
        "--split", action="store_true", help="when a cluster must be started: as `up --split`"
    )
    add_backing(serve)
    add_gateway(serve)
    serve.set_defaults(timeout=1.0)


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
    ranks = release.array("popularity").argsort()[::-1]
    item_ids = [release.catalogue.item_ids[row] for row in ranks.tolist()]
    with _cluster(args) as (gateway, credentials):
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
            seed=args.seed,
        )
        servers = servers_of_cluster(args.home / "run") if here else None
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            report = runner.run(bench_serve(plan, item_ids, servers, _say, credentials))
    if args.json:
        facts = {"release": release.id, "machine": _machine(), **asdict(report)}
        facts["targets"] = [asdict(target) for target in targets(report)]
        print_json({**facts, "remarks": remarks(report)})
    else:
        print_report(console(), report)
    return 0


@contextmanager
def _cluster(args: Args) -> Iterator[tuple[str, Credentials]]:
    """HOST:PORT of the gateway to measure, and what to show it; a cluster started for that is
    stopped at the end."""
    from hemline.cli.client import cluster_in, credentials
    from hemline.credentials import NO_CREDENTIALS
    from hemline.errors import NotFoundError
    from hemline.local.background import stop_cluster
    from hemline.local.up import UpConfig, up_in_background

    if args.gateway:
        yield args.gateway, credentials(args, None)
        return
    try:
        running = cluster_in(args.home)
    except NotFoundError:
        pass
    else:
        yield running.gateway, credentials(args, running)
        return
    config = UpConfig(
        home=args.home,
        base_port=0,
        split=args.split,
        kafka=args.kafka,
        redis=args.redis,
        prometheus=args.prometheus,
    )
    started = up_in_background(config)
    try:
        yield started.gateway, NO_CREDENTIALS
    finally:
        stop_cluster(args.home / "run")


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


def _machine() -> dict[str, object]:
    import os
    import platform

    return {"cores": len(os.sched_getaffinity(0)), "kernel": platform.release()}


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
