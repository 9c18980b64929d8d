"""Compaction of the embedded log: nothing that anybody needs is lost, not even by a kill."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hemline import metrics
from hemline.event_log import CATALOGUE_TOPIC, VECTORS_TOPIC, CompactionRules, Record
from hemline.indexer.compaction import Compaction
from hemline.indexer.index import Indexer, group_of
from hemline.live_following import Follower
from hemline.live_items import LiveItems
from hemline.live_record import change_to_proto, record_key
from hemline.releases import Release
from hemline.sqlite_event_log import SqliteEventLog
from hemline.v1 import catalog_pb2, common_pb2
from live_changes import new_state
from small_world import FakeEncoders, style_photo

NEWEST = CompactionRules(lambda key: False)


async def left_in(log: SqliteEventLog, topic: str) -> list[Record]:
    reader = log.reader(topic, {})
    records = await reader.poll(100_000, 0.2)
    await reader.close()
    return records


async def test_the_newest_record_of_every_key_stays_in_order(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db")
    keys = [f"k{n % 7}" for n in range(100)]
    at = await asyncio.gather(*(log.publish("t", key, key.encode()) for key in keys))
    assert await log.compact("t", [], NEWEST) == 93
    newest = {key: position.offset for key, position in zip(keys, at, strict=True)}
    records = await left_in(log, "t")
    assert [(r.key, r.offset) for r in records] == sorted(newest.items(), key=lambda each: each[1])
    assert await log.compact("t", [], NEWEST) == 0
    assert (await log.publish("t", "k", b"")).offset == 100
    await log.close()


async def test_other_topics_are_left_alone(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db")
    for topic in ("one", "other"):
        for n in range(5):
            await log.publish(topic, "k", str(n).encode())
    await log.compact("one", [], NEWEST)
    assert [len(await left_in(log, topic)) for topic in ("one", "other")] == [1, 5]
    await log.close()


async def test_even_a_key_that_is_gone_stays_where_the_next_offset_is_counted_from(
    tmp_path: Path,
) -> None:
    log = SqliteEventLog(tmp_path / "db")
    for key in ("old/a", "new/a", "old/b", "old/a"):
        await log.publish("t", key, b"v")
    rules = CompactionRules(lambda key: key.startswith("old/"))
    assert await log.compact("t", [], rules) == 2
    assert [(r.key, r.offset) for r in await left_in(log, "t")] == [("new/a", 1), ("old/a", 3)]
    assert (await log.publish("t", "new/b", b"v")).offset == 4
    assert await log.compact("t", [], rules) == 1
    await log.close()


async def test_behind_a_record_that_does_not_say_all_the_newest_that_does_stays(
    tmp_path: Path,
) -> None:
    log = SqliteEventLog(tmp_path / "db")
    for value in (b"all 1", b"some 2", b"all 3", b"some 4", b"some 5"):
        await log.publish("t", "k", value)
    await log.publish("t", "other", b"some 6")
    await log.publish("t", "other", b"some 7")
    rules = CompactionRules(lambda key: False, lambda value: value.startswith(b"all"))
    await log.compact("t", [], rules)
    assert [r.value for r in await left_in(log, "t")] == [b"all 3", b"some 5", b"some 7"]
    await log.close()


async def test_groups_that_are_not_named_begin_anew(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db")
    for n in range(4):
        await log.publish("t", "k", str(n).encode())
    for group in ("kept", "retired"):
        consumer = log.consumer("t", group)
        await consumer.commit(await consumer.poll(10, 1.0))
        await consumer.close()
    await log.compact("t", ["kept", "never seen"], NEWEST)
    assert await log.consumer("t", "kept").lag() == 0
    again = log.consumer("t", "retired")
    assert [record.value for record in await again.poll(10, 1.0)] == [b"3"]
    await log.close()


async def test_publishers_go_on_meanwhile(tmp_path: Path) -> None:
    log = SqliteEventLog(tmp_path / "db")
    await asyncio.gather(*(log.publish("t", f"k{n % 5}", b"v") for n in range(3_000)))
    compacting = asyncio.create_task(log.compact("t", [], NEWEST))
    published = 0
    while not compacting.done():
        await log.publish("t", "new", b"v")
        published += 1
    await compacting
    assert published > 2
    await log.compact("t", [], NEWEST)
    assert sorted(record.key for record in await left_in(log, "t")) == [
        *(f"k{n}" for n in range(5)),
        "new",
    ]
    await log.close()


DYING = """
import asyncio, sys
from hemline.event_log import CompactionRules
from hemline.sqlite_event_log import SqliteEventLog

async def main():
    log = SqliteEventLog(sys.argv[1])
    number = 0
    while True:
        for _ in range(200):
            await log.publish("t", f"k{number % 9}", str(number).encode())
            number += 1
        print(number - 1, flush=True)  # acknowledged
        await log.compact("t", [], CompactionRules(lambda key: False))

