"""`make loadtest`: a short load test from nothing. Starts the cluster of a home if none is up,
runs locust against it, says where the reports are, and stops what it started.

    python loadtest/run.py --shape spike --rate 80 --seconds 60

Flags it does not know go to locust (loadtest/README.md). Exits 0 only if every SLO was kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from html import escape
from pathlib import Path
from typing import Any

from hemline.cli.client import cluster_in, credentials
from hemline.cli.verb import add_address
from hemline.errors import HemlineError, NotFoundError
from hemline.local.background import stop_cluster
from hemline.local.up import UpConfig, up_in_background
from hemline.tls import ClientTls

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_address(parser)
    args, for_locust = parser.parse_known_args()
    started, cluster = False, None
    gateway = args.gateway
    if not gateway:
        try:
            cluster = cluster_in(args.home)
        except NotFoundError:
            cluster = up_in_background(UpConfig(args.home, base_port=0))
            started = True
        gateway = cluster.gateway
    try:
        tls = credentials(args, cluster).tls
        return run_locust(gateway, args.home / "loadtest", [*tls_flags(tls), *for_locust])
    finally:
        if started:
            stop_cluster(args.home / "run")


def tls_flags(tls: ClientTls | None) -> list[str]:
    """The files as the locustfile takes them; the API key is in HEMLINE_API_KEY for both."""
    if tls is None:
        return []
    flags = ["--tls-ca", str(tls.ca)]
    if tls.cert and tls.key:
        flags += ["--tls-client-cert", str(tls.cert), "--tls-client-key", str(tls.key)]
    return flags


def run_locust(gateway: str, reports: Path, flags: list[str]) -> int:
    """Run one load test; its exit code. Both reports are named on stdout."""
    reports.mkdir(parents=True, exist_ok=True)
    report = reports / time.strftime("%Y%m%d-%H%M%S")
    html, plain = report.with_suffix(".html"), report.with_suffix(".json")
    command = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--host", gateway]
    command += ["--headless", "--only-summary", "--html", str(html), "--report", str(plain)]
    code = subprocess.run([*command, *flags]).returncode
    if html.exists() and plain.exists():
        put_verdict(html, json.loads(plain.read_text()))
    for written in (html, plain):
        if written.exists():
            print(f"report: {written}")
    return code


def put_verdict(html: Path, report: dict[str, Any]) -> None:
    """Begin locust's page, which knows no objectives, with the verdict and what it rests on."""
    profile = report["profile"]
    lines = [f"{broken}" for broken in report["broken"]] or ["all objectives were met"]
    lines.append(
        f"{profile['name']}, {profile['rate_per_s']:g} requests/s for {profile['seconds']:g} s; "
        f"{report['degraded']} of {report['answers']} answers degraded; "
        f"99% of the calls were sent at most {report['send_lag_p99_ms']:g} ms late"
    )
    word, colour = ("PASSED", "#1b7f3b") if report["passed"] else ("FAILED", "#b3261e")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    verdict = (
        '<section style="font-family: sans-serif; max-width: 1150px; margin: 24px auto 0">'
        f'<h2 style="color: {colour}; margin: 0">{word}</h2><ul>{items}</ul></section>'
    )
    page = html.read_text()
    html.write_text(page.replace('<div id="root">', f'{verdict}<div id="root">', 1))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (HemlineError, OSError) as error:
        raise SystemExit(f"loadtest: {error}") from error
