"""Verbs about the live catalogue of a cluster: catalog upsert, catalog delete.

Items are sent some hundreds at a time, each call acknowledged once all of its items are durable; to
send all of them again is harmless, so an interrupted upsert is simply repeated.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemline.cli.verb import Args, Verbs, add_gateway, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.v1 import catalog_pb2

_AT_A_TIME = 500
_SHOWN_ERRORS = 20


def add_verbs(inner: Verbs) -> None:
    """inner: of the verb `catalog`."""
    upsert = add_verb(
        inner,
        "upsert",
        run_upsert,
        "add or change items of the running cluster; searches find them at once",
        "hemline catalog upsert .hemline/catalogue\n"
        "HEMLINE_API_KEY=hk_… hemline catalog upsert acme/items.parquet --tenant acme",
    )
    upsert.add_argument(
        "path", metavar="PATH", type=Path, help="an items.parquet, or the folder that holds one"
    )
    upsert.add_argument(
        "--tenant",
        default="",
        metavar="NAME",
        help="whose the items are that name nobody; without it, they are everybody's",
    )
    add_gateway(upsert)

    delete = add_verb(
        inner,
        "delete",
        run_delete,
        "delete items of the running cluster; no answer has them from then on",
        "hemline catalog delete demo-00042 demo-00043",
    )
    delete.add_argument("items", metavar="ITEM", nargs="+")
    add_gateway(delete)


@dataclass
class Upserted:
    """errors: of refused items, the first hundred of each call, {item_id, field, message}."""

    accepted: int = 0
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)


def run_upsert(args: Args) -> int:
    from rich.progress import Progress

    from hemline.catalogue_file import count_items
    from hemline.cli.client import connect

    done = Upserted()
    shown = Progress(console=console(stderr=True), transient=True, disable=args.json)
    sent = shown.add_task("items", total=count_items(args.path))
    # A call takes as long as its items take; each is given as much as one call elsewhere.
    args.timeout = max(args.timeout, 60.0)
    with connect(args) as gateway, shown:
        for messages in _messages(args.path, args.tenant):
            answer = gateway.upsert_items(messages)
            done.accepted += answer.accepted
            done.rejected += answer.rejected
            done.errors += [
                {"item_id": error.item_id, "field": error.field, "message": error.message}
                for error in answer.errors
            ]
            shown.advance(sent, len(messages))
    if args.json:
        print_json(dataclasses.asdict(done))
    else:
        for error in done.errors[:_SHOWN_ERRORS]:
            print("{item_id}: {field}: {message}".format(**error), file=sys.stderr)
        print(f"{done.accepted:,} items upserted, {done.rejected:,} refused")
    return 1 if done.rejected else 0


def run_delete(args: Args) -> int:
    from hemline.cli.client import connect

    with connect(args) as gateway:
        answer = gateway.delete_items(args.items)
    if args.json:
        print_json(answer)
    else:
        for item_id in answer.unknown_item_ids:
            print(f"{item_id}: there is no such item", file=sys.stderr)
        print(f"{answer.deleted:,} items deleted")
    return 1 if answer.unknown_item_ids else 0


def _messages(path: Path, tenant: str) -> Iterator[list[catalog_pb2.UpsertItemsRequest]]:
    from hemline.catalogue_file import read_items
    from hemline.v1 import catalog_pb2
    from hemline.wire import item_to_proto

    for batch in read_items(path, _AT_A_TIME):
        yield [
            catalog_pb2.UpsertItemsRequest(
                item=item_to_proto(dataclasses.replace(item, tenant=item.tenant or tenant or None)),
                image=image or b"",
            )
            for item, image in batch
        ]