asyncio.run(main())
"""


def test_a_kill_in_the_midst_loses_no_newest_record(tmp_path: Path) -> None:
    chance = random.Random(3)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for round_ in range(4):
        path = tmp_path / f"db{round_}"
        command = [sys.executable, "-c", DYING, str(path)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as dying:
            assert dying.stdout is not None
            acknowledged = [int(dying.stdout.readline()) for _ in range(chance.randrange(1, 4))][-1]
            dying.stdout.read(chance.randrange(0, 3))
            dying.kill()

        async def newest(path: Path = path) -> dict[str, int]:
            log = SqliteEventLog(path)
            found = {record.key: int(record.value) for record in await left_in(log, "t")}
            end = (await log.extent("t"))[0].stop
            assert (await log.publish("t", "x", b"0")).offset == end
            await log.close()
            return found

        found = asyncio.run(newest())
        for n in range(acknowledged - 8, acknowledged + 1):
            assert found[f"k{n % 9}"] >= n


@pytest.fixture
def encoders() -> FakeEncoders:
    return FakeEncoders()


async def test_what_is_left_of_the_topics_of_items_makes_the_same_items(
    small_release: Release, tmp_path: Path, encoders: FakeEncoders
) -> None:
    log = SqliteEventLog(tmp_path / "db")
    item = common_pb2.Item(item_id="new", title="boots", in_stock=True)
    photo = catalog_pb2.CatalogueRecord(item=item, image=style_photo("dress"))
    await log.publish(CATALOGUE_TOPIC, "new", photo.SerializeToString())
    for price in range(5):
        item.price = price
        record = catalog_pb2.CatalogueRecord(item=item)
        await log.publish(CATALOGUE_TOPIC, "new", record.SerializeToString())
    await index_all(log, encoders, small_release)
    before = (await followed(log, small_release)).changes()

    gone = new_state("gone", seed=1)
    await log.publish(
        VECTORS_TOPIC,
        record_key("r0000-00000000", "gone"),
        change_to_proto(gone, "r0000-00000000").SerializeToString(),
    )
    last = change_to_proto(new_state("last", seed=2, order=99), small_release.id)
    await log.publish(VECTORS_TOPIC, record_key(small_release.id, "last"), last.SerializeToString())
    compacted = metrics.LIVE_RECORDS.labels("compacted")
    count = compacted._value.get()
    compaction = Compaction(log, small_release.folder.parent, small_release.id, worth_it=3)
    await compaction.compact()
    assert compacted._value.get() > count
    assert len(await left_in(log, CATALOGUE_TOPIC)) == 2, "the newest, and the photo"
    keys = [record.key for record in await left_in(log, VECTORS_TOPIC)]
    assert keys == [record_key(small_release.id, name) for name in ("new", "last")]

    after = {each.item_id: each for each in (await followed(log, small_release)).changes()}
    assert after["new"].item == before[0].item and after["new"].item.price == 4
    assert (after["new"].content == before[0].content).all()
    # An indexer that comes for the first time still finds the photo.
    await log.compact(CATALOGUE_TOPIC, [], NEWEST_WITH_PHOTO)
    assert await log.consumer(CATALOGUE_TOPIC, group_of(small_release.id)).lag() > 0
    images = encoders.calls["clip_image"]
    await index_all(log, encoders, small_release)
    assert encoders.calls["clip_image"] == images + 1
    await log.close()


NEWEST_WITH_PHOTO = CompactionRules(lambda key: False, lambda value: b"PNG" in value)


async def test_a_topic_with_little_new_is_not_looked_through(
    small_release: Release, tmp_path: Path
) -> None:
    log = SqliteEventLog(tmp_path / "db")
    compaction = Compaction(log, small_release.folder.parent, small_release.id, worth_it=10)
    for n in range(9):
        await log.publish(VECTORS_TOPIC, f"{small_release.id}/a", str(n).encode())
    await compaction.compact()
    assert len(await left_in(log, VECTORS_TOPIC)) == 9
    await log.publish(VECTORS_TOPIC, f"{small_release.id}/a", b"9")
    stopping = asyncio.Event()
    running = asyncio.create_task(compaction.run(stopping, every_s=0.01))
    async with asyncio.timeout(60):
        while len(await left_in(log, VECTORS_TOPIC)) > 1:
            await asyncio.sleep(0.01)
    stopping.set()
    await running
    await log.close()


async def index_all(log: SqliteEventLog, encoders: FakeEncoders, release: Release) -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(Indexer(log, encoders, LiveItems(release)).run(stopping))
    lag = log.consumer(CATALOGUE_TOPIC, group_of(release.id))
    async with asyncio.timeout(60):
        while await lag.lag():
            await asyncio.sleep(0.01)
    stopping.set()
    await running


async def followed(log: SqliteEventLog, release: Release) -> LiveItems:
    items = LiveItems(release)
    await Follower(log, items).catch_up()
    return items
