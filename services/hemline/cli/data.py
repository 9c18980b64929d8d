"""Verbs about data sets: data import, data images."""

from __future__ import annotations

from pathlib import Path

from hemline.cli.catalog import check_confidence, fill
from hemline.cli.verb import Args, Verbs, add_verb, print_json

# Those of hemline_training.data.formats, which is too slow to import for --help; a test compares.
FORMAT_NAMES = (
    "fashion-products",
    "hm",
    "asos",
    "myntra",
    "table",
    "web-log",
    "rent-the-runway",
    "movielens",
    "pairs",
    "baskets",
)


def add_verbs(verbs: Verbs) -> None:
    data = verbs.add_parser("data", help="bring in interactions, users and items of any source")
    inner = data.add_subparsers(metavar="VERB", required=True)

    bring = add_verb(
        inner,
        "import",
        run_import,
        "read a data set into items, users and events in one schema (docs/data.md)",
        "hemline data import movielens ../data/movielens_100k --out .hemline/data/ml",
    )
    bring.add_argument(
        "format", metavar="FORMAT", choices=FORMAT_NAMES, help=", ".join(FORMAT_NAMES)
    )
    bring.add_argument("path", metavar="PATH", type=Path, help="file or folder")
    bring.add_argument(
        "--out", type=Path, metavar="DIR", help="default: .hemline/data/NAME, after PATH's name"
    )
    bring.add_argument(
        "--max-bad-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="stop when more of a table's records than this cannot be used (default: %(default)g)",
    )
    bring.add_argument(
        "--map", metavar="FILE", type=Path, help="JSON: which column is what (docs/data.md)"
    )
    bring.add_argument(
        "--fill",
        type=float,
        metavar="CONFIDENCE",
        help="read attributes the source lacks off the photos that came with it, where at least so "
        "sure (0 to 1); for photos fetched later: `hemline catalog fill FOLDER`",
    )

    images = add_verb(
        inner,
        "images",
        run_images,
        "fetch the pictures that an imported catalogue names by address; goes on where it stopped",
        "hemline data images .hemline/data/asos --at-once 32",
    )
    images.add_argument("folder", metavar="FOLDER", type=Path, help="what `data import` wrote")
    images.add_argument(
        "--at-once", type=int, default=16, metavar="N", help="requests (default: %(default)d)"
    )
    images.add_argument(
        "--per-host", type=int, default=2, metavar="N", help="of them, default: %(default)d"
    )
    images.add_argument(
        "--max-gb", type=float, default=50.0, metavar="GB", help="then stop (default: %(default)g)"
    )
    images.add_argument(
        "--allow-network",
        action="append",
        default=[],
        metavar="CIDR",
        help="addresses that may be asked although they are not public, as 10.1.0.0/16",
    )


def run_images(args: Args) -> int:
    from ipaddress import ip_network

    from hemline.errors import InvalidInputError
    from hemline_training.image_download.download import Settings, download_images
    from hemline_training.image_download.politeness import Manners

    try:
        allowed = tuple(ip_network(network) for network in args.allow_network)
    except ValueError as error:
        raise InvalidInputError("--allow-network", str(error)) from error
    for flag, value in (("--at-once", args.at_once), ("--per-host", args.per_host)):
        if not 1 <= value <= 256:
            raise InvalidInputError(flag, f"{value} is not from 1 to 256")
    settings = Settings(
        at_once=args.at_once,
        max_total_bytes=round(args.max_gb * 1e9),
        manners=Manners(per_host=args.per_host),
        allowed=allowed,
    )
    report = download_images(args.folder, settings)
    if args.json:
        print_json(report.to_json())
    else:
        print(report.to_text(), end="")
    return 0 if report.with_image or not report.items else 1


def run_import(args: Args) -> int:
    from hemline_training.data.column_map import read_column_map
    from hemline_training.data.import_data import import_data

    out = args.out or Path(".hemline/data") / args.path.resolve().name.split(".")[0]
    columns = None if args.map is None else read_column_map(args.map)
    if args.fill is not None:
        check_confidence("--fill", args.fill)
    report = import_data(args.format, args.path, out, args.max_bad_share, columns)
    filled = fill(out, args.fill) if args.fill is not None else None
    if args.json:
        print_json(report.to_json() | ({"filled": filled.to_json()} if filled else {}))
    else:
        print(report.to_text() + (filled.to_text() if filled else ""), end="")
    return 0
