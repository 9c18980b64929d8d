"""The event log of a cluster: Apache Kafka, as `hemline.event_log.EventLog`.

A publish is acknowledged when every in-sync replica has the record. It never blocks the event loop:
kafka-python's `send` waits for a broker it has lost, so one thread does all sending.

    publish -> queue -> sending thread -> kafka-python's thread -> broker
       ^----------- one wake-up of the event loop per batch -----------'

A request costs kafka-python and the broker a millisecond each, whether it carries one record or
hundreds. So a record is sent at once when there was none for GATHER_S, and otherwise with all that
have come by then. At 500 a second in a stream that took an event's processor time from 1.0 to 0.6
ms in the gateway, and from 0.5 to 0.2 in the broker.

The same thread connects, and checks the topics (`hemline.topics`) before the first record. While
the cluster does not answer, a few publishes at a time still try it, each for PUBLISH_TIMEOUT_S; all
others are refused at once, so that an outage costs neither memory nor anybody's deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hemline import kafka_client, metrics
from hemline.errors import (
    HemlineError,
    OverloadedError,
    SetupError,
    UnavailableError,
)
from hemline.event_log import LOG_AWAY, CompactionRules, Position, check_name, check_record
from hemline.kafka_client import Admin, kafka_error, kafka_errors
from hemline.kafka_consumer import KafkaGroupMember
from hemline.kafka_reader import KafkaReader
from hemline.kafka_topics import check_rights, ensure_topics
from hemline.kafka_url import parse_kafka_url
from hemline.topics import TOPICS, TopicSettings

logger = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S = 3.5  # a little more than kafka-python's own DELIVERY_TIMEOUT_MS
GATHER_S = 0.02  # from one batch to the next
ANSWER_S = 0.001  # kafka-python tells of the records of a request one by one
RETRY_S = 0.5
PROBES = 16  # publishes that try a cluster which does not answer


@dataclass(slots=True, eq=False)
class _Publish:
    topic: str
    key: bytes
    value: bytes | None
    size: int  # bytes
    published_ms: int
    future: asyncio.Future[Position]


class KafkaEventLog:
    """`hemline.event_log.EventLog` on the cluster at `url`, as in `hemline.kafka_url`.

    topics: what to create, or to check; None for Hemline's own.
    max_waiting, max_waiting_bytes: publishes not acknowledged yet, beyond them OverloadedError.
    Raises InvalidInputError for a URL that cannot be used. Connects in the background: `check`
    waits for that.
    """

    def __init__(
        self,
        url: str,
        *,
        topics: Mapping[str, TopicSettings] | None = None,
        max_waiting: int = 10_000,
        max_waiting_bytes: int = 64 << 20,
    ) -> None:
        self._address = parse_kafka_url(url)
        self._topics = TOPICS if topics is None else topics
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._consumers: list[KafkaGroupMember | KafkaReader] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = threading.Condition()  # guards the next three
        self._waiting: deque[_Publish] = deque()
        self._closed = False
        self._sent_at = 0.0  # when the last batch was taken
        self._tried = threading.Event()  # the first attempt to connect has ended
        self._producer: Any = None
        self._trouble: HemlineError | None = UnavailableError(
            f"Kafka at {self._address} is not connected yet", public=LOG_AWAY
        )
        self._reads: Collection[str] = ()
        self._writes: Collection[str] = ()
        self._pending = 0  # publishes that the thread or kafka-python has
        self._pending_bytes = 0
        self._answers: deque[tuple[_Publish, Position | BaseException]] = deque()
        self._thread = threading.Thread(
            target=self._run, name=f"publish to {self._address}", daemon=True
        )
        self._thread.start()

    async def check(self, reads: Collection[str] = (), writes: Collection[str] = ()) -> None:
        self._reads, self._writes = reads, writes
        await asyncio.to_thread(self._tried.wait)
        if isinstance(self._trouble, SetupError):
            raise self._trouble
        if self._trouble is not None:
            logger.warning("going on without the event log: %s", self._trouble)
            return
        await asyncio.to_thread(self._check_rights)

    async def publish(self, topic: str, key: str, value: bytes) -> Position:
        size = check_record(topic, key, value)
        if self._closed:
            raise UnavailableError(
                f"the client of Kafka at {self._address} is closed", public=LOG_AWAY
            )
        self._refuse(size)
        self._loop = asyncio.get_running_loop()
        began = time.monotonic()
        waiting = _Publish(
            # In Kafka, no value at all says that a key is gone; it is read as an empty one.
            topic,
            key.encode(),
            value or None,
            size,
            time.time_ns() // 1_000_000,
            self._loop.create_future(),
        )
        self._pending += 1
        self._pending_bytes += size
        with self._changed:
            self._waiting.append(waiting)
            self._changed.notify()
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                position = await waiting.future
        except TimeoutError as error:
            metrics.PUBLISH_ERRORS.labels("timeout").inc()
            raise self._away(f"it acknowledged nothing for {PUBLISH_TIMEOUT_S:g} s") from error
        except HemlineError:
            metrics.PUBLISH_ERRORS.labels("refused").inc()
            raise
        metrics.PUBLISH_SECONDS.observe(time.monotonic() - began)
        return position

    async def publish_all(self, topic: str, records: Sequence[tuple[str, bytes]]) -> list[Position]:
        # They go to the broker together all the same, and one that fails leaves the others alone.
        publishes = [self.publish(topic, key, value) for key, value in records]
        outcomes = await asyncio.gather(*publishes, return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failed:
            raise failed[0]
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]

    def consumer(self, topic: str, group: str) -> KafkaGroupMember:
        consumer = KafkaGroupMember(self._address, topic, group)
        self._consumers.append(consumer)
        return consumer

    def reader(self, topic: str, offsets: Mapping[int, int]) -> KafkaReader:
        reader = KafkaReader(self._address, topic, offsets)
        self._consumers.append(reader)
        return reader

    async def identity(self, topic: str) -> str:
        check_name("topic", topic)
        await asyncio.to_thread(self._tried.wait)  # the topic may be about to be created
        return await asyncio.to_thread(self._identity, topic)

    async def extent(self, topic: str) -> dict[int, range]:
        check_name("topic", topic)
        await asyncio.to_thread(self._tried.wait)
        return await asyncio.to_thread(self._extent, topic)

    async def compact(self, topic: str, groups: Collection[str], rules: CompactionRules) -> int:
        """The brokers compact topics themselves, and know no rules: records of keys that are gone
        stay, and the newest of a key is all that does."""
        check_name("topic", topic)
        return 0

    async def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        self._answer()
        while self._consumers:
            await self._consumers.pop().close()

    def _refuse(self, size: int) -> None:
        if self._pending >= self._max_waiting or (
            self._pending and self._pending_bytes + size > self._max_waiting_bytes
        ):
            metrics.PUBLISH_ERRORS.labels("overloaded").inc()
            raise OverloadedError(f"{self._pending} records wait for the event log")
        if self._trouble is not None and self._tried.is_set() and self._pending >= PROBES:
            metrics.PUBLISH_ERRORS.labels("away").inc()
            raise self._away()

    def _away(self, otherwise: str = "it went away") -> HemlineError:
        """An error of its own for each publish: one that is raised keeps all it has passed."""
        trouble = self._trouble or f"Kafka at {self._address}: {otherwise}"
        kind = SetupError if isinstance(trouble, SetupError) else UnavailableError
        return kind(str(trouble), public=LOG_AWAY)

    def _check_rights(self) -> None:
        with kafka_errors(self._address), Admin(self._address) as admin:
            check_rights(admin, self._address, self._reads, self._writes)

    def _identity(self, topic: str) -> str:
        with kafka_errors(self._address), Admin(self._address) as admin:
            found = self._existing(admin, topic)
            return f"kafka:{admin.cluster_id()}/{topic}/{found['topic_id']}"

    def _extent(self, topic: str) -> dict[int, range]:
        with kafka_errors(self._address), Admin(self._address) as admin:
            partitions = self._existing(admin, topic)["partitions"]
            return admin.extent(topic, [each["partition_index"] for each in partitions])

    def _existing(self, admin: Admin, topic: str) -> dict[str, Any]:
        found = admin.topics([topic])
        if topic not in found:
            raise UnavailableError(
                f"Kafka at {self._address} has no topic {topic}", public=LOG_AWAY
            )
        return found[topic]

    def _answer(self) -> None:
        """Resolves what was acknowledged or refused; on the event loop."""
        while self._answers:
            waiting, outcome = self._answers.popleft()
            self._pending -= 1
            self._pending_bytes -= waiting.size
            if waiting.future.done():  # cancelled, or out of time
                continue
            if isinstance(outcome, BaseException):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)

    def _finish(self, waiting: _Publish, outcome: Position | BaseException) -> None:
        """On any thread."""
        first = not self._answers
        self._answers.append((waiting, outcome))
        if first:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                assert self._loop is not None
                self._loop.call_soon_threadsafe(self._loop.call_later, ANSWER_S, self._answer)

    # Everything below runs on the sending thread, but for _delivered and _failed, which
    # kafka-python calls on its own.

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            if self._producer is None:
                self._connect()
            for waiting in batch:
                self._send(waiting)
        if self._producer is not None:
            self._discard(self._producer, PUBLISH_TIMEOUT_S)

    def _next(self) -> list[_Publish] | None:
        """What waits to be sent; None when closed and done."""
        with self._changed:
            if self._tried.is_set() and not self._waiting and not self._closed:
                self._changed.wait(None if self._producer is not None else RETRY_S)
            if self._closed and not self._waiting:
                return None
        if (early_s := self._sent_at + GATHER_S - time.monotonic()) > 0:
            time.sleep(early_s)
        self._sent_at = time.monotonic()
        with self._changed:
            batch = list(self._waiting)
            self._waiting.clear()
        return batch

    def _connect(self) -> None:
        try:
            with kafka_errors(self._address):
                with Admin(self._address) as admin:
                    ensure_topics(admin, self._address, self._topics)
                    check_rights(admin, self._address, self._reads, self._writes)
                self._producer = kafka_client.make_producer(self._address, self._topics)
            self._changed_to(None)
        except HemlineError as error:
            self._changed_to(error)
        except Exception as error:
            logger.exception("connecting to Kafka at %s", self._address)
            self._changed_to(kafka_error(self._address, error))
        self._tried.set()

    def _send(self, waiting: _Publish) -> None:
        if waiting.future.done():
            self._finish(waiting, UnavailableError("its caller is gone"))
            return
        if self._producer is None:
            self._finish(waiting, self._away())
            return
        try:
            sent = self._producer.send(
                waiting.topic,
                key=waiting.key,
                value=waiting.value,
                timestamp_ms=waiting.published_ms,
            )
        except Exception as error:
            self._failed(waiting, self._producer, error)
            return
        producer = self._producer
        sent.add_callback(lambda done: self._delivered(waiting, done))
        sent.add_errback(lambda error: self._failed(waiting, producer, error))

    def _delivered(self, waiting: _Publish, done: Any) -> None:
        if self._trouble is not None:
            self._changed_to(None)
        self._finish(waiting, Position(done.partition, done.offset))

    def _failed(self, waiting: _Publish, producer: Any, error: Exception) -> None:
        trouble = kafka_error(self._address, error)
        if producer is self._producer:
            self._changed_to(trouble)
            if not kafka_client.is_passing(error):
                # An idempotent producer that lost count of its records refuses all later ones.
                self._producer = None
                threading.Thread(target=self._discard, args=(producer, 0.0), daemon=True).start()
        self._finish(waiting, type(trouble)(str(trouble), public=LOG_AWAY))

    def _discard(self, producer: Any, timeout_s: float) -> None:
        try:
            kafka_client.close_producer(producer, timeout_s)
        except Exception as error:
            logger.warning("Kafka at %s: a producer did not close: %s", self._address, error)

    def _changed_to(self, trouble: HemlineError | None) -> None:
        """Logs once when the cluster goes away, and once when it is back."""
        before, self._trouble = self._trouble, trouble
        if trouble is None:
            logger.info("Kafka at %s answers", self._address)
        elif before is None or not self._tried.is_set() or type(before) is not type(trouble):
            logger.error("the event log is away, nothing is accepted: %s", trouble)
        metrics.EVENT_LOG_UP.set(trouble is None)
