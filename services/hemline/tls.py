"""TLS for gRPC servers and channels: PEM files checked at start, certificates re-read on change.

A server with a `client_ca` asks every caller for a certificate of that CA (mutual TLS). New files
are noticed at the next connection; while they do not fit together, as in the middle of a renewal,
the last good ones go on serving, and a metric counts it. A channel reads its files once: renew a
client's certificate by restarting it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from hemline import metrics
from hemline.errors import InvalidInputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServerTlsSettings:
    """What a process can be told about the TLS of its own port; all empty: plaintext."""

    tls_cert: str = ""  # PEM file: the server's certificate, then those between it and the CA
    tls_key: str = ""  # PEM file: its private key, without a passphrase
    tls_client_ca: str = ""  # PEM file: callers must show a certificate of this CA; empty: none


@dataclass(frozen=True, kw_only=True)
class ClientTlsSettings:
    """What a process can be told about the TLS of its channels; all empty: plaintext."""

    tls_ca: str = ""  # PEM file: the CA that the other servers' certificates are of
    tls_client_cert: str = ""  # PEM file: shown to servers that ask for one
    tls_client_key: str = ""  # PEM file: its private key, without a passphrase
    triton_tls: bool = False  # with Triton as well; it is asked in plaintext otherwise


@dataclass(frozen=True)
class ServerTls:
    """A server's certificate and key, and the CA of its callers' certificates if it asks for them.

    Paths of PEM files, known to fit together when it was made.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files from now on. Raises InvalidInputError as `server_tls`
        does."""
        source = _Renewed(self)
        return grpc.dynamic_ssl_server_credentials(
            source.configuration,
            source.renewed,  # type: ignore[arg-type]  # None means no change; the stub forgot it
            self.client_ca is not None,
        )


@dataclass(frozen=True)
class ClientTls:
    """The CA a channel believes, and what it shows to servers that ask. Paths of PEM files."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            self.ca.read_bytes(),
            self.key.read_bytes() if self.key else None,
            self.cert.read_bytes() if self.cert else None,
        )


def server_tls(settings: ServerTlsSettings) -> ServerTls | None:
    """The TLS of a port, None for plaintext.

    Raises InvalidInputError naming the setting and the file that is missing, unreadable, expired or
    does not fit the other.
    """
    given = _together({"tls_cert": settings.tls_cert, "tls_key": settings.tls_key})
    if given is None:
        if settings.tls_client_ca:
            raise InvalidInputError("tls_client_ca", "needs tls_cert and tls_key beside it")
        return None
    tls = ServerTls(*given, Path(settings.tls_client_ca) if settings.tls_client_ca else None)
    _check_pair(tls.cert, tls.key, ("tls_cert", "tls_key"))
    if tls.client_ca:
        _check_ca(tls.client_ca, "tls_client_ca")
    return tls


def client_tls(settings: ClientTlsSettings) -> ClientTls | None:
    """The TLS of a channel, None for plaintext. Raises InvalidInputError as `server_tls` does."""
    shown = _together(
        {"tls_client_cert": settings.tls_client_cert, "tls_client_key": settings.tls_client_key}
    )
    if not settings.tls_ca:
        if shown:
            raise InvalidInputError("tls_client_cert", "needs tls_ca beside it")
        return None
    ca = Path(settings.tls_ca)
    _check_ca(ca, "tls_ca")
    if shown is None:
        return ClientTls(ca)
    _check_pair(*shown, ("tls_client_cert", "tls_client_key"))
    return ClientTls(ca, *shown)


class _Renewed:
    """The configuration of a server's certificate files, made anew when one of them changed."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._files = [tls.cert, tls.key, *([tls.client_ca] if tls.client_ca else [])]
        self._seen = self._state()
        self.configuration = self._read()

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What gRPC asks before every handshake: a new configuration, or None for the last one."""
        try:
            state = self._state()
            if state == self._seen:
                return None
            self._seen = state
            self.configuration = self._read()
        except (InvalidInputError, OSError) as error:
            metrics.TLS_RELOADS.labels("refused").inc()
            logger.warning("the changed certificate files are not used yet: %s", error)
            return None
        metrics.TLS_RELOADS.labels("used").inc()
        logger.info("%s was renewed", self._tls.cert)
        return self.configuration

    def _state(self) -> list[tuple[int, int, int]]:
        stats = [path.stat() for path in self._files]  # of what a link, as Kubernetes has, leads to
        return [(stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats]

    def _read(self) -> grpc.ServerCertificateConfiguration:
        tls = self._tls
        expires = _check_pair(tls.cert, tls.key, ("tls_cert", "tls_key"))
        if tls.client_ca:
            _check_ca(tls.client_ca, "tls_client_ca")
        metrics.TLS_CERT_EXPIRES.set(expires.timestamp())
        return grpc.ssl_server_certificate_configuration(
            [(tls.key.read_bytes(), tls.cert.read_bytes())],
            tls.client_ca.read_bytes() if tls.client_ca else None,
        )


def triton_tls(settings: ClientTlsSettings) -> ClientTls | None:
    """The TLS of the channel to Triton. Raises InvalidInputError as `server_tls` does."""
    tls = client_tls(settings)
    if settings.triton_tls and tls is None:
        raise InvalidInputError("triton_tls", "needs tls_ca beside it")
    return tls if settings.triton_tls else None


def _together(given: Mapping[str, str]) -> tuple[Path, Path] | None:
    """Two settings that need each other, as paths; None when neither is given."""
    if not any(given.values()):
        return None
    for name, path in given.items():
        if not path:
            other = next(each for each in given if each != name)
            raise InvalidInputError(name, f"is missing; it goes with {other}")
    first, second = given.values()
    return Path(first), Path(second)


def _check_pair(cert: Path, key: Path, fields: tuple[str, str]) -> datetime:
    """When the certificate expires. Raises InvalidInputError."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    expires, public_key = _check_cert(cert, fields[0])
    try:
        private = load_pem_private_key(_bytes(key, fields[1]), None)
    except TypeError:
        raise InvalidInputError(
            fields[1], f"{key} is locked with a passphrase; give the key without one"
        ) from None
    except ValueError as error:
        raise InvalidInputError(fields[1], f"{key} holds no private key in PEM form") from error
    if private.public_key() != public_key:
        raise InvalidInputError(
            fields[1], f"{key} is not the key of the certificate {cert}; give the two made together"
        )
    return expires


def _check_ca(path: Path, field: str) -> None:
    _check_cert(path, field)


def _check_cert(path: Path, field: str) -> tuple[datetime, object]:
    """Expiry and public key of the first certificate in a PEM file. Raises InvalidInputError."""
    from cryptography import x509

    try:
        first = x509.load_pem_x509_certificates(_bytes(path, field))[0]
    except ValueError as error:
        raise InvalidInputError(field, f"{path} holds no certificate in PEM form") from error
    now = datetime.now(UTC)
    expires, begins = first.not_valid_after_utc, first.not_valid_before_utc
    if expires < now:
        raise InvalidInputError(
            field, f"the certificate {path} expired on {expires:%Y-%m-%d %H:%M} UTC; renew it"
        )
    if begins > now:
        raise InvalidInputError(
            field,
            f"the certificate {path} is valid from {begins:%Y-%m-%d %H:%M} UTC on, and here it is "
            f"{now:%Y-%m-%d %H:%M} UTC; is this machine's clock right?",
        )
    return expires, first.public_key()


def _bytes(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(field, f"cannot read {path}: {error.strerror}") from error
