"""The event log on a real Kafka broker: the contract, and topics that are set up wrong."""

from __future__ import annotations

import uuid

import pytest

from contracts.event_log_contract import EventLogContract, LogTarget
from hemline.errors import SetupError
from hemline.kafka_client import Admin
from hemline.kafka_event_log import KafkaEventLog
from hemline.kafka_url import parse_kafka_url
from hemline.topics import TopicSettings
from running_kafka import RunningKafka

pytestmark = pytest.mark.integration


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4().hex}"


class TestKafkaEventLog(EventLogContract):
    @pytest.fixture
    def topic(self) -> str:
        return f"topic-{uuid.uuid4().hex}"

    @pytest.fixture
    def target(self, kafka: RunningKafka, topic: str) -> LogTarget:
        return LogTarget("running_kafka:contract_log", f"{kafka.url} {topic}")


async def test_a_topic_set_up_wrong_is_refused_at_the_start_with_every_fault(
    kafka: RunningKafka, topic: str
) -> None:
    with Admin(parse_kafka_url(kafka.url)) as admin:
        admin.create(topic, 1, 1, {"cleanup.policy": "delete", "max.message.bytes": "1000"})
    log = KafkaEventLog(kafka.url, topics={topic: TopicSettings(2, "compact")})
    with pytest.raises(SetupError) as error:
        await log.check()
    for fault in (
        f"Kafka at {kafka.address}: topic {topic} has 1 partitions, wanted 2",
        f"topic {topic} has cleanup.policy delete, wanted compact",
        f"topic {topic} has max.message.bytes 1000, wanted at least",
        "Change them with kafka-configs.sh",
    ):
        assert fault in str(error.value)
    with pytest.raises(SetupError):
        await log.publish(topic, "ada", b"lost otherwise")
    await log.close()
