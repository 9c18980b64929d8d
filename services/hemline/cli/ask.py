"""Verbs that ask for items: recommend, search, similar."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemline.cli.verb import Args, Verbs, add_gateway, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.v1.common_pb2 import Filter

_MAX_IMAGE_BYTES = 8 * 1024 * 1024


def add_verbs(verbs: Verbs) -> None:
    recommend = add_verb(
        verbs,
        "recommend",
        run_recommend,
        "recommend items to a shopper, known or not",
        "hemline recommend alice -k 5 --filter gender=Women --filter colour=Red --price :80",
    )
    recommend.add_argument("user", metavar="USER")
    _add_answer_options(recommend)

    search = add_verb(
        verbs,
        "search",
        run_search,
        "search by text, by an image, or by both",
        'hemline search "red summer dress" --user alice\n'
        "hemline search --image photo.jpg --filter gender=Women",
    )
    search.add_argument("text", metavar="TEXT", nargs="?", default="")
    search.add_argument("--image", type=Path, metavar="FILE", help="JPEG, PNG or WebP, 8 MiB")
    search.add_argument(
        "--image-weight",
        type=float,
        metavar="SHARE",
        help="0 to 1, when text and image are given; default: 0.5",
    )
    _add_taste(search)
    _add_answer_options(search)

    similar = add_verb(
        verbs,
        "similar",
        run_similar,
        "show items like a given one",
        "hemline similar demo-00042 -k 8",
    )
    similar.add_argument("item", metavar="ITEM")
    _add_taste(similar)
    _add_answer_options(similar)


def run_recommend(args: Args) -> int:
    from hemline.cli.client import connect

    with connect(args) as gateway:
        answer = gateway.recommend(args.user, args.k, _filter(args))
    return _show(args, f"for {args.user}", answer)


def run_search(args: Args) -> int:
    from hemline.cli.client import connect
    from hemline.v1 import recommender_pb2

    request = recommender_pb2.SearchRequest(
        text=args.text,
        image=_read_image(args.image) if args.image else b"",
        k=args.k,
        filter=_filter(args),
        image_weight=args.image_weight,
        user_id=args.user,
        user_weight=args.user_weight if args.user else 0.0,
    )
    with connect(args) as gateway:
        answer = gateway.search(request)
    sought = " and ".join(part for part in (args.text, str(args.image or "")) if part)
    return _show(args, f"search {sought}", answer)


def run_similar(args: Args) -> int:
    from hemline.cli.client import connect
    from hemline.v1 import recommender_pb2

    request = recommender_pb2.SimilarItemsRequest(
        item_id=args.item,
        k=args.k,
        filter=_filter(args),
        user_id=args.user,
        user_weight=args.user_weight if args.user else 0.0,
    )
    with connect(args) as gateway:
        answer = gateway.similar(request)
    return _show(args, f"like {args.item}", answer)


def attribute_value(text: str) -> tuple[str, str]:
    """ "colour=Red" -> ("colour", "Red")."""
    attribute, equals, value = text.partition("=")
    if not (attribute and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not ATTRIBUTE=VALUE, e.g. colour=Red")
    return attribute.strip(), value.strip()


def price_range(text: str) -> tuple[float | None, float | None]:
    """ "20:50", "20:" or ":50" -> both ends, inclusive; None where open."""
    low, colon, high = text.partition(":")
    try:
        if not colon or not (low or high):
            raise ValueError
        return (float(low) if low else None, float(high) if high else None)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not MIN:MAX, e.g. 20:50 or :50") from None


def _add_answer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-k", type=int, default=10, help="how many items (default: %(default)s)")
    parser.add_argument(
        "--filter",
        type=attribute_value,
        action="append",
        default=[],
        metavar="ATTR=VALUE",
        help="only such items; may be repeated, several values of one attribute are alternatives",
    )
    parser.add_argument(
        "--price", type=price_range, metavar="MIN:MAX", help="either may be left out"
    )
    parser.add_argument(
        "--explain", action="store_true", help="show what each model added to the score"
    )
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="also draw the answer's photos")
    parser.add_argument(
        "--catalog",
        type=Path,
        metavar="DIR",
        help="where the photos are (default: HOME/catalogue, else the demo one)",
    )
    add_gateway(parser)


def _add_taste(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", metavar="USER", default="", help="blend in this shopper's taste")
    parser.add_argument(
        "--user-weight", type=float, default=0.3, metavar="SHARE", help="default: %(default)s"
    )


def _filter(args: Args) -> Filter:
    from hemline import filters
    from hemline.wire import filter_to_proto

    values: dict[str, list[str]] = {}
    for attribute, value in args.filter:
        values.setdefault(attribute, []).append(value)
    parts: list[filters.Filter] = [filters.In(name, tuple(v)) for name, v in values.items()]
    if args.price:
        parts.append(filters.Range("price", *args.price))
    return filter_to_proto(filters.AllOf(tuple(parts)) if parts else None)


def _read_image(path: Path) -> bytes:
    from hemline.errors import BadImageError

    if path.stat().st_size > _MAX_IMAGE_BYTES:
        raise BadImageError("--image", f"{path} has more than 8 MiB")
    return path.read_bytes()


def _show(args: Args, title: str, answer: Any) -> int:
    from hemline.cli.answer_table import print_answer

    if args.sheet:
        from hemline.cli.contact_sheet import write_contact_sheet

        usual = (args.home / "catalogue", args.home / "catalogue-demo")
        photos = args.catalog or next((folder for folder in usual if folder.is_dir()), usual[0])
        write_contact_sheet(args.sheet, [(title, answer.items)], photos)

    if args.json:
        print_json(answer)
    else:
        print_answer(console(), title, answer.info, answer.items, args.explain)
    return 0
