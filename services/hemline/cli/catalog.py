"""Verbs about catalogues in files: catalog import, catalog fill, catalog demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hemline.cli import catalog_live
from hemline.cli.verb import Args, Verbs, add_verb, print_json

if TYPE_CHECKING:
    from hemline_training.attributes.catalogue import FillReport
    from hemline_training.catalogue.report import ImportReport

_FASHION_PRODUCTS = ("products.csv", "styles_15k.csv", "images_60x80.parquet")


def add_verbs(verbs: Verbs) -> None:
    catalog = verbs.add_parser(
        "catalog", help="bring in a catalogue, draw one, or change a cluster's"
    )
    inner = catalog.add_subparsers(metavar="VERB", required=True)

    bring = add_verb(
        inner,
        "import",
        run_import,
        "bring in a shop's catalogue, cleaned, with a report of what was repaired or dropped",
        "hemline catalog import ../data/fashion_products --out .hemline/catalogue",
    )
    bring.add_argument("path", metavar="PATH", type=Path, help="folder of a known format")
    _add_out(bring)
    bring.add_argument(
        "--allow-missing-images", action="store_true", help="keep items without a usable image"
    )

    fill = add_verb(
        inner,
        "fill",
        run_fill,
        "fill attributes that the catalogue lacks from its photos, noting how sure each one is",
        "hemline catalog fill .hemline/catalogue --at-least 0.9",
    )
    fill.add_argument("path", metavar="DIR", type=Path, help="folder with items.parquet")
    fill.add_argument(
        "--at-least",
        type=float,
        default=0.8,
        metavar="P",
        help="the confidence below which a value stays unknown (default: %(default)s)",
    )
    fill.add_argument(
        "--model", type=Path, metavar="DIR", help="of `hemline train attributes` (default: ours)"
    )

    draw = add_verb(
        inner,
        "demo",
        run_demo,
        "draw a catalogue of invented garments, free to share",
        "hemline catalog demo --out .hemline/catalogue-demo --items 2000",
    )
    _add_out(draw)
    draw.add_argument("--items", type=int, default=2000, help="default: %(default)s")
    draw.add_argument("--seed", type=int, default=0, help="default: %(default)s")

    catalog_live.add_verbs(inner)


def run_import(args: Args) -> int:
    return _show(import_catalogue(args.path, args.out, args.allow_missing_images), args.json)


def run_fill(args: Args) -> int:
    check_confidence("--at-least", args.at_least)
    report = fill(args.path, args.at_least, args.model)
    if args.json:
        print_json(report.to_json())
    else:
        print(report.to_text(), end="")
    return 0


def check_confidence(flag: str, value: float) -> None:
    from hemline.errors import InvalidInputError

    if not 0 < value <= 1:
        raise InvalidInputError(flag, f"{value} is no confidence above 0, up to 1")


def fill(folder: Path, at_least: float, model: Path | None = None) -> FillReport:
    """Read missing attributes off the photos of folder/items.parquet; see `fill_catalogue`."""
    from hemline_training.attributes.catalogue import fill_catalogue
    from hemline_training.attributes.fill import AttributeFiller
    from hemline_training.attributes.network import AttributeModel

    network = AttributeModel.load(model) if model else AttributeModel.load()
    return fill_catalogue(folder, AttributeFiller(network, at_least))


def run_demo(args: Args) -> int:
    from hemline_training.demo_catalogue import write_demo_catalogue

    return _show(write_demo_catalogue(args.out, args.items, args.seed), args.json)


def import_catalogue(path: Path, out: Path, allow_missing_images: bool = False) -> ImportReport:
    """Import a folder whose format its files tell. Raises CatalogueError for an unknown one."""
    from hemline.errors import CatalogueError
    from hemline_training.catalogue.fashion_products import import_fashion_products

    if not path.is_dir():
        raise CatalogueError(f"{path} is not a folder")
    if not (path / _FASHION_PRODUCTS[0]).is_file():
        raise CatalogueError(
            f"{path} has no known format: fashion_products has {', '.join(_FASHION_PRODUCTS)}"
        )
    return import_fashion_products(path, out, allow_missing_images)


def _add_out(parser: object) -> None:
    parser.add_argument(  # type: ignore[attr-defined]
        "--out", type=Path, required=True, metavar="DIR", help="folder for items.parquet"
    )


def _show(report: ImportReport, as_json: bool) -> int:
    if as_json:
        print_json(report.to_json())
    else:
        print(report.to_text(), end="")
    return 0
