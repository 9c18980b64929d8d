"""How a verb is declared, and the ways all verbs speak: tables to people, JSON to machines.

Nothing here or at the top of a verb's module may import more than the standard library:
`hemline --help` answers in a fraction of a second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console

Args = argparse.Namespace
Run = Callable[[Args], int]
# argparse has no public name for what add_subparsers returns.
Verbs = Any

_WIDTH_WITHOUT_TERMINAL = 140


def add_verb(verbs: Verbs, name: str, run: Run, help: str, example: str) -> argparse.ArgumentParser:
    """A verb with its example; `run` returns the exit code."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog="example:\n" + "\n".join(f"  {line}" for line in example.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    return parser


def add_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("HEMLINE_HOME", ".hemline")),
        help="where releases, logs and state are (or HEMLINE_HOME; default: %(default)s)",
    )


def add_gateway(parser: argparse.ArgumentParser) -> None:
    """The flags from which `client.connect` finds the cluster to talk to, and --timeout."""
    add_address(parser)
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="default: %(default)g"
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    """--gateway, --home and the files for TLS, as `client.credentials` reads them.

    An API key comes from HEMLINE_API_KEY alone: everybody on a machine can read its command lines.
    """
    add_home(parser)
    parser.add_argument(
        "--gateway",
        metavar="HOST:PORT",
        default=os.environ.get("HEMLINE_GATEWAY", ""),
        help="the cluster to ask (or HEMLINE_GATEWAY; default: the one that is up in --home)",
    )
    for flag, variable, what in (
        ("--tls-ca", "HEMLINE_TLS_CA", "its certificate's CA, for TLS"),
        ("--tls-client-cert", "HEMLINE_TLS_CLIENT_CERT", "to show it, for mutual TLS"),
        ("--tls-client-key", "HEMLINE_TLS_CLIENT_KEY", "the key of that"),
    ):
        parser.add_argument(
            flag,
            metavar="FILE",
            default=os.environ.get(variable, ""),
            help=f"{what} (or {variable}; not needed for a cluster that is up in --home)",
        )


def print_json(value: Any) -> None:
    """A protobuf message or plain data, indented, on stdout."""
    if hasattr(value, "DESCRIPTOR"):
        value = _plain(value)
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


def console(stderr: bool = False) -> Console:
    """Where tables for people go: as wide as the terminal, or wide enough where there is none."""
    from rich.console import Console

    to_people = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    return Console(
        stderr=stderr, width=None if to_people else _WIDTH_WITHOUT_TERMINAL, highlight=False
    )


def _plain(message: Message) -> Any:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
