"""Verbs about the cluster on this machine: up, down, status."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hemline.cli.verb import Args, Verbs, add_home, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.local.status import ClusterStatus


def add_verbs(verbs: Verbs) -> None:
    up = add_verb(
        verbs,
        "up",
        run_up,
        "start the cluster, Triton included, and keep it alive until Ctrl-C",
        "hemline up --detach\nhemline up --kafka --redis --prometheus\n"
        "hemline up --base-port 8100\nhemline up --gateways 4",
    )
    up.add_argument(
        "--detach", action="store_true", help="return once everything is healthy; see `down`"
    )
    up.add_argument(
        "--base-port",
        type=int,
        default=7100,
        metavar="N",
        help="the gateway's port; the others lie up to 193 above (0: free ones; default: 7100)",
    )
    up.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="of Triton's models")
    add_shape(up)
    add_backing(up)
    up.add_argument(
        "--tls",
        type=Path,
        metavar="DIR",
        help="mutual TLS on every gRPC port, with the files that `hemline certs DIR` made",
    )
    up.add_argument(
        "--api-keys",
        type=Path,
        metavar="FILE",
        help="serve those alone who have a key of this file, see `hemline keys`",
    )
    add_home(up)

    down = add_verb(
        verbs, "down", run_down, "stop the cluster and wait until it is gone", "hemline down"
    )
    add_home(down)

    status = add_verb(
        verbs,
        "status",
        run_status,
        "show every process of the cluster; exit 0 only if all are healthy",
        "hemline status --json",
    )
    add_home(status)


def add_shape(verb: argparse.ArgumentParser) -> None:
    """Flags of how many processes a cluster is, for `up` and the verbs that may start one."""
    verb.add_argument(
        "--split", action="store_true", help="retrieval and reranker as processes of their own"
    )
    verb.add_argument(
        "--gateways",
        type=_gateways,
        default=0,
        metavar="N",
        help="so many gateways behind one HAProxy, each answers on a core of its own; it refuses "
        "at a lower price what is too much (default: one, and no HAProxy)",
    )


def add_backing(verb: argparse.ArgumentParser) -> None:
    """Flags of the real servers around the cluster, for `up` and `demo`."""
    verb.add_argument(
        "--kafka",
        nargs="?",
        const="local",
        default="",
        metavar="HOST:PORT",
        help="keep events in Kafka: in one started here, or in one that runs",
    )
    verb.add_argument(
        "--redis",
        nargs="?",
        const="local",
        default="",
        metavar="URL",
        help="keep user states in Redis: in one started here, or in one that runs",
    )
    verb.add_argument(
        "--prometheus", action="store_true", help="start a Prometheus that scrapes every process"
    )


def _gateways(text: str) -> int:
    from hemline.local.ports import MOST_GATEWAYS

    if not text.isdigit() or not 1 <= int(text) <= MOST_GATEWAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_GATEWAYS}")
    return int(text)


def run_up(args: Args) -> int:
    from hemline.local.up import UpConfig, up, up_in_background

    config = UpConfig(
        args.home,
        args.base_port,
        args.split,
        args.device,
        args.kafka,
        args.redis,
        args.prometheus,
        args.tls,
        args.api_keys,
        args.gateways,
    )
    if not args.detach:
        up(config)
        return 0
    cluster = up_in_background(config)
    if args.json:
        print_json({"gateway": cluster.gateway, "release": cluster.release})
    else:
        print(f"up: the gateway answers at {cluster.gateway}; stop it with `hemline down`")
    return 0


def run_down(args: Args) -> int:
    from hemline.local.background import stop_cluster

    stopped = stop_cluster(args.home / "run")
    if args.json:
        print_json({"stopped": stopped})
    else:
        print(f"stopped {', '.join(stopped)}" if stopped else f"nothing was up in {args.home}")
    return 0


def run_status(args: Args) -> int:
    from hemline.local.status import cluster_status

    status = cluster_status(args.home / "run")
    if args.json:
        print_json(_plain(status))
    else:
        _print(status)
    return 0 if status.healthy else 1


def _print(status: ClusterStatus) -> None:
    from rich.table import Table

    record = status.record
    out = console()
    out.print(
        f"[bold]{record.state}[/] for {_since(record.started)} "
        f"(supervisor {record.supervisor_pid}), "
        f"release {record.release}, gateway {record.gateway}"
    )
    table = Table("process", "pid", "up for", "restarts", "health", "address", "RSS")
    for process in status.processes:
        of = process.record
        table.add_row(
            of.name,
            str(of.pid) if process.alive else "-",
            _since(of.started) if process.alive else "-",
            str(of.restarts),
            f"[{'green' if process.healthy else 'red'}]{process.health}[/]",
            of.address,
            f"{process.rss_bytes / 1e6:,.0f} MB",
        )
    out.print(table)


def _plain(status: ClusterStatus) -> dict[str, object]:
    record = status.record
    return {
        "healthy": status.healthy,
        "state": record.state,
        "supervisor_pid": record.supervisor_pid,
        "started": record.started,
        "release": record.release,
        "gateway": record.gateway,
        "processes": [
            {
                "name": process.record.name,
                "pid": process.record.pid,
                "alive": process.alive,
                "started": process.record.started,
                "restarts": process.record.restarts,
                "health": process.health,
                "address": process.record.address,
                "rss_bytes": process.rss_bytes,
                "log": process.record.log,
            }
            for process in status.processes
        ],
    }


def _since(started: float) -> str:
    seconds = max(0, int(time.time() - started))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"
