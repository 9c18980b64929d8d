"""Verbs about data sets: data import."""

from __future__ import annotations

from pathlib import Path

from hemline.cli.verb import Args, Verbs, add_verb, print_json

_FORMATS = (
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
    bring.add_argument("format", metavar="FORMAT", choices=_FORMATS, help=", ".join(_FORMATS))
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


def run_import(args: Args) -> int:
    from hemline_training.data.column_map import read_column_map
    from hemline_training.data.import_data import import_data

    out = args.out or Path(".hemline/data") / args.path.resolve().name.split(".")[0]
    columns = None if args.map is None else read_column_map(args.map)
    report = import_data(args.format, args.path, out, args.max_bad_share, columns)
    if args.json:
        print_json(report.to_json())
    else:
        print(report.to_text(), end="")
    return 0
