"""TLS and mutual TLS on a real port: who gets in, who does not, and what a wrong file is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from hemline import metrics
from hemline.errors import InvalidInputError
from hemline.local.certificates import Certificates, make_certificates, renew_certificate
from hemline.local.health import grpc_health_url, why_unhealthy
from hemline.rpc import Server, ServerSettings, connect
from hemline.tls import ClientTls, ClientTlsSettings, client_tls, server_tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "pem")


def settings(made: Certificates, mutual: bool = False) -> ServerSettings:
    server = made.server
    return ServerSettings(
        tls_cert=str(server.cert),
        tls_key=str(server.key),
        tls_client_ca=str(made.ca) if mutual else "",
    )


@asynccontextmanager
async def serving(with_settings: ServerSettings) -> AsyncIterator[Server]:
    server = Server("127.0.0.1:0", with_settings)
    await server.start()
    yield server
    await server.stop(0)


async def answered(server: Server, tls: ClientTls | None) -> bool:
    """Whether the server's health can be asked over a new connection."""
    async with connect(f"127.0.0.1:{server.port}", tls) as channel:
        try:
            request = health_pb2.HealthCheckRequest()
            await health_pb2_grpc.HealthStub(channel).Check(request, timeout=60)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            return False
        return True


async def test_tls_serves_those_who_believe_its_ca_and_nobody_else(
    certificates: Certificates, tmp_path: Path
) -> None:
    strangers = make_certificates(tmp_path / "strangers")
    async with serving(settings(certificates)) as server:
        assert await answered(server, ClientTls(certificates.ca))
        assert not await answered(server, ClientTls(strangers.ca))
        assert not await answered(server, None)


async def test_mutual_tls_serves_those_alone_who_show_a_certificate_of_its_ca(
    certificates: Certificates, tmp_path: Path
) -> None:
    strangers = make_certificates(tmp_path / "strangers")
    async with serving(settings(certificates, mutual=True)) as server:
        assert await answered(server, certificates.client)
        assert not await answered(server, ClientTls(certificates.ca))
        assert not await answered(server, replace(strangers.client, ca=certificates.ca))


async def test_the_health_of_a_server_with_mutual_tls_can_be_asked(
    certificates: Certificates,
) -> None:
    async with serving(settings(certificates, mutual=True)) as server:
        address = f"127.0.0.1:{server.port}"
        right = grpc_health_url(address, certificates.client)
        assert await why_unhealthy([right], timeout_s=60) is None
        for wrong in (grpc_health_url(address, None), right.replace("client.pem", "gone.pem")):
            assert address in (await why_unhealthy([wrong], timeout_s=60) or "")


async def test_a_certificate_for_other_hosts_is_not_believed(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, hosts=["shop.example"])
    async with serving(settings(made)) as server:
        assert not await answered(server, ClientTls(made.ca))


async def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    async with serving(settings(made)) as server:
        assert await answered(server, ClientTls(made.ca))
        renew_certificate(made, "server", days=30)
        assert await answered(server, ClientTls(made.ca))
        with_its_date = metrics.TLS_CERT_EXPIRES._value.get()
        for name in ("ca.pem", "ca-key.pem"):
            (tmp_path / name).rename(tmp_path / f"old-{name}")
        make_certificates(tmp_path)  # another CA, and all it signed
        assert await answered(server, ClientTls(made.ca))
        assert not await answered(server, ClientTls(tmp_path / "old-ca.pem"))
        assert metrics.TLS_CERT_EXPIRES._value.get() > with_its_date


async def test_files_that_do_not_fit_during_a_renewal_leave_the_last_good_ones_serving(
    tmp_path: Path,
) -> None:
    made = make_certificates(tmp_path)
    async with serving(settings(made)) as server:
        whole = made.server.key.read_bytes()
        refused = metrics.TLS_RELOADS.labels("refused")
        before = refused._value.get()
        made.server.key.write_bytes(whole[: len(whole) // 2])
        assert await answered(server, ClientTls(made.ca))
        assert refused._value.get() == before + 1
        made.server.key.write_bytes(whole)
        assert await answered(server, ClientTls(made.ca))


def refusal(kind: type, **files: object) -> str:
    read = server_tls if kind is ServerSettings else client_tls
    with pytest.raises(InvalidInputError) as error:
        read(kind(**{name: str(path) for name, path in files.items()}))
    return str(error.value)


def test_wrong_files_are_refused_at_start_with_the_file_and_the_reason(
    certificates: Certificates, tmp_path: Path
) -> None:
    server, client, ca = certificates.server, certificates.client, certificates.ca
    old = make_certificates(tmp_path / "old", days=-1).server
    junk = tmp_path / "junk.pem"
    junk.write_text("no PEM at all")
    missing = tmp_path / "missing.pem"

    def of_server(**files: object) -> str:
        return refusal(ServerSettings, **files)

    assert of_server(tls_cert=server.cert) == "tls_key: is missing; it goes with tls_cert"
    assert of_server(tls_key=server.key) == "tls_cert: is missing; it goes with tls_key"
    assert of_server(tls_client_ca=ca) == "tls_client_ca: needs tls_cert and tls_key beside it"
    assert (
        of_server(tls_cert=missing, tls_key=server.key)
        == f"tls_cert: cannot read {missing}: No such file or directory"
    )
    assert (
        of_server(tls_cert=junk, tls_key=server.key)
        == f"tls_cert: {junk} holds no certificate in PEM form"
    )
    assert (
        of_server(tls_cert=server.cert, tls_key=junk)
        == f"tls_key: {junk} holds no private key in PEM form"
    )
    assert of_server(tls_cert=server.cert, tls_key=client.key).startswith(
        f"tls_key: {client.key} is not the key of the certificate {server.cert}"
    )
    assert of_server(tls_cert=old.cert, tls_key=old.key).startswith(
        f"tls_cert: the certificate {old.cert} expired on "
    )
    assert of_server(
        tls_cert=server.cert, tls_key=server.key, tls_client_ca=old.client_ca
    ).startswith(f"tls_client_ca: the certificate {old.client_ca} expired on ")

    def of_client(**files: object) -> str:
        return refusal(ClientTlsSettings, **files)

    assert of_client(tls_client_cert=client.cert, tls_client_key=client.key) == (
        "tls_client_cert: needs tls_ca beside it"
    )
    assert of_client(tls_ca=ca, tls_client_cert=client.cert).startswith(
        "tls_client_key: is missing"
    )
    assert of_client(tls_ca=junk).startswith(f"tls_ca: {junk} holds no certificate")


def test_no_settings_mean_plaintext() -> None:
    assert server_tls(ServerSettings()) is None
    assert client_tls(ClientTlsSettings()) is None


def test_certificates_are_never_overwritten_and_keys_are_their_owner_s_alone(
    certificates: Certificates,
) -> None:
    assert certificates.server.key.stat().st_mode & 0o077 == 0
    with pytest.raises(InvalidInputError, match="exists; to make new certificates"):
        make_certificates(certificates.folder)


async def test_a_server_tells_nobody_what_it_offers_unless_told_to() -> None:
    async with (
        serving(ServerSettings()) as server,
        connect(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        # Nothing is sent: an answer that overtakes a message makes grpc.aio report its
        # own failed send instead of the status.
        assert await stub.ServerReflectionInfo().code() is grpc.StatusCode.UNIMPLEMENTED
