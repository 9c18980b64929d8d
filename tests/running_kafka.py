"""A real Kafka broker for the tests: started, stopped, paused, killed and started again.

The port and the data stay the same over all of that, so that clients find it again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from free_ports import free_ports
from hemline.kafka_event_log import KafkaEventLog
from hemline.local.health import why_kafka_unhealthy
from hemline.local.kafka_server import SESSION_TIMEOUT_MS, KafkaInstall, kafka_spec
from hemline.topics import TopicSettings


class RunningKafka:
    """One broker. `address` is HOST:PORT, `url` for `hemline.stores.open_event_log`."""

    def __init__(
        self,
        install: KafkaInstall,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        ports: tuple[int, int] | None = None,
    ) -> None:
        """ports: its own and its controller's, where the settings name them."""
        port, controller_port = ports or free_ports(2)
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.url = f"kafka://{self.address}?session_timeout_ms={SESSION_TIMEOUT_MS}"
        self.log = folder / "kafka.log"
        self._spec = kafka_spec(
            install, folder, port=port, controller_port=controller_port, settings=settings
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 120.0) -> float:
        """Start the broker, again or for the first time; seconds until it was ready."""
        began = time.monotonic()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self._spec.argv, stdout=output, stderr=output)
        while why_kafka_unhealthy("127.0.0.1", self.port) is not None:
            if self._process.poll() is not None or time.monotonic() > began + timeout_s:
                pytest.fail(f"Kafka did not become ready:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)
        return time.monotonic() - began

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL: what it had not written is lost."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The broker hangs, its connections open, until the block ends."""
        self._signal(signal.SIGSTOP)
        self._wait_until_stopped()
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _wait_until_stopped(self) -> None:
        """Its threads stop one by one after the signal; until the last has, it may still answer."""
        assert self._process is not None
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


@contextmanager
def running_kafka(
    install: KafkaInstall, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[RunningKafka]:
    """A broker on free ports with its data in `folder`, ready, and killed at the end."""
    broker = RunningKafka(install, folder, settings)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def contract_log(location: str) -> KafkaEventLog:
    """A client for the contract tests, which count on topics of a single partition.

    location: a URL, a space, and the name of the test's topic.
    """
    url, topic = location.split()
    return KafkaEventLog(url, topics={t: TopicSettings(1) for t in (topic, f"{topic}-2")})
