"""How every process starts: settings read once, logs set up, one line when it cannot go on."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from hemline.boundary import CallerInLogs
from hemline.errors import HemlineError

C = TypeVar("C")


def read_config(kind: type[C], process: str, argv: Sequence[str] | None = None) -> C:
    """An instance of a frozen Config dataclass from flags, else environment, else its defaults.

    `search_threads: int` is the flag --search-threads and the variable HEMLINE_SEARCH_THREADS.
    """
    parser = argparse.ArgumentParser(prog=f"python -m hemline.{process}")
    hints = get_type_hints(kind)
    for setting in fields(kind):  # type: ignore[arg-type]
        variable = f"HEMLINE_{setting.name.upper()}"
        default = os.environ.get(
            variable, setting.default if setting.default is not MISSING else None
        )
        parser.add_argument(
            f"--{setting.name.replace('_', '-')}",
            type=_reader(hints[setting.name]),
            default=default,
            required=default is None and setting.default is MISSING,
            help=f"(or {variable}; default: {default})",
        )
    return kind(**vars(parser.parse_args(argv)))


def run_process(main: Callable[[C], Coroutine[Any, Any, None]], config: C) -> None:
    """Run a service's `main` until it returns; exit 1 with one line on an error it can name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(CallerInLogs())
    logging.basicConfig(
        level=os.environ.get("HEMLINE_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s%(caller)s: %(message)s",
        handlers=[handler],
    )
    try:
        asyncio.run(main(config))
    except (HemlineError, OSError) as error:
        logging.getLogger("hemline").error("%s", error)
        raise SystemExit(1) from error


def _reader(hint: Any) -> Callable[[str], Any]:
    if hint is bool:
        return _read_bool
    readers: dict[Any, Callable[[str], Any]] = {int: int, float: float, Path: Path}
    readers[Path | None] = Path
    return readers.get(hint, str)


def _read_bool(text: str | bool) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    try:
        return words[str(text).lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None
