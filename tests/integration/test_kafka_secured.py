"""A Kafka broker that wants TLS, a password, and rights for what one does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from contracts.event_log_contract import read_all
from free_ports import free_ports
from hemline.errors import SetupError
from hemline.kafka_event_log import KafkaEventLog
from hemline.local.certificates import make_certificates
from hemline.local.kafka_server import KafkaInstall
from hemline.releases import Release
from hemline.topics import TOPICS, TopicSettings
from running_kafka import RunningKafka

pytestmark = pytest.mark.integration

SECURED = {"secured": TopicSettings(1)}
LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    "user_shop='secret' user_looker='secret';"
)
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Secured:
    """A listener with SASL over TLS. user shop: may all; looker: may look at topics and no more."""

    address: str
    ca: Path

    def url(self, mechanism: str = "PLAIN") -> str:
        return (
            f"kafka://{self.address}?security_protocol=SASL_SSL&sasl_mechanism={mechanism}"
            f"&ssl_cafile={self.ca}"
        )


@contextmanager
def known_as(user: str, password: str) -> Iterator[None]:
    mine = {"HEMLINE_KAFKA_USERNAME": user, "HEMLINE_KAFKA_PASSWORD": password}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            del os.environ[name]


@pytest.fixture(scope="module")
def secured(
    kafka_install: KafkaInstall, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    made = make_certificates(folder / "tls").folder
    both = (made / "server-key.pem").read_text() + (made / "server.pem").read_text()
    (made / "keystore.pem").write_text(both)
    plain, controller, port = free_ports(3)
    ours = f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{port}"
    settings = {
        "listeners": f"{ours},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": ours,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT"
        ),
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "listener.name.sasl_ssl.plain.sasl.jaas.config": LOGIN,
        **{
            f"listener.name.sasl_ssl.{name.lower()}.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
            for name in MECHANISMS[1:]
        },
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(made / "keystore.pem"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:shop",  # in plaintext nobody has a name
    }
    broker = RunningKafka(kafka_install, folder / "broker", settings, (plain, controller))
    broker.start()
    try:
        _make_topics(f"kafka://127.0.0.1:{plain}", TOPICS)
        _make_topics(f"kafka://127.0.0.1:{plain}", SECURED)
        _make_users(f"127.0.0.1:{plain}")
        yield Secured(f"127.0.0.1:{port}", made / "ca.pem")
    finally:
        broker.kill()


def _make_topics(url: str, topics: Mapping[str, TopicSettings]) -> None:
    async def make() -> None:
        log = KafkaEventLog(url, topics=topics)
        await log.check()
        await log.close()

    asyncio.run(make())


def _make_users(address: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=address)
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        shop = UserScramCredentialUpsertion("shop", mechanism, "secret")
        assert admin.alter_user_scram_credentials([shop]) == {"shop": None}
    looking = [
        ACL("User:looker", "*", operation, ACLPermissionType.ALLOW, topics)
        for operation in (ACLOperation.DESCRIBE, ACLOperation.DESCRIBE_CONFIGS)
        for topics in (ResourcePattern(ResourceType.TOPIC, "*"),)
    ]
    admin.create_acls(looking)
    admin.close()


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_with_name_password_and_ca_records_are_written_and_read(
    secured: Secured, mechanism: str
) -> None:
    with known_as("shop", "secret"):
        log = KafkaEventLog(secured.url(mechanism), topics=SECURED)
    await log.check(reads=("secured",), writes=("secured",))
    await log.publish("secured", "ada", mechanism.encode())
    assert mechanism.encode() in [record.value for record in await read_all(log, "secured")]
    await log.close()


async def test_who_may_look_and_not_write_or_read_is_told_which_right_is_missing(
    secured: Secured,
) -> None:
    with known_as("looker", "secret"):
        log = KafkaEventLog(secured.url(), topics=SECURED)
    await log.check()
    with pytest.raises(
        SetupError, match="'looker' do its work: it lacks READ of secured and WRITE"
    ):
        await log.check(reads=("secured",), writes=("secured",))
    consumer = log.consumer("secured", "readers")
    with pytest.raises(SetupError, match="does not let the user 'looker' do its work"):
        await consumer.poll(1, timeout_s=60)
    await log.close()


@pytest.mark.parametrize(
    ("user", "password", "mechanism", "said"),
    [
        ("shop", "guess", "PLAIN", "refused the user 'shop'"),
        ("shop", "guess", "SCRAM-SHA-256", "refused the user 'shop'"),
        ("looker", "secret", "PLAIN", "lacks READ of vectors and WRITE of catalogue, events, expo"),
    ],
)
def test_a_gateway_that_kafka_refuses_does_not_start_and_says_why(
    secured: Secured,
    small_release: Release,
    tmp_path: Path,
    user: str,
    password: str,
    mechanism: str,
    said: str,
) -> None:
    command = [sys.executable, "-m", "hemline.gateway", "--log", secured.url(mechanism)]
    command += ["--releases", str(small_release.folder.parent), "--triton", "127.0.0.1:9"]
    command += ["--users", f"sqlite:{tmp_path}/users.sqlite", "--address", "127.0.0.1:0"]
    command += ["--metrics-port", "0"]
    with known_as(user, password):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert f"Kafka at {secured.address}" in last and said in last
    if password == "guess":
        assert "read from HEMLINE_KAFKA_USERNAME and HEMLINE_KAFKA_PASSWORD" in last
    assert "Traceback" not in ended.stderr
