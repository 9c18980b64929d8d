"""A member of a Kafka consumer group, for asyncio: `hemline.event_log.Consumer`.

kafka-python blocks, so every consumer has a thread, on which everything runs that talks to a
broker. Heartbeats run on kafka-python's own thread: a batch that takes long costs no partition.

A partition that goes to another consumer takes its uncommitted records along: they are delivered
there again. A commit that covers such records commits the rest and raises TakenOverError.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hemline import kafka_client, metrics
from hemline.errors import InvalidInputError, TakenOverError, UnavailableError
from hemline.event_log import LOG_AWAY, Position, Record, check_name
from hemline.kafka_client import Admin, kafka_errors
from hemline.kafka_url import KafkaAddress

T = TypeVar("T")

STOP_CHECK_S = 0.1  # how soon a poll notices that it was cancelled
COMMIT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_MS = 2_000


class KafkaGroupMember:
    """Reads one topic for one group; connects with the first call that needs the cluster."""

    def __init__(self, address: KafkaAddress, topic: str, group: str) -> None:
        check_name("topic", topic)
        check_name("group", group)
        self._address = address
        self._topic = topic
        self._group = group
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"poll {topic} {group}")
        self._client: Any = None
        self._questions: Admin | None = None
        self._joined = False
        self._stop: threading.Event | None = None  # of the poll under way
        self._closed = False
        # Guarded by the lock: kafka-python's thread tells of partitions that come and go.
        self._lock = threading.Lock()
        self._ready: deque[Record] = deque()  # read, but not delivered yet
        self._held: set[int] = set()  # partitions that are ours
        self._given: dict[int, int] = {}  # partition -> offset after the last record delivered
        self._committed: dict[int, int] = {}  # partition -> what the group is known to have done

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self._check_open()
        if self._stop is not None:
            raise RuntimeError("a consumer polls for one task at a time")
        stop = self._stop = threading.Event()
        deadline = time.monotonic() + timeout_s
        try:
            await self._on_thread(lambda: self._wait(max_records, deadline, stop))
        finally:
            stop.set()  # cancelled: what the thread finds is left for the next poll
            self._stop = None
        with self._lock:
            count = min(max_records, len(self._ready))
            records = [self._ready.popleft() for _ in range(count)]
            for record in records:
                self._given[record.partition] = max(
                    record.offset + 1, self._given.get(record.partition, 0)
                )
        return records

    async def commit(self, done: Sequence[Record | Position]) -> None:
        if not done:
            return
        self._check_open()
        offsets: dict[int, int] = {}
        for each in done:
            offsets[each.partition] = max(each.offset + 1, offsets.get(each.partition, 0))
        await self._on_thread(lambda: self._commit(offsets))

    async def lag(self) -> int:
        self._check_open()
        return await self._on_thread(self._lag)

    async def seek(self, offsets: Mapping[int, int]) -> None:
        self._check_open()
        if self._stop is not None:
            raise RuntimeError("a consumer is not sought while it polls")
        if not self._held:
            raise UnavailableError(f"this consumer holds no partition of {self._topic}")
        await self._on_thread(lambda: self._seek(offsets))

    def assigned(self) -> frozenset[int]:
        with self._lock:
            return frozenset() if self._closed else frozenset(self._held)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._stop is not None:
            self._stop.set()
        await self._on_thread(self._leave)
        self._thread.shutdown(wait=False)

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError(f"this consumer of {self._topic} is closed")

    async def _on_thread(self, work: Callable[[], T]) -> T:
        with kafka_errors(self._address):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # Everything below runs on the consumer's thread, but for _assigned and _gone.

    def _connected(self) -> Any:
        if self._client is None:
            client = kafka_client.make_consumer(self._address, self._group)
            kafka_client.subscribe(client, self._topic, self._assigned, self._gone)
            self._client = client
        return self._client

    def _admin(self) -> Admin:
        """A connection of its own: on the other, everything waits while the group is shared out."""
        if self._questions is None:
            self._questions = Admin(self._address)
        return self._questions

    def _partitions(self) -> set[int]:
        partitions = kafka_client.partitions(self._connected(), self._topic)
        if not partitions:
            raise UnavailableError(
                f"Kafka at {self._address} has no topic {self._topic}", public=LOG_AWAY
            )
        return partitions

    def _wait(self, max_records: int, deadline: float, stop: threading.Event) -> None:
        """Returns when something is ready to be delivered, or when there is no time left."""
        if not self._joined:
            self._partitions()  # a member of a group for nothing would hear late of the topic
            self._joined = True
        while not self._ready:
            left_s = deadline - time.monotonic()
            self._read(min(max(left_s, 0.0), STOP_CHECK_S), max_records)
            if left_s <= 0 or stop.is_set():
                return

    def _read(self, timeout_s: float, max_records: int) -> None:
        batches = self._client.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        records = [record_of(each) for batch in batches.values() for each in batch]
        with self._lock:
            self._ready.extend(r for r in records if r.partition in self._held)

    def _assigned(self, partitions: set[int]) -> None:
        with self._lock:
            self._held |= partitions
            for partition in partitions:  # others may have read and committed in between
                self._given.pop(partition, None)
                self._committed.pop(partition, None)

    def _gone(self, partitions: set[int]) -> None:
        with self._lock:
            self._held -= partitions
            self._ready = deque(r for r in self._ready if r.partition not in partitions)

    def _commit(self, offsets: Mapping[int, int]) -> None:
        if not self._joined:
            raise UnavailableError(f"this consumer does not hold {self._topic} for {self._group}")
        deadline = time.monotonic() + COMMIT_TIMEOUT_S
        while True:
            mine = self._mine(offsets)
            try:
                self._commit_mine(mine, deadline)
                break
            except kafka_client.REBALANCING as error:
                # The group is sharing partitions out, and a poll takes part in that.
                if time.monotonic() > deadline:
                    raise kafka_client.kafka_error(self._address, error) from error
                self._read(STOP_CHECK_S, max_records=1)
            except kafka_client.FENCED as error:
                raise TakenOverError(
                    f"the group {self._group} went on without this consumer of {self._topic}"
                ) from error
        lost = sorted(set(offsets) - set(mine))
        if lost:
            raise TakenOverError(
                f"another consumer of {self._group} has taken over {self._topic}, partitions {lost}"
            )

    def _mine(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """What of this is to be committed by this consumer, checked."""
        with self._lock:
            mine = {p: offset for p, offset in offsets.items() if p in self._held}
            for partition, offset in mine.items():
                if offset > self._given.get(partition, 0):
                    raise InvalidInputError(
                        "done", f"offset {offset - 1} of partition {partition} was never polled"
                    )
        return mine

    def _commit_mine(self, mine: dict[int, int], deadline: float) -> None:
        unknown = [partition for partition in mine if partition not in self._committed]
        if unknown:
            found = self._admin().committed(self._group, self._topic, unknown)
            with self._lock:
                self._committed |= {partition: found.get(partition, 0) for partition in unknown}
        ahead = {p: offset for p, offset in mine.items() if offset > self._committed.get(p, 0)}
        if not ahead:
            return
        left_ms = max(1, int((deadline - time.monotonic()) * 1000))
        kafka_client.commit(self._client, self._topic, ahead, left_ms)
        with self._lock:
            self._committed |= ahead

    def _lag(self) -> int:
        partitions = self._partitions()
        # The committed offsets first: a record published in between counts as lag, and the
        # difference is never negative.
        done = self._admin().committed(self._group, self._topic, partitions)
        lag = 0
        for partition, kept in self._admin().extent(self._topic, partitions).items():
            behind = max(0, kept.stop - max(done.get(partition, 0), kept.start))
            metrics.EVENT_PARTITION_LAG.labels(self._group, self._topic, str(partition)).set(behind)
            lag += behind
        return lag

    def _seek(self, offsets: Mapping[int, int]) -> None:
        with self._lock:
            wanted = {p: offset for p, offset in offsets.items() if p in self._held}
            self._ready = deque(r for r in self._ready if r.partition not in wanted)
        for partition, offset in wanted.items():
            kafka_client.seek(self._client, self._topic, partition, max(0, offset))

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
        if self._questions is not None:
            self._questions.close()


def record_of(found: Any) -> Record:
    """What kafka-python read, as the event log says it."""
    return Record(
        topic=found.topic,
        partition=found.partition,
        offset=found.offset,
        # Strangers may write any bytes as a key; such a record must come out to be judged.
        key=(found.key or b"").decode(errors="replace"),
        value=found.value or b"",
        published_ms=found.timestamp,
    )
