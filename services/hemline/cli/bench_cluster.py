"""What the measuring verbs share: the cluster they measure, its items, and lines of progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hemline.cli.verb import Args

if TYPE_CHECKING:
    from hemline.credentials import Credentials
    from hemline.releases import Release


@contextmanager
def cluster_to_measure(args: Args) -> Iterator[tuple[str, Credentials]]:
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
        gateways=args.gateways,
        kafka=args.kafka,
        redis=args.redis,
        prometheus=args.prometheus,
    )
    started = up_in_background(config)
    try:
        yield started.gateway, NO_CREDENTIALS
    finally:
        stop_cluster(args.home / "run")


def item_ids_by_popularity(release: Release) -> list[str]:
    """Most popular first."""
    ranks = release.array("popularity").argsort()[::-1]
    return [release.catalogue.item_ids[row] for row in ranks.tolist()]


def machine() -> dict[str, object]:
    import os
    import platform

    return {"cores": len(os.sched_getaffinity(0)), "kernel": platform.release()}


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
