"""Verbs about who may call: API keys of the gateway, and certificates to try TLS out with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from hemline.cli.verb import Args, Verbs, add_verb, console, print_json


def add_verbs(verbs: Verbs) -> None:
    keys = verbs.add_parser(
        "keys",
        help="make, list and revoke API keys of the gateway",
        description="Make, list and revoke API keys of the gateway.",
    )
    jobs = keys.add_subparsers(metavar="JOB", required=True)

    create = add_verb(
        jobs,
        "create",
        run_create,
        "add a key; it is shown once, and never again",
        "hemline keys create --tenant shop-app --scope recommend --scope events --rate 200\n"
        "python -m hemline.gateway --api-keys .hemline/keys.json …",
    )
    create.add_argument("--tenant", required=True, metavar="NAME", help="who will use it")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=("recommend", "events", "users", "catalog", "admin"),
        help="what it is good for; once for each",
    )
    create.add_argument(
        "--rate", type=float, default=0.0, metavar="N", help="messages a second (default: no limit)"
    )
    create.add_argument(
        "--burst",
        type=float,
        default=0.0,
        metavar="N",
        help="messages at once, after a pause (default: two seconds of the rate)",
    )
    _add_file(create)

    listed = add_verb(
        jobs, "list", run_list, "show the keys, without secrets", "hemline keys list --json"
    )
    _add_file(listed)

    revoke = add_verb(
        jobs,
        "revoke",
        run_revoke,
        "put a key out of force; gateways follow within a second",
        "hemline keys revoke 4be1d50c77",
    )
    revoke.add_argument("id", metavar="ID", help="as `hemline keys list` shows it")
    _add_file(revoke)

    certs = add_verb(
        verbs,
        "certs",
        run_certs,
        "make a CA and certificates to try TLS out with",
        "hemline certs .hemline/tls",
    )
    certs.add_argument("folder", type=Path, metavar="DIR", help="where to write them")
    certs.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help="name or address of the servers; once for each (default: this machine)",
    )
    certs.add_argument("--days", type=float, default=90.0, help="valid for (default: %(default)g)")


def _add_file(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        default=Path(
            os.environ.get("HEMLINE_API_KEYS")
            or Path(os.environ.get("HEMLINE_HOME", ".hemline")) / "keys.json"
        ),
        help="the file of keys (or HEMLINE_API_KEYS; default: %(default)s)",
    )


def run_create(args: Args) -> int:
    from hemline.key_file import create_key

    record, key = create_key(args.file, args.tenant, args.scope, args.rate, args.burst)
    if args.json:
        print_json({"id": record.id, "tenant": record.tenant, "key": key, "file": str(args.file)})
    else:
        print(f"{key}\nKeep it: {args.file} holds its hash alone. Its id is {record.id}.")
    return 0


def run_list(args: Args) -> int:
    from rich.table import Table

    from hemline.key_file import read_keys

    records = read_keys(args.file)
    if args.json:
        fields = ("id", "tenant", "scopes", "rate_per_s", "burst", "created", "revoked")
        print_json([{name: getattr(record, name) for name in fields} for record in records])
        return 0
    table = Table("id", "tenant", "scopes", "a second", "at once", "made", "revoked")
    for record in records:
        limits = (
            (f"{record.rate_per_s:g}", f"{record.burst:g}") if record.rate_per_s else ("-",) * 2
        )
        scopes = " ".join(record.scopes)
        table.add_row(
            record.id, record.tenant, scopes, *limits, record.created, record.revoked or "-"
        )
    console().print(table)
    return 0


def run_revoke(args: Args) -> int:
    from hemline.key_file import revoke_key

    record = revoke_key(args.file, args.id)
    if args.json:
        print_json({"id": record.id, "tenant": record.tenant, "revoked": record.revoked})
    else:
        print(f"the key {record.id} of {record.tenant} is out of force since {record.revoked}")
    return 0


def run_certs(args: Args) -> int:
    from hemline.local.certificates import LOCAL_HOSTS, make_certificates

    made = make_certificates(args.folder, args.host or LOCAL_HOSTS, args.days)
    if args.json:
        print_json({"files": sorted(str(path) for path in made.folder.glob("*.pem"))})
    else:
        print(
            f"a CA, a server's and a client's certificate are in {made.folder}; "
            f"try `hemline up --tls {made.folder}`"
        )
    return 0
