"""The event log on a real Kafka broker: the contract, and brokers paused or set up wrong."""

from __future__ import annotations

import asyncio
import subprocess
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.event_log_contract import EventLogContract, LogTarget, read_all
from hemline.errors import HemlineError, SetupError, UnavailableError
from hemline.event_log import EventLog
from hemline.kafka_client import Admin
from hemline.kafka_event_log import PUBLISH_TIMEOUT_S, KafkaEventLog
from hemline.kafka_url import parse_kafka_url
from hemline.local.kafka_server import KafkaInstall
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


@pytest_asyncio.fixture
async def log(kafka: RunningKafka, topic: str) -> AsyncIterator[EventLog]:
    log = KafkaEventLog(kafka.url, topics={topic: TopicSettings(1)})
    await log.check()
    yield log
    await log.close()


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


async def test_a_paused_broker_is_told_in_time_and_loses_nothing_that_was_acknowledged(
    kafka: RunningKafka, log: EventLog, topic: str
) -> None:
    acknowledged = [b"before"]
    await log.publish(topic, "ada", b"before")
    with kafka.paused():
        began = time.monotonic()
        tried = [log.publish(topic, "ada", b"during %d" % n) for n in range(3)]
        outcomes = await asyncio.gather(*tried, return_exceptions=True)
        took = time.monotonic() - began
    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 3
    assert took < 10 * PUBLISH_TIMEOUT_S, "nobody was told before the broker was back"
    for number in range(20):
        acknowledged.append(b"after %d" % number)
        await publish_until_acknowledged(log, topic, acknowledged[-1])
    # What was not acknowledged may be there all the same, and what was tried again, twice.
    stored = [record.value for record in await read_all(log, topic)]
    assert list(dict.fromkeys(v for v in stored if not v.startswith(b"during"))) == acknowledged


def test_a_killed_broker_does_not_wait_until_it_is_forgotten_to_have_been_there(
    kafka_install: KafkaInstall, tmp_path: Path
) -> None:
    """By Kafka's defaults its controller keeps it waiting for 9 s; on a quiet machine its first
    start takes 1.1 s, and this one 2.1."""
    broker = RunningKafka(kafka_install, tmp_path)
    try:
        first_s = broker.start()
        restarts_s: list[float] = []
        while not restarts_s or restarts_s[-1] > 5.0 + 3 * first_s:
            # A broker that is kept waiting is so each time; one held up by a busy machine is not.
            assert len(restarts_s) < 4, f"first start {first_s:.1f} s, after kills {restarts_s}"
            broker.kill()
            restarts_s.append(broker.start())
    finally:
        broker.kill()


async def publish_until_acknowledged(log: EventLog, topic: str, value: bytes) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await log.publish(topic, "ada", value)
                return
            except HemlineError:
                await asyncio.sleep(0.1)


def test_brokers_start_from_java_s_archive_of_their_classes(kafka_install: KafkaInstall) -> None:
    insist = ("-Xshare:on", f"-XX:SharedArchiveFile={kafka_install.classes}")
    asked = kafka_install.java("kafka.Kafka", "--version", options=insist)
    said = subprocess.run(asked, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
