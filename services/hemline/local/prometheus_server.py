"""A real Prometheus beside the cluster: unpacked from Debian's packages, set up, described.

The packages are downloaded and unpacked below the home, not installed: that needs no root, and no
service of the system's is left running. Where `prometheus` and `promtool` are on PATH already,
those are used. Debian's web pages need some JavaScript packages; they come along.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from hemline.errors import HemlineError, NotFoundError
from hemline.front_metrics import RELABELLED
from hemline.local.child import ChildSpec
from hemline.local.ports import Ports

HOST = "127.0.0.1"
PACKAGES = (
    "prometheus",
    "fonts-glyphicons-halflings",
    "libjs-bootstrap4",
    "libjs-d3",
    "libjs-eonasdan-bootstrap-datetimepicker",
    "libjs-jquery",
    "libjs-jquery-hotkeys",
    "libjs-moment",
    "libjs-moment-timezone",
    "libjs-mustache",
    "libjs-popper.js",
    "libjs-rickshaw",
)
SCRAPE_S = 5  # so that a demo of a minute shows something; a cluster's own has 15 or 30
_RULES = "deploy/prometheus/rules"


class PrometheusInstallError(HemlineError):
    """Prometheus cannot be had on this machine; the message says what is missing."""


@dataclass(frozen=True)
class PrometheusInstall:
    """The programs, and the folder of the web pages unless the server knows its own."""

    server: Path
    promtool: Path
    web: Path | None = None

    def is_whole(self) -> bool:
        return all(path.exists() for path in (self.server, self.promtool, self.web) if path)


def rules_folder() -> Path:
    """Recording and alert rules, in a checkout or inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parents[1] / _RULES, package / _RULES):
        if folder.is_dir():
            return folder
    raise NotFoundError(f"{_RULES}/ is neither in the checkout nor in the package")


def is_installed(home: Path) -> bool:
    """Whether `install_prometheus` has nothing to download."""
    return _on_path() is not None or _unpacked(_folder(home)).is_whole()


def install_prometheus(home: Path) -> PrometheusInstall:
    """The programs on PATH, else Debian's below `home`/prometheus/ (23 MB to download, once).

    Several processes may do this at once. Raises PrometheusInstallError where Debian's packages
    cannot be had either.
    """
    found = _on_path()
    if found is not None:
        return found
    folder = _folder(home)
    install = _unpacked(folder)
    if not install.is_whole():
        staging = folder.with_name(f".staging-{uuid.uuid4().hex[:8]}")
        try:
            _download_and_unpack(staging)
            if not _unpacked(staging).is_whole():
                raise PrometheusInstallError("Debian's package prometheus is not as expected")
            _publish(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return install


def prometheus_spec(
    install: PrometheusInstall, ports: Ports, split: bool, folder: Path
) -> ChildSpec:
    """How to run Prometheus on loopback over the cluster of `ports`; everything it writes is below
    `folder`: its settings, and three days or 512 MB of series."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(json.dumps(scrape_config(ports, split), indent=2) + "\n")  # JSON is YAML
    address = f"{HOST}:{ports.prometheus}"
    argv = [
        str(install.server),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'series'}",
        "--storage.tsdb.retention.time=3d",
        "--storage.tsdb.retention.size=512MB",
        f"--web.listen-address={address}",
        "--web.page-title=Hemline",
        "--log.level=warn",
    ]
    if install.web is not None:
        argv.append(f"--web.local-assets={install.web}")
    return ChildSpec(
        name="prometheus",
        argv=tuple(argv),
        address=address,
        health=(f"http://{address}/-/ready",),
        env={"GOMAXPROCS": "1"},  # it watches the cluster, it must not compete with it
    )


def scrape_config(ports: Ports, split: bool) -> dict[str, object]:
    """prometheus.yml as plain data. The job of every target is hemline-PROCESS: the rules and
    dashboards select by it, here and in the cluster."""
    targets = {"gateway": [ports.metrics(port) for port in ports.gateways]}
    for name in ["updater", "indexer"] + ["retrieval", "reranker"] * split:
        targets[name] = [ports.metrics(getattr(ports, name))]
    targets |= {"triton": [ports.triton_metrics], "supervisor": [ports.supervisor]}
    targets["prometheus"] = [ports.prometheus]
    if ports.behind:
        targets["front"] = [ports.metrics(ports.gateway)]
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(rules_folder() / "*.yml")],
        "scrape_configs": [_job(name, listening) for name, listening in targets.items()],
    }


def _job(name: str, listening: list[int]) -> dict[str, object]:
    job: dict[str, object] = {
        "job_name": f"hemline-{name}",
        "static_configs": [{"targets": [f"{HOST}:{port}" for port in listening]}],
    }
    if name == "front":
        job["metric_relabel_configs"] = RELABELLED
    return job


def _on_path() -> PrometheusInstall | None:
    server, promtool = shutil.which("prometheus"), shutil.which("promtool")
    return PrometheusInstall(Path(server), Path(promtool)) if server and promtool else None


def _folder(home: Path) -> Path:
    return home.resolve() / "prometheus" / "debian"


def _unpacked(folder: Path) -> PrometheusInstall:
    programs, web = folder / "usr" / "bin", folder / "usr" / "share" / "prometheus" / "web"
    return PrometheusInstall(programs / "prometheus", programs / "promtool", web)


def _download_and_unpack(staging: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise PrometheusInstallError(
            "--prometheus needs `prometheus` and `promtool` on PATH, or Debian's apt-get to "
            "download them; this machine has neither: install Prometheus 2.42 or newer"
        )
    staging.mkdir(parents=True)
    download = ["apt-get", "--quiet", "download", *PACKAGES]
    done = subprocess.run(download, cwd=staging, capture_output=True, text=True)
    if done.returncode and os.geteuid() == 0:  # a fresh container has no package lists yet
        subprocess.run(["apt-get", "--quiet", "update"], capture_output=True)
        done = subprocess.run(download, cwd=staging, capture_output=True, text=True)
    if done.returncode:
        raise PrometheusInstallError(
            f"apt-get could not download Prometheus:\n{done.stderr.strip()}\n"
            "if its package lists are missing or old, run `apt-get update` as root and try again"
        )
    for package in sorted(staging.glob("*.deb")):
        unpack = subprocess.run(
            ["dpkg-deb", "--extract", package, staging], capture_output=True, text=True
        )
        if unpack.returncode:
            raise PrometheusInstallError(f"{package.name}: {unpack.stderr.strip()}")
        package.unlink()


def _publish(staging: Path, folder: Path) -> None:
    if folder.exists() and not _unpacked(folder).is_whole():
        shutil.rmtree(folder)  # by an earlier version of this code, or by hand
    try:
        staging.rename(folder)
    except OSError:
        if not _unpacked(folder).is_whole():  # otherwise another process was faster
            raise
