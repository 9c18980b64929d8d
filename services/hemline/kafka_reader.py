"""A reader of a whole Kafka topic, for asyncio: `hemline.event_log.Reader`.

kafka-python blocks, so everything that talks to a broker runs on the reader's own thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hemline import kafka_client
from hemline.errors import UnavailableError
from hemline.event_log import LOG_AWAY, Record, check_name
from hemline.kafka_client import Admin, kafka_errors
from hemline.kafka_consumer import CLOSE_TIMEOUT_MS, STOP_CHECK_S, record_of
from hemline.kafka_url import KafkaAddress


class KafkaReader:
    """Reads all partitions of a topic; connects with the first poll."""

    def __init__(self, address: KafkaAddress, topic: str, offsets: Mapping[int, int]) -> None:
        check_name("topic", topic)
        self._address = address
        self._topic = topic
        self._offsets = dict(offsets)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"read {topic}")
        self._client: Any = None
        self._ready: deque[Record] = deque()  # read, but not delivered yet
        self._stop: threading.Event | None = None  # of the poll under way
        self._closed = False

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if self._closed:
            raise UnavailableError(f"this reader of {self._topic} is closed")
        stop = self._stop = threading.Event()
        deadline = time.monotonic() + timeout_s
        try:
            with kafka_errors(self._address):
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._wait, max_records, deadline, stop
                )
        finally:
            stop.set()  # cancelled: what the thread finds is left for the next poll
        return [self._ready.popleft() for _ in range(min(max_records, len(self._ready)))]

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._stop is not None:
            self._stop.set()
        with kafka_errors(self._address):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._leave)
        self._thread.shutdown(wait=False)

    def _wait(self, max_records: int, deadline: float, stop: threading.Event) -> None:
        """Returns when something is ready to be delivered, or when there is no time left."""
        if self._client is None:
            self._client = self._connected()
        while not self._ready:
            left_s = deadline - time.monotonic()
            timeout_ms = int(min(max(left_s, 0.0), STOP_CHECK_S) * 1000)
            batches = self._client.poll(timeout_ms=timeout_ms, max_records=max_records)
            self._ready.extend(record_of(each) for batch in batches.values() for each in batch)
            if left_s <= 0 or stop.is_set():
                return

    def _connected(self) -> Any:
        with Admin(self._address) as admin:
            found = admin.topics([self._topic]).get(self._topic)
            if found is None:
                raise UnavailableError(
                    f"Kafka at {self._address} has no topic {self._topic}", public=LOG_AWAY
                )
            partitions = [each["partition_index"] for each in found["partitions"]]
            kept = admin.extent(self._topic, partitions)
        starts = {p: max(self._offsets.get(p, 0), kept[p].start) for p in partitions}
        return kafka_client.make_reader(self._address, self._topic, starts)

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
