"""HAProxy on this machine, before the gateways of `hemline up --gateways N`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hemline.errors import InvalidInputError
from hemline.front_config import FrontTls, front_config
from hemline.local.certificates import Certificates
from hemline.local.child import ChildSpec
from hemline.local.debian_package import installed_program
from hemline.local.ports import Ports
from hemline.local.private_file import write_private

HOST = "127.0.0.1"
NAME = "localhost"  # in the certificate of the gateways, of which HAProxy compares names alone


def install_haproxy() -> Path:
    """The program `haproxy`, 2.6 or newer. Raises PackageInstallError where it cannot be had."""
    return installed_program("haproxy", "haproxy")


def front_spec(haproxy: Path, ports: Ports, tls: Certificates | None, folder: Path) -> ChildSpec:
    """How to run it before the gateways of `ports`. folder: for its settings; with `tls` it holds
    private keys, and is its owner's alone. Raises InvalidInputError for certificates that HAProxy
    would not believe."""
    address, metrics = f"{HOST}:{ports.gateway}", f"{HOST}:{ports.metrics(ports.gateway)}"
    servers = [
        f"server gateway-{place} {HOST}:{port}" for place, port in enumerate(ports.gateways, 1)
    ]
    settings = folder / "haproxy.cfg"
    write_private(settings, front_config(address, metrics, servers, _keys(tls, folder)))
    return ChildSpec(
        name="front",
        argv=(str(haproxy), "-db", "-f", str(settings)),
        address=address,
        health=(f"http://{metrics}/ready",),
    )


def _keys(tls: Certificates | None, folder: Path) -> FrontTls | None:
    """Certificates as HAProxy reads them, each in one file with its key."""
    if tls is None:
        return None
    ours, shown = tls.server, tls.client
    _check_name(ours.cert)
    pairs = {"server": (ours.cert, ours.key), "client": (shown.cert, shown.key)}
    for name, files in pairs.items():
        both = "".join(file.read_text() for file in files if file is not None)
        write_private(folder / f"{name}.pem", both)
    return FrontTls(folder / "server.pem", folder / "client.pem", tls.ca.resolve(), NAME)


def _check_name(certificate: Path) -> None:
    from cryptography import x509

    found = x509.load_pem_x509_certificates(certificate.read_bytes())[0].extensions
    names: list[str] = []
    with suppress(x509.ExtensionNotFound):
        others = found.get_extension_for_class(x509.SubjectAlternativeName).value
        names = others.get_values_for_type(x509.DNSName)
    if NAME not in names:
        raise InvalidInputError(
            "tls",
            f"{certificate} is for {', '.join(names) or 'no name'}, and the HAProxy before several "
            f"gateways wants {NAME}: `hemline certs DIR --host {NAME} --host {HOST}`",
        )
