"""What a Kafka URL may say, and which topics are refused before a record is lost in them."""

from __future__ import annotations

import pytest

from hemline.errors import InvalidInputError
from hemline.event_log import CATALOGUE_TOPIC, EVENTS_TOPIC
from hemline.kafka_url import parse_kafka_url
from hemline.topics import TOPICS, faults

LOGIN = {"HEMLINE_KAFKA_USERNAME": "gateway", "HEMLINE_KAFKA_PASSWORD": "hush"}


def test_a_plain_url_has_defaults() -> None:
    address = parse_kafka_url("kafka://a:9092,b:9093", {})
    assert address.servers == ("a:9092", "b:9093")
    assert (address.replication_factor, address.session_timeout_ms) == (1, 6_000)
    assert address.security == {"security_protocol": "PLAINTEXT"}


def test_a_login_comes_from_the_environment_and_is_never_shown() -> None:
    url = (
        "kafka://a:9093?security_protocol=SASL_SSL&sasl_mechanism=SCRAM-SHA-512"
        "&ssl_cafile=/ca.pem&replication_factor=3&session_timeout_ms=9000"
    )
    address = parse_kafka_url(url, LOGIN)
    assert (address.replication_factor, address.session_timeout_ms) == (3, 9_000)
    assert address.security == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "gateway",
        "sasl_plain_password": "hush",
        "ssl_cafile": "/ca.pem",
    }
    assert "hush" not in f"{address} {address!r}"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("kafka://", "is not kafka://HOST:PORT"),
        ("kafka://a:9092/events", "is not kafka://HOST:PORT"),
        ("kafka://a", "'a' in 'kafka://a' is not HOST:PORT"),
        ("kafka://a:9092,b:x", "'b:x' in .* is not HOST:PORT"),
        ("kafka://me:hush@a:9092", "set HEMLINE_KAFKA_USERNAME and HEMLINE_KAFKA_PASSWORD"),
        ("kafka://a:9092?acks=0", "unknown option 'acks'"),
        ("kafka://a:9092?replication_factor=0", "replication_factor is '0'"),
        ("kafka://a:9092?session_timeout_ms=soon", "session_timeout_ms is 'soon'"),
        ("kafka://a:9092?security_protocol=TLS", "one of PLAINTEXT, SSL"),
        ("kafka://a:9092?ssl_cafile=/ca.pem", "ssl_cafile needs security_protocol SSL"),
        ("kafka://a:9092?sasl_mechanism=PLAIN", "sasl_mechanism needs security_protocol SASL"),
        ("kafka://a:9092?security_protocol=SASL_SSL", "sasl_mechanism is ''"),
        (
            "kafka://a:9092?security_protocol=SASL_SSL&sasl_mechanism=PLAIN",
            "SASL_SSL needs HEMLINE_KAFKA_USERNAME and HEMLINE_KAFKA_PASSWORD",
        ),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_by_its_part(url: str, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint) as error:
        parse_kafka_url(url, {})
    assert error.value.field == "log"
    assert "hush" not in str(error.value)


@pytest.mark.parametrize("name", TOPICS)
@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (3, "2")])
def test_a_topic_as_hemline_makes_it_has_no_fault(name: str, replicas: int, in_sync: str) -> None:
    wanted = TOPICS[name]
    configs = wanted.configs(replicas)
    assert configs["min.insync.replicas"] == in_sync
    assert faults(name, wanted, wanted.partitions, configs, replicas) == []


def test_more_partitions_larger_records_and_another_retention_are_welcome() -> None:
    wanted = TOPICS[EVENTS_TOPIC]
    larger = {"max.message.bytes": str(1 << 30), "retention.ms": "1", "min.insync.replicas": "3"}
    assert faults(EVENTS_TOPIC, wanted, 96, wanted.configs(3) | larger, 3) == []


def test_every_fault_of_a_topic_is_named_with_what_it_is_and_must_be() -> None:
    found = faults(
        CATALOGUE_TOPIC,
        TOPICS[CATALOGUE_TOPIC],
        1,
        {"cleanup.policy": "delete", "max.message.bytes": "1048588", "min.insync.replicas": "1"},
        3,
    )
    assert found == [
        "topic catalogue has 1 partitions, wanted 6",
        "topic catalogue has cleanup.policy delete, wanted compact",
        "topic catalogue has max.message.bytes 1048588, wanted at least 16842752",
        "topic catalogue has min.insync.replicas 1, wanted at least 2",
    ]
