"""The event log on a real Kafka broker: the contract, and brokers paused, killed or wrong."""

from __future__ import annotations

import uuid

import pytest

from contracts.event_log_contract import EventLogContract, LogTarget
from running_kafka import RunningKafka

pytestmark = pytest.mark.integration


class TestKafkaEventLog(EventLogContract):
    @pytest.fixture
    def topic(self) -> str:
        return f"topic-{uuid.uuid4().hex}"

    @pytest.fixture
    def target(self, kafka: RunningKafka, topic: str) -> LogTarget:
        return LogTarget("running_kafka:contract_log", f"{kafka.url} {topic}")
