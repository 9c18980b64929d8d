"""Certificates to try TLS out with, and for the tests: a CA of one's own and what it signed.

    ca.pem      ca-key.pem        the CA; whoever has its key can pass for any server or client
    server.pem  server-key.pem    of every server, for the names and addresses it was made for
    client.pem  client-key.pem    of every caller, where servers ask for a certificate

A cluster's own come from what issues the rest of a company's certificates.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hemline.errors import InvalidInputError
from hemline.tls import (
    ClientTls,
    ClientTlsSettings,
    ServerTls,
    ServerTlsSettings,
    client_tls,
    server_tls,
)

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_CLOCKS_DIFFER = timedelta(hours=1)  # a machine whose clock is slow accepts them at once


@dataclass(frozen=True)
class Certificates:
    """The files `make_certificates` writes into a folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def server(self) -> ServerTls:
        """Mutual TLS: callers show a certificate of the same CA."""
        folder = self.folder
        return ServerTls(folder / "server.pem", folder / "server-key.pem", self.ca)

    @property
    def client(self) -> ClientTls:
        return ClientTls(self.ca, self.folder / "client.pem", self.folder / "client-key.pem")


def make_certificates(
    folder: Path, hosts: Sequence[str] = LOCAL_HOSTS, days: float = 90.0
) -> Certificates:
    """Write a new CA and the certificates it signed; a negative `days` makes expired ones.

    hosts: names and addresses under which the servers are reached. Raises InvalidInputError when
    the folder has a CA already: replacing it would lock out whoever believes it.
    """
    made = Certificates(folder)
    if made.ca.exists():
        raise InvalidInputError(
            "folder",
            f"{made.ca} exists; to make new certificates, remove the folder or name another",
        )
    folder.mkdir(parents=True, exist_ok=True)
    ca_key = _new_key()
    ca = _certificate("Hemline local CA", ca_key, days)
    _write(folder / "ca-key.pem", _pem(ca_key))
    _write(folder / "ca.pem", _pem(ca))
    for name in ("server", "client"):
        renew_certificate(made, name, hosts, days, issuer=(ca, ca_key))
    return made


def open_certificates(folder: Path) -> Certificates:
    """What `make_certificates` wrote. Raises InvalidInputError naming the file that is missing,
    expired or does not fit, as `hemline.tls.server_tls` does."""
    made = Certificates(folder.resolve())
    server, client = made.server, made.client
    server_tls(
        ServerTlsSettings(
            tls_cert=str(server.cert), tls_key=str(server.key), tls_client_ca=str(made.ca)
        )
    )
    client_tls(
        ClientTlsSettings(
            tls_ca=str(made.ca), tls_client_cert=str(client.cert), tls_client_key=str(client.key)
        )
    )
    return made


def renew_certificate(
    made: Certificates,
    name: str,
    hosts: Sequence[str] = LOCAL_HOSTS,
    days: float = 90.0,
    issuer: tuple[x509.Certificate, EllipticCurvePrivateKey] | None = None,
) -> None:
    """Sign a new certificate and key in place of `name`.pem and `name`-key.pem."""
    from cryptography.x509 import load_pem_x509_certificate

    if issuer is None:
        ca = load_pem_x509_certificate(made.ca.read_bytes())
        issuer = (ca, _read_key(made.folder / "ca-key.pem"))
    key = _new_key()
    certificate = _certificate(f"hemline {name}", key, days, issuer, hosts)
    _write(made.folder / f"{name}-key.pem", _pem(key))
    _write(made.folder / f"{name}.pem", _pem(certificate))


def _certificate(
    name: str,
    key: EllipticCurvePrivateKey,
    days: float,
    issuer: tuple[x509.Certificate, EllipticCurvePrivateKey] | None = None,
    hosts: Sequence[str] = (),
) -> x509.Certificate:
    """A certificate signed by `issuer`, or a CA that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    ends = now + timedelta(days=days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, ends) - _CLOCKS_DIFFER)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _read_key(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise InvalidInputError("ca-key.pem", f"{path} is not a key that `hemline certs` made")
    return key


def _pem(what: x509.Certificate | EllipticCurvePrivateKey) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as form

    if isinstance(what, x509.Certificate):
        return what.public_bytes(form.Encoding.PEM)
    return what.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def _write(path: Path, data: bytes) -> None:
    """Replace a file in one step; only its owner may read a key."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    mode = 0o600 if path.name.endswith("-key.pem") else 0o644
    with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as out:
        out.write(data)
    temporary.replace(path)
