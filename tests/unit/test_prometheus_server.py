"""Prometheus beside the cluster: what it is told to scrape, and where its programs come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hemline.local.ports import Ports
from hemline.local.prometheus_server import (
    PACKAGES,
    PrometheusInstall,
    prometheus_spec,
    rules_folder,
    scrape_config,
)


def jobs(split: bool) -> dict[str, list[str]]:
    config = json.loads(json.dumps(scrape_config(Ports(7100), split)))
    return {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }


def test_every_process_that_runs_is_scraped_under_its_own_job() -> None:
    assert jobs(split=False) == {
        "hemline-gateway": ["127.0.0.1:7200"],
        "hemline-updater": ["127.0.0.1:7203"],
        "hemline-indexer": ["127.0.0.1:7204"],
        "hemline-triton": ["127.0.0.1:7112"],
        "hemline-supervisor": ["127.0.0.1:7124"],
        "hemline-prometheus": ["127.0.0.1:7123"],
    }
    apart = jobs(split=True)
    assert apart["hemline-retrieval"] == ["127.0.0.1:7201"]
    assert apart["hemline-reranker"] == ["127.0.0.1:7202"]


def test_the_rules_are_found_in_the_checkout() -> None:
    assert list(rules_folder().glob("*.yml"))


def test_it_listens_on_loopback_and_keeps_its_series_in_its_folder(tmp_path: Path) -> None:
    install = PrometheusInstall(Path("/bin/prometheus"), Path("/bin/promtool"), tmp_path / "web")
    spec = prometheus_spec(install, Ports(7100), False, tmp_path / "run")
    assert spec.address == "127.0.0.1:7123" and spec.health == ("http://127.0.0.1:7123/-/ready",)
    assert f"--storage.tsdb.path={tmp_path}/run/series" in spec.argv
    assert f"--web.local-assets={tmp_path}/web" in spec.argv
    assert (tmp_path / "run" / "prometheus.yml").is_file()


def install_with_path(path: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """`install_prometheus` as a process that sees only the programs of one folder."""
    code = (
        "import sys; from pathlib import Path;"
        "from hemline.local.prometheus_server import install_prometheus, PrometheusInstallError\n"
        "try: print(install_prometheus(Path(sys.argv[1])).server)\n"
        "except PrometheusInstallError as error: sys.exit(str(error))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(home)],
        env={**os.environ, "PATH": str(path)},
        capture_output=True,
        text=True,
    )


def program(folder: Path, name: str, script: str = "") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_programs_on_path_are_used_and_nothing_is_downloaded(tmp_path: Path) -> None:
    server = program(tmp_path, "prometheus")
    program(tmp_path, "promtool")
    done = install_with_path(tmp_path, tmp_path / "home")
    assert done.stdout.strip() == str(server)
    assert not (tmp_path / "home").exists()


def test_without_debian_and_without_programs_it_says_what_to_install(tmp_path: Path) -> None:
    done = install_with_path(tmp_path, tmp_path / "home")
    assert done.returncode == 1
    assert "`prometheus` and `promtool` on PATH" in done.stderr


def test_packages_that_cannot_be_downloaded_leave_nothing_and_say_why(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", 'echo "E: Unable to locate package prometheus" >&2; exit 100')
    program(tmp_path, "dpkg-deb")
    done = install_with_path(tmp_path, tmp_path / "home")
    assert done.returncode == 1
    assert "Unable to locate package prometheus" in done.stderr
    assert "apt-get update" in done.stderr
    assert list((tmp_path / "home" / "prometheus").iterdir()) == []


def test_a_package_of_another_shape_is_refused(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", f": > {PACKAGES[0]}.deb")
    program(tmp_path, "dpkg-deb")
    done = install_with_path(tmp_path, tmp_path / "home")
    assert done.returncode == 1 and "not as expected" in done.stderr
