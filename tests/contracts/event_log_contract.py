"""What every event log promises, as tests: the embedded log and Kafka run the same ones.

A test class inherits `EventLogContract` and gives it a `target` fixture. Other processes are real:
they run this module as a programme and are killed for real.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, cast

import pytest

from hemline.errors import InvalidInputError, UnavailableError
from hemline.event_log import (
    MAX_RECORD_BYTES,
    CompactionRules,
    Consumer,
    EventLog,
    Position,
    Record,
)

PATIENCE_S = 90.0  # how long a test waits for what must come; it takes milliseconds


@dataclass(frozen=True)
class LogTarget:
    """How any process opens a client of the log under test: `factory` is "module:callable"."""

    factory: str
    location: str

    def open(self) -> EventLog:
        module, name = self.factory.split(":")
        return cast(EventLog, getattr(importlib.import_module(module), name)(self.location))

    @contextmanager
    def process(self, *job: str) -> Iterator[subprocess.Popen[str]]:
        """Runs a job of `main` below in a process of its own, killed when the block ends."""
        command = [sys.executable, "-m", __name__, self.factory, self.location, *job]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def hold_up_the_event_loop(seconds: float) -> None:
    time.sleep(seconds)


async def read_all(log: EventLog, topic: str, group: str = "reader") -> list[Record]:
    """Everything in the topic that the group has not committed."""
    consumer = log.consumer(topic, group)
    records: list[Record] = []
    missing = await consumer.lag()
    while len(records) < missing:
        batch = await consumer.poll(500, PATIENCE_S)
        assert batch, f"only {len(records)} of {missing} records came"
        records += batch
    await consumer.close()
    return records


async def poll_all(consumer: Consumer, count: int) -> list[Record]:
    """Exactly the next `count` records."""
    records: list[Record] = []
    while len(records) < count:
        batch = await consumer.poll(count - len(records), PATIENCE_S)
        assert batch, f"only {len(records)} of {count} records came"
        records += batch
    return records


class EventLogContract:
    @pytest.fixture
    def target(self) -> LogTarget:
        raise NotImplementedError("the class that inherits the contract says what it tests")

    @pytest.fixture
    def topic(self) -> str:
        return f"topic-{uuid.uuid4().hex}"

    @pytest.fixture
    async def log(self, target: LogTarget) -> AsyncIterator[EventLog]:
        log = target.open()
        yield log
        await log.close()

    async def test_a_record_comes_back_as_it_was_published(self, log: EventLog, topic: str) -> None:
        before_ms = time.time_ns() // 1_000_000
        position = await log.publish(topic, "ann", b"\x00\xffclick")
        [record] = await log.consumer(topic, "g").poll(10, PATIENCE_S)
        assert (record.topic, record.key, record.value) == (topic, "ann", b"\x00\xffclick")
        assert record.position == position
        assert before_ms <= record.published_ms <= time.time_ns() // 1_000_000

    @pytest.mark.parametrize(
        "key", ["", "ключ-衣服-👗", "a\x00b", " \n", "'; DROP TABLE records; --", "k" * 500_000]
    )
    async def test_any_text_is_a_key(self, log: EventLog, topic: str, key: str) -> None:
        await log.publish(topic, key, b"1")
        await log.publish(topic, key, b"")
        records = await read_all(log, topic)
        assert [(r.key, r.value) for r in records] == [(key, b"1"), (key, b"")]

    async def test_what_the_log_cannot_hold_is_refused(self, log: EventLog, topic: str) -> None:
        for bad_topic in ("", "a b", "a/b", "é", "x" * 201):
            with pytest.raises(InvalidInputError, match="topic"):
                await log.publish(bad_topic, "k", b"v")
        with pytest.raises(InvalidInputError, match="key"):
            await log.publish(topic, "\ud800", b"v")
        with pytest.raises(InvalidInputError, match="value"):
            await log.publish(topic, "k", bytes(MAX_RECORD_BYTES))
        with pytest.raises(InvalidInputError, match="group"):
            log.consumer(topic, "no group")
        await log.publish(topic, "k", b"still works")
        assert [r.value for r in await read_all(log, topic)] == [b"still works"]

    async def test_a_thousand_concurrent_publishes_keep_their_order(
        self, log: EventLog, topic: str
    ) -> None:
        positions = await asyncio.gather(
            *(log.publish(topic, "ann", str(n).encode()) for n in range(1_000))
        )
        records = await read_all(log, topic)
        assert [int(r.value) for r in records] == list(range(1_000))
        assert [r.position for r in records] == positions

    async def test_what_is_published_together_is_logged_in_its_order_or_refused_by_name(
        self, log: EventLog, topic: str
    ) -> None:
        assert await log.publish_all(topic, []) == []
        records = [("k", f"{number}".encode()) for number in range(300)]
        positions = await log.publish_all(topic, records)
        assert len(set(positions)) == 300
        assert [r.value for r in await read_all(log, topic)] == [v for _, v in records]
        with pytest.raises(InvalidInputError, match="value"):
            await log.publish_all(topic, [("k", bytes(MAX_RECORD_BYTES + 1))])

    async def test_topics_do_not_mix(self, log: EventLog, topic: str) -> None:
        await log.publish(topic, "k", b"here")
        await log.publish(f"{topic}-2", "k", b"there")
        assert [r.value for r in await read_all(log, topic)] == [b"here"]
        assert [r.value for r in await read_all(log, f"{topic}-2")] == [b"there"]

    async def test_poll_returns_at_most_what_was_asked_and_moves_on_without_commits(
        self, log: EventLog, topic: str
    ) -> None:
        for n in range(5):
            await log.publish(topic, "k", b"%d" % n)
        consumer = log.consumer(topic, "g")
        polled: list[bytes] = []
        while len(polled) < 5:
            batch = await consumer.poll(2, PATIENCE_S)
            assert 1 <= len(batch) <= 2
            polled += [r.value for r in batch]
        assert polled == [b"0", b"1", b"2", b"3", b"4"]
        assert await consumer.poll(2, 0.0) == []

    async def test_poll_of_nothing_waits_its_time_and_no_longer(
        self, log: EventLog, topic: str
    ) -> None:
        consumer = log.consumer(topic, "g")
        await log.publish(topic, "k", b"v")
        await consumer.poll(10, PATIENCE_S)
        start = time.monotonic()
        assert await consumer.poll(10, 0.2) == []
        assert 0.19 <= time.monotonic() - start < PATIENCE_S

    async def test_a_waiting_poll_wakes_when_another_process_publishes(
        self, target: LogTarget, log: EventLog, topic: str
    ) -> None:
        consumer = log.consumer(topic, "g")
        await log.check()
        with target.process("publish", topic, "far", "1"):
            start = time.monotonic()
            records = await consumer.poll(10, PATIENCE_S)
        assert [r.key for r in records] == ["far"]
        assert time.monotonic() - start < PATIENCE_S

    async def test_after_a_restart_a_group_resumes_behind_its_commit(
        self, target: LogTarget, topic: str
    ) -> None:
        log = target.open()
        for n in range(6):
            await log.publish(topic, "k", b"%d" % n)
        consumer = log.consumer(topic, "g")
        polled = await poll_all(consumer, 6)
        await consumer.commit(polled[:4])
        await log.close()

        log = target.open()
        assert [r.value for r in await read_all(log, topic, "g")] == [b"4", b"5"]
        await log.close()

    async def test_what_was_not_committed_is_delivered_again(
        self, target: LogTarget, topic: str
    ) -> None:
        for _ in range(2):
            log = target.open()
            consumer = log.consumer(topic, "g")
            if not await consumer.lag():
                await log.publish(topic, "k", b"again")
            assert [r.value for r in await consumer.poll(10, PATIENCE_S)] == [b"again"]
            await log.close()

    async def test_a_commit_takes_positions_and_never_moves_back(
        self, log: EventLog, topic: str
    ) -> None:
        for n in range(4):
            await log.publish(topic, "k", b"%d" % n)
        consumer = log.consumer(topic, "g")
        records = await poll_all(consumer, 4)
        await consumer.commit([])
        assert await consumer.lag() == 4
        await consumer.commit([records[2].position, records[0].position])
        assert await consumer.lag() == 1
        await consumer.commit(records[:1])
        assert await consumer.lag() == 1
        await consumer.close()
        assert [r.value for r in await read_all(log, topic, "g")] == [b"3"]

    async def test_only_what_was_polled_can_be_committed(self, log: EventLog, topic: str) -> None:
        await log.publish(topic, "k", b"0")
        ahead = await log.publish(topic, "k", b"1")
        consumer = log.consumer(topic, "g")
        with pytest.raises(UnavailableError):
            await consumer.commit([Position(0, 0)])
        await consumer.poll(1, PATIENCE_S)
        with pytest.raises(InvalidInputError, match="never polled"):
            await consumer.commit([ahead])
        assert await consumer.lag() == 2

    async def test_every_group_reads_everything(self, log: EventLog, topic: str) -> None:
        await log.publish(topic, "k", b"v")
        first, second = log.consumer(topic, "one"), log.consumer(topic, "two")
        await first.commit(await first.poll(10, PATIENCE_S))
        assert await first.lag() == 0
        assert await second.lag() == 1
        assert len(await second.poll(10, PATIENCE_S)) == 1

    async def test_one_consumer_of_a_group_works_and_another_takes_over_when_it_leaves(
        self, target: LogTarget, log: EventLog, topic: str
    ) -> None:
        for n in range(3):
            await log.publish(topic, "k", b"%d" % n)
        active, standby = log.consumer(topic, "g"), log.consumer(topic, "g")
        [first] = await active.poll(1, PATIENCE_S)
        await active.commit([first])
        assert await standby.poll(10, 0.1) == []
        with pytest.raises(UnavailableError):
            await standby.commit([first])
        await active.close()
        assert [r.value for r in await standby.poll(10, PATIENCE_S)] == [b"1", b"2"]

    async def test_a_standby_takes_over_from_a_consumer_that_was_killed(
        self, target: LogTarget, log: EventLog, topic: str
    ) -> None:
        for n in range(3):
            await log.publish(topic, "k", b"%d" % n)
        standby = log.consumer(topic, "g")
        with target.process("consume", topic, "g") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "committed 1\n"
            assert await standby.poll(10, 0.1) == []
            process.kill()
            assert [r.value for r in await standby.poll(10, PATIENCE_S)] == [b"1", b"2"]

    async def test_a_cancelled_poll_loses_and_repeats_no_record(
        self, log: EventLog, topic: str
    ) -> None:
        consumer = log.consumer(topic, "g")
        polled: list[Record] = []
        for n in range(30):
            waiting = asyncio.create_task(consumer.poll(10, PATIENCE_S))
            await asyncio.sleep(0)
            await log.publish(topic, "k", str(n).encode())
            # The record may have been read by now, but a loop held up cannot have delivered it.
            hold_up_the_event_loop(n % 3 * 0.01)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                polled += await waiting
            while len(polled) <= n:
                batch = await consumer.poll(10, PATIENCE_S)
                assert batch, f"record {n} was lost"
                polled += batch
        assert [int(r.value) for r in polled] == list(range(30))

    async def test_a_consumer_reads_again_from_where_it_is_sought(
        self, log: EventLog, topic: str
    ) -> None:
        for n in range(4):
            await log.publish(topic, "k", b"%d" % n)
        consumer = log.consumer(topic, "g")
        with pytest.raises(UnavailableError):
            await consumer.seek({0: 0})
        records = await poll_all(consumer, 4)
        await consumer.commit(records[:3])
        await consumer.seek({records[1].partition: records[1].offset})
        again = await poll_all(consumer, 3)
        assert [r.value for r in again] == [b"1", b"2", b"3"]
        await consumer.commit(again[:1])
        assert await consumer.lag() == 1, "a commit moved the group back"
        await consumer.seek({})
        assert await consumer.poll(1, 0.1) == []

    async def test_every_reader_reads_everything_from_where_it_wants(
        self, log: EventLog, topic: str
    ) -> None:
        positions = [await log.publish(topic, "k", b"%d" % n) for n in range(4)]
        readers = [
            log.reader(topic, {}),
            log.reader(topic, {positions[2].partition: positions[2].offset}),
        ]
        for reader, wanted in zip(readers, (4, 2), strict=True):
            records: list[Record] = []
            while len(records) < wanted:
                batch = await reader.poll(3, PATIENCE_S)
                assert batch, f"only {len(records)} of {wanted} records came"
                records += batch
            assert [int(r.value) for r in records] == list(range(4 - wanted, 4))
        for reader in readers:
            assert await reader.poll(3, 0.05) == []
        waiting = [asyncio.create_task(reader.poll(3, PATIENCE_S)) for reader in readers]
        await asyncio.sleep(0.01)
        await log.publish(topic, "other", b"later")
        for poll, reader in zip(waiting, readers, strict=True):
            assert [r.value for r in await poll] == [b"later"]
            await reader.close()
            await reader.close()
            with pytest.raises(UnavailableError):
                await reader.poll(1, 0.0)

    async def test_a_log_has_one_identity_for_all_clients_and_for_ever(
        self, target: LogTarget, log: EventLog, topic: str
    ) -> None:
        before = await log.identity(topic)
        await log.publish(topic, "k", b"v")
        other = target.open()
        assert before == await log.identity(topic) == await other.identity(topic)
        await other.close()
        with pytest.raises(InvalidInputError, match="topic"):
            await log.identity("no topic")

    async def test_a_consumer_says_which_partitions_it_reads(
        self, log: EventLog, topic: str
    ) -> None:
        position = await log.publish(topic, "k", b"v")
        consumer = log.consumer(topic, "g")
        assert consumer.assigned() == frozenset()
        await poll_all(consumer, 1)
        assert position.partition in consumer.assigned()
        assert consumer.assigned() <= (await log.extent(topic)).keys()
        await consumer.close()
        assert consumer.assigned() == frozenset()

    async def test_the_extent_counts_every_record_kept(self, log: EventLog, topic: str) -> None:
        await log.publish(topic, "k", b"first")
        before = await log.extent(topic)
        last = await log.publish(topic, "k", b"second")
        after = await log.extent(topic)
        assert sum(map(len, before.values())) == 1 and sum(map(len, after.values())) == 2
        assert after[last.partition].stop == last.offset + 1
        assert after[last.partition].start == before[last.partition].start
        with pytest.raises(InvalidInputError, match="topic"):
            await log.extent("no topic")

    async def test_close_finishes_what_was_begun_and_refuses_what_comes_later(
        self, target: LogTarget, topic: str
    ) -> None:
        log = target.open()
        consumer = log.consumer(topic, "g")
        begun = [asyncio.create_task(log.publish(topic, "k", b"%d" % n)) for n in range(50)]
        await asyncio.sleep(0)
        await log.close()
        await log.close()
        assert len(set(await asyncio.gather(*begun))) == 50
        with pytest.raises(UnavailableError):
            await log.publish(topic, "k", b"late")
        with pytest.raises(UnavailableError):
            await consumer.poll(1, 0.0)

        log = target.open()
        assert len(await read_all(log, topic)) == 50
        await log.close()

    async def test_publishers_in_several_processes_keep_the_order_of_each_key(
        self, target: LogTarget, log: EventLog, topic: str
    ) -> None:
        with (
            target.process("publish", topic, "a", "150") as a,
            target.process("publish", topic, "b", "150") as b,
        ):
            for n in range(150):
                await log.publish(topic, "c-0", str(n).encode())
            assert [a.wait(PATIENCE_S), b.wait(PATIENCE_S)] == [0, 0]
        records = await read_all(log, topic)
        assert len({r.position for r in records}) == len(records) == 450
        assert [r.position for r in records] == sorted(r.position for r in records)
        for key in ("a", "b", "c-0"):
            assert [int(r.value) for r in records if r.key == key] == list(range(150))

    async def test_compaction_leaves_the_newest_of_every_key_and_what_is_not_committed(
        self, log: EventLog, topic: str
    ) -> None:
        for n in range(30):
            await log.publish(topic, f"k{n % 3}", str(n).encode())
        consumer = log.consumer(topic, "g")
        seen = await poll_all(consumer, 30)
        first = [record for record in seen if int(record.value) < 12]
        await consumer.commit(first[-1:] if len({r.partition for r in seen}) == 1 else first)
        for _ in range(2):
            await log.compact(topic, ["g"], CompactionRules(lambda key: False))
        await consumer.close()
        after = await log.publish(topic, "k0", b"30")
        assert after not in {record.position for record in seen}
        left: set[int] = set()
        again = log.consumer(topic, "g")
        async with asyncio.timeout(PATIENCE_S):
            while not left >= set(range(12, 31)):
                left |= {int(record.value) for record in await again.poll(100, 0.1)}
        await again.close()

    async def test_no_acknowledged_record_is_lost_when_publishers_are_killed(
        self, target: LogTarget, topic: str
    ) -> None:
        chance = random.Random(7)
        acked: dict[Position, tuple[str, int]] = {}
        for round_ in range(4):
            with (
                target.process("publish", topic, f"a{round_}", "1000000", "8") as one,
                target.process("publish", topic, f"b{round_}", "1000000", "8") as other,
            ):
                assert one.stdout is not None and other.stdout is not None
                for _ in range(chance.randrange(1, 400)):
                    _add_ack(acked, one.stdout)
                one.kill()
                for _ in range(chance.randrange(1, 400)):
                    _add_ack(acked, other.stdout)
                other.kill()
                for stream in (one.stdout, other.stdout):
                    while _add_ack(acked, stream):
                        pass
        log = target.open()
        records = await read_all(log, topic)
        await log.close()
        found = {r.position: (r.key, int(r.value)) for r in records}
        assert len(found) == len(records)
        assert {p: found.get(p) for p in acked} == acked
        for key in {r.key for r in records}:
            # Exactly once and in order; the last may have been written but not acknowledged.
            numbers = [int(r.value) for r in records if r.key == key]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) - sum(k == key for k, _ in acked.values()) in (0, 1)


def _add_ack(acked: dict[Position, tuple[str, int]], stream: IO[str]) -> bool:
    line = stream.readline()
    if not line.endswith("\n"):  # the end, or cut off by the kill
        return False
    partition, offset, key, number = line.split()
    acked[Position(int(partition), int(offset))] = (key, int(number))
    return True


async def _publish(log: EventLog, topic: str, key: str, count: int) -> None:
    for n in range(count):
        partition, offset = await log.publish(topic, key, str(n).encode())
        os.write(1, f"{partition} {offset} {key} {n}\n".encode())


async def main(factory: str, location: str, job: str, topic: str, *arguments: str) -> None:
    """publish TOPIC KEY COUNT [TASKS]: prints "partition offset key number" for every ack.
    consume TOPIC GROUP: commits one record, says so, and hangs on to its group."""
    log = LogTarget(factory, location).open()
    if job == "publish":
        key, count, *tasks = arguments
        keys = [f"{key}-{n}" for n in range(int(tasks[0]))] if tasks else [key]
        await asyncio.gather(*(_publish(log, topic, k, int(count)) for k in keys))
        await log.close()
    else:
        consumer = log.consumer(topic, arguments[0])
        records = await consumer.poll(1, PATIENCE_S)
        await consumer.commit(records)
        print("committed", len(records), flush=True)
        await asyncio.sleep(PATIENCE_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
