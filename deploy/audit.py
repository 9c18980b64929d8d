"""python deploy/audit.py: are there known vulnerabilities in what this environment has installed?

Asks pip-audit, first with PyPI's advisories, then with OSV's. An index that mirrors PyPI without
its advisories makes pip-audit say "no known vulnerabilities" although it found not one package, and
a network without any source makes it end in a traceback. Neither is a pass, so what it found is
read and judged here: vulnerable, clean, or skipped because nobody could be asked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

SOURCES = {"pypi": "PyPI's JSON API", "osv": "api.osv.dev"}  # pip-audit's name of each, and ours


@dataclass(frozen=True)
class Findings:
    """What one advisory source knows about the installed packages."""

    vulnerable: tuple[str, ...]  # "jinja2 2.4.1: PYSEC-2014-8 (CVE-2014-1402), fixed in 2.7.2"
    checked: int  # packages whose version the source knows
    unchecked: tuple[str, ...]  # names of those it does not


class NoSourceError(Exception):
    """This source of advisories could not be asked; the message says why."""


def read_findings(report: str) -> Findings:
    """What pip-audit's JSON report says.

    Raises NoSourceError when the source knew not one package, ValueError for a report of another
    shape than that of pip-audit 2.
    """
    try:
        packages = [
            package
            for package in json.loads(report)["dependencies"]
            if "editable" not in package.get("skip_reason", "")  # our own
        ]
        unchecked = tuple(package["name"] for package in packages if "skip_reason" in package)
        checked = [package for package in packages if "skip_reason" not in package]
        vulnerable = tuple(
            f"{package['name']} {package['version']}: {_advisory(found)}"
            for package in checked
            for found in package["vulns"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"pip-audit's report is not the JSON of its version 2 ({error!r}): {report[:200]!r}"
        ) from error
    if not checked:
        raise NoSourceError(f"knows none of the {len(unchecked)} packages")
    return Findings(vulnerable, len(checked), unchecked)


def _advisory(found: dict[str, Any]) -> str:
    known_as = f" ({', '.join(found['aliases'])})" if found["aliases"] else ""
    fixed = ", ".join(found["fix_versions"])
    return f"{found['id']}{known_as}, " + (f"fixed in {fixed}" if fixed else "no fixed version")


def verdict(findings: Findings, source: str) -> tuple[int, list[str]]:
    """The exit code, and the lines that tell it."""
    lines = []
    if findings.unchecked:
        lines.append(f"unknown to {source}, not checked: {', '.join(findings.unchecked)}")
    if findings.vulnerable:
        lines += findings.vulnerable
        lines.append(f"audit failed: {len(findings.vulnerable)} known vulnerabilities")
        return 1, lines
    of = findings.checked + len(findings.unchecked)
    lines.append(
        f"audit passed: {findings.checked} of {of} packages known to {source}, none vulnerable"
    )
    return 0, lines


def ask(service: str, *flags: str) -> Findings:
    """What one of pip-audit's services says; flags: more for pip-audit, `-r FILE` for example.

    Raises NoSourceError when pip-audit ends without a report, and as `read_findings`.
    """
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", service]
    command += ["--format", "json", "--progress-spinner", "off", "--skip-editable", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        raise NoSourceError((done.stderr.strip() or "pip-audit said nothing").splitlines()[-1])
    return read_findings(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description="Exit 1 if an installed package is vulnerable.")
    parser.add_argument("--required", action="store_true", help="fail when no source is reachable")
    args = parser.parse_args()
    for service, source in SOURCES.items():
        try:
            code, lines = verdict(ask(service), source)
        except NoSourceError as error:
            print(f"{source}: {error}")
        else:
            print(*lines, sep="\n")
            return code
    print("audit skipped: no advisory source can be reached")
    return int(args.required)


if __name__ == "__main__":
    sys.exit(main())
