"""`hemline report`: one HTML page of what was measured and what the models recommend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hemline.cli.verb import Args, Verbs, add_home, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.releases import Release

_EXAMPLE = """\
hemline report --out report.html
hemline report --evaluation gowalla.json baby.json --out report.html
hemline report --release r0001-17be2e74 --catalog .hemline/catalogue --out report.html"""


def add_verbs(verbs: Verbs) -> None:
    report = add_verb(
        verbs,
        "report",
        run_report,
        "write one HTML page, to read offline: how good each model is, for whom, and what it "
        "recommends",
        _EXAMPLE,
    )
    report.add_argument("--out", type=Path, default=Path("report.html"), help="(%(default)s)")
    report.add_argument(
        "--evaluation",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="what `hemline evaluate --json FILE` wrote, one or several",
    )
    report.add_argument(
        "--release", metavar="ID", help="whose items and lists to show (default: the promoted one)"
    )
    report.add_argument(
        "--catalog",
        type=Path,
        metavar="DIR",
        help="the catalogue with the photos (default: the one in --home that it was trained on)",
    )
    report.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    add_home(report)


def run_report(args: Args) -> int:
    from hemline_training.report.story import ReportConfig, write_report

    err = console(stderr=True)
    release = _release(args)
    done = write_report(
        ReportConfig(
            args.out,
            tuple(args.evaluation),
            release,
            args.catalog or _catalogue_of(release, args.home),
            args.seed,
        ),
        lambda what: err.print(what, style="dim"),
    )
    if args.json:
        print_json(done)
        return 0
    print(f"{done['report']} ({done['bytes'] / 1e6:.1f} MB); open it in a browser")
    missing = [name for name, complete in done["sections"].items() if not complete]
    if missing:
        print(f"without {', '.join(missing)}: the page says what is needed for them")
    return 0


def _release(args: Args) -> Release | None:
    """The named one, else the promoted one, else none (a report of evaluations alone)."""
    from hemline.releases import current_id, open_release

    root = args.home / "releases"
    if args.release is None and current_id(root) is None:
        return None
    return open_release(root, args.release)


def _catalogue_of(release: Release | None, home: Path) -> Path | None:
    if release is None:
        return None
    folder = home / str(release.manifest.get("catalogue", "catalogue"))
    return folder if (folder / "items.parquet").is_file() else None
