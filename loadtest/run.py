"""`make loadtest`: a short load test from nothing. Starts the cluster of a home if none is up,
runs locust against it, says where the reports are, and stops what it started.

    python loadtest/run.py --shape spike --rate 80 --seconds 60

Flags it does not know go to locust (loadtest/README.md). Exits 0 only if every SLO was kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from hemline.cli.client import address_in
from hemline.errors import HemlineError, NotFoundError
from hemline.local.background import stop_cluster
from hemline.local.up import UpConfig, up_in_background

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    home = Path(os.environ.get("HEMLINE_HOME", ".hemline"))
    parser.add_argument("--home", type=Path, default=home, help="default: %(default)s")
    parser.add_argument("--gateway", default="", help="HOST:PORT of a cluster that runs elsewhere")
    args, for_locust = parser.parse_known_args()
    started = False
    gateway = args.gateway
    if not gateway:
        try:
            gateway = address_in(args.home)
        except NotFoundError:
            gateway = up_in_background(UpConfig(args.home, base_port=0)).gateway
            started = True
    try:
        return run_locust(gateway, args.home / "loadtest", for_locust)
    finally:
        if started:
            stop_cluster(args.home / "run")


def run_locust(gateway: str, reports: Path, flags: list[str]) -> int:
    """Run one load test; its exit code. Both reports are named on stdout."""
    reports.mkdir(parents=True, exist_ok=True)
    report = reports / time.strftime("%Y%m%d-%H%M%S")
    html, plain = report.with_suffix(".html"), report.with_suffix(".json")
    command = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--host", gateway]
    command += ["--headless", "--only-summary", "--html", str(html), "--report", str(plain)]
    code = subprocess.run([*command, *flags]).returncode
    for written in (html, plain):
        if written.exists():
            print(f"report: {written}")
    return code


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (HemlineError, OSError) as error:
        raise SystemExit(f"loadtest: {error}") from error
