"""`hemline VERB …`, also as `python -m hemline.cli`.

Finds the verb, runs it, and turns whatever goes wrong into one line and an exit code: 0 done,
1 failed, 2 called wrongly, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from hemline.cli import (
    ask,
    bench,
    catalog,
    cluster,
    data,
    demo,
    evaluate,
    keys,
    release,
    replay,
    report,
    shopper,
    train,
)
from hemline.errors import HemlineError


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="hemline",
        description="Fashion recommendations for shoppers a shop hardly knows.",
        epilog="`hemline VERB --help` shows an example of each. First time: `hemline demo`.",
    )
    verbs = top.add_subparsers(metavar="VERB", required=True)
    for group in (
        demo,
        catalog,
        data,
        train,
        evaluate,
        report,
        release,
        cluster,
        replay,
        ask,
        shopper,
        keys,
        bench,
    ):
        group.add_verbs(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `hemline … | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except HemlineError as error:
        return _failed(str(error))
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        return _failed(f"{what}{error.strerror or error}")
    except ModuleNotFoundError as error:
        return _failed(
            f"this verb needs the Python module {error.name}, which serving does without: "
            "pip install 'hemline[training]'"
        )
    except KeyboardInterrupt:
        print("hemline: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("HEMLINE_DEBUG"):
            raise
        return _failed(f"{type(error).__name__}: {error} (HEMLINE_DEBUG=1 shows where)")


def _failed(reason: str) -> int:
    print(f"hemline: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
