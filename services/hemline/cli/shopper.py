"""Verbs about one shopper: click, user, import-history."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from hemline.cli.verb import Args, Verbs, add_gateway, add_verb, console, print_json

KINDS = ("view", "click", "wish", "bag", "purchase", "dislike")
_VISIBLE_WITHIN_S = 10.0


def add_verbs(verbs: Verbs) -> None:
    click = add_verb(
        verbs,
        "click",
        run_click,
        "record what a shopper did with an item",
        "hemline click alice demo-00042 --kind purchase --wait",
    )
    click.add_argument("user", metavar="USER")
    click.add_argument("item", metavar="ITEM")
    click.add_argument("--kind", choices=KINDS, default="click", help="default: %(default)s")
    click.add_argument(
        "--wait", action="store_true", help="wait until the next answer knows it; say how long"
    )
    add_gateway(click)

    user = add_verb(
        verbs, "user", run_user, "show what is known of a shopper", "hemline user alice"
    )
    user.add_argument("user", metavar="USER")
    add_gateway(user)

    bring = add_verb(
        verbs,
        "import-history",
        run_import_history,
        "bring in what a shopper bought on other platforms",
        "hemline import-history alice wardrobe.csv --platform elsewhere",
    )
    bring.formatter_class = argparse.RawDescriptionHelpFormatter
    bring.description = """Bring in what a shopper bought on other platforms.

FILE is .csv (with a header), .json (a list of objects) or .jsonl. Each row has a title or an
image, or both; all other fields may be missing:

  title     what the item was called there
  image     path of a JPEG, PNG or WebP file, relative to FILE
  category  free text, e.g. Dresses
  price     a number, in
  currency  an ISO 4217 code, e.g. EUR
  weight    how much it counts, above 0 and at most 100; or
  kind      view, click, wish, bag, purchase or dislike, which sets the weight

Rows that cannot be used are reported by number (the first is 1); the others are imported."""
    bring.add_argument("user", metavar="USER")
    bring.add_argument("file", metavar="FILE", type=Path)
    bring.add_argument("--platform", default="", metavar="NAME", help="where the items come from")
    bring.add_argument(
        "--replace", action="store_true", help="forget what this shopper imported before"
    )
    add_gateway(bring)


def run_click(args: Args) -> int:
    from hemline.cli.client import connect
    from hemline.wire import EVENT_KINDS

    with connect(args) as gateway:
        before = gateway.user(args.user).state_version if args.wait else 0
        recorded = gateway.record_event(args.user, args.item, EVENT_KINDS[args.kind])
        visible_s = (
            gateway.wait_for_change(args.user, before, _VISIBLE_WITHIN_S) if args.wait else None
        )
    if args.json:
        visible_ms = None if visible_s is None else round(visible_s * 1000, 1)
        found = {"event_id": recorded.event_id, "offset": recorded.offset}
        print_json({**found, "visible_ms": visible_ms})
    else:
        after = "" if visible_s is None else f", visible after {visible_s * 1000:.0f} ms"
        print(f"{args.kind} recorded as event {recorded.event_id}{after}")
    return 0


def run_user(args: Args) -> int:
    from rich.markup import escape
    from rich.table import Table

    from hemline.cli.client import connect
    from hemline.wire import EVENT_KIND_NAMES

    with connect(args) as gateway:
        user = gateway.user(args.user)
    if args.json:
        print_json(user)
        return 0
    out = console()
    if not user.known:
        out.print(f"nothing is stored of {escape(args.user)}")
        return 0
    vector = f"vector of release {user.vector_release}" if user.vector_release else "no vector"
    out.print(
        f"[bold]{escape(args.user)}[/]: {len(user.history)} events, {user.imported_items} imported "
        f"items, {vector}, version {user.state_version} of the state"
    )
    table = Table("when", "what", "item")
    for event in user.history:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.occurred_ms / 1000))
        table.add_row(when, EVENT_KIND_NAMES[event.kind], escape(event.item_id))
    out.print(table)
    return 0


def run_import_history(args: Args) -> int:
    from hemline.cli.client import connect
    from hemline.cli.foreign_items import import_file

    with connect(args) as gateway:
        result = import_file(gateway, args.user, args.file, args.platform, args.replace)
    if args.json:
        print_json(result.to_json())
    else:
        for name in result.ignored_columns:
            print(f"column {name!r} is not used", file=sys.stderr)
        for bad in result.bad_rows:
            print(f"row {bad.number}: {bad.field}: {bad.reason}", file=sys.stderr)
        print(f"{result.accepted} of {result.rows} items imported for {args.user}")
    return 0 if result.accepted else 1
