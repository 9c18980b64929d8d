"""The dependency audit: what it makes of pip-audit's reports, and of no report."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "audit.py"
_spec = importlib.util.spec_from_file_location("audit", SCRIPT)
assert _spec and _spec.loader
audit = sys.modules["audit"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(audit)

CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
VULNERABLE = {
    "name": "jinja2",
    "version": "2.4.1",
    "vulns": [
        {
            "id": "PYSEC-2014-8",
            "fix_versions": ["2.7.2"],
            "aliases": ["CVE-2014-1402"],
            "description": "the default configuration allows a symlink attack",
        },
        {"id": "PYSEC-2019-217", "fix_versions": [], "aliases": [], "description": "N/A"},
    ],
}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited"}
OWN = {"name": "hemline", "skip_reason": "distribution marked as editable"}


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(packages), "fixes": []})


def test_a_known_vulnerability_fails_the_audit_and_is_named_with_its_fix() -> None:
    code, lines = audit.verdict(audit.read_findings(report(CLEAN, VULNERABLE)), "PyPI")
    assert code == 1
    assert "jinja2 2.4.1: PYSEC-2014-8 (CVE-2014-1402), fixed in 2.7.2" in lines
    assert "jinja2 2.4.1: PYSEC-2019-217, no fixed version" in lines
    assert lines[-1] == "audit failed: 2 known vulnerabilities"


def test_clean_packages_pass_and_those_nobody_could_check_are_named() -> None:
    code, lines = audit.verdict(audit.read_findings(report(CLEAN, UNKNOWN, OWN)), "PyPI")
    assert (code, lines) == (
        0,
        [
            "unknown to PyPI, not checked: torch",
            "audit passed: 1 of 2 packages known to PyPI, none vulnerable",
        ],
    )


def test_a_source_that_knows_no_package_is_no_source() -> None:
    with pytest.raises(audit.NoSourceError, match="knows none of the 1 packages"):
        audit.read_findings(report(UNKNOWN, OWN))


@pytest.mark.parametrize("text", ["[]", "{}", "not json", '{"dependencies": [{"name": "x"}]}'])
def test_a_report_of_another_shape_is_an_error_not_a_pass(text: str) -> None:
    with pytest.raises(ValueError, match="not the JSON of its version 2"):
        audit.read_findings(text)


class Osv(BaseHTTPRequestHandler):
    """The part of OSV's API that pip-audit asks, knowing one advisory, about any jinja2."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        advisory = {"id": "PYSEC-2014-8", "summary": "a symlink attack", "affected": []}
        answer = {"vulns": [advisory]} if query["package"]["name"] == "jinja2" else {}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_pip_audit_itself_finds_what_a_source_says(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("jinja2==2.4.1\nnumpy==2.4.6\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/v1/query"
        flags = ["-r", str(requirements), "--disable-pip", "--no-deps"]
        findings = audit.ask("osv", "--osv-url", url, *flags)
        server.shutdown()
    assert (findings.checked, findings.unchecked) == (2, ())
    assert audit.verdict(findings, "OSV")[0] == 1


@pytest.mark.parametrize(("flags", "code"), [([], 0), (["--required"], 1)])
def test_without_a_network_the_audit_says_that_it_was_skipped(flags: list[str], code: int) -> None:
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, SCRIPT, *flags],
        env={**os.environ, **nowhere, "no_proxy": "", "NO_PROXY": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1] == "audit skipped: no advisory source can be reached"
    assert "PyPI's JSON API: " in done.stdout
