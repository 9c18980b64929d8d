"""A Kafka broker that wants TLS and a password."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from contracts.event_log_contract import read_all
from hemline.kafka_event_log import KafkaEventLog
from hemline.local.certificates import make_certificates
from hemline.local.kafka_server import KafkaInstall
from hemline.topics import TopicSettings
from running_kafka import RunningKafka, free_ports

pytestmark = pytest.mark.integration

TOPICS = {"secured": TopicSettings(1)}
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required user_shop='secret';"


@pytest.fixture(scope="module")
def secured(kafka_install: KafkaInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a listener with SASL over TLS."""
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
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": LOGIN,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(made / "keystore.pem"),
    }
    broker = RunningKafka(kafka_install, folder / "broker", settings, (plain, controller))
    broker.start()
    os.environ["HEMLINE_KAFKA_USERNAME"] = "shop"
    os.environ["HEMLINE_KAFKA_PASSWORD"] = "secret"
    try:
        yield (
            f"kafka://127.0.0.1:{port}?security_protocol=SASL_SSL&sasl_mechanism=PLAIN"
            f"&ssl_cafile={made / 'ca.pem'}"
        )
    finally:
        del os.environ["HEMLINE_KAFKA_USERNAME"], os.environ["HEMLINE_KAFKA_PASSWORD"]
        broker.kill()


async def test_with_name_password_and_ca_records_are_written_and_read(secured: str) -> None:
    log = KafkaEventLog(secured, topics=TOPICS)
    await log.check()
    await log.publish("secured", "ada", b"a click")
    assert [record.value for record in await read_all(log, "secured")] == [b"a click"]
    await log.close()
