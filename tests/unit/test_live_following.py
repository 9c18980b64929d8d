"""A process that starts late, restarts, or finds a broken snapshot ends up with the same items."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from hemline import metrics
from hemline.event_log import VECTORS_TOPIC
from hemline.live_change import Change
from hemline.live_following import AT_ONCE, Follower, following
from hemline.live_items import LiveItems
from hemline.live_record import change_to_proto, record_key
from hemline.live_snapshot import KEPT, Snapshots
from hemline.releases import Release
from hemline.sqlite_event_log import SqliteEventLog
from live_changes import new_state


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteEventLog]:
    log = SqliteEventLog(tmp_path / "events.sqlite")
    yield log
    await log.close()


async def publish(log: SqliteEventLog, release_id: str, *changes: Change) -> None:
    for change in changes:
        record = change_to_proto(change, release_id).SerializeToString()
        await log.publish(VECTORS_TOPIC, record_key(release_id, change.item_id), record)


def names(items: LiveItems) -> set[str]:
    view = items.view
    return {name for name in view.item_ids if view.row(name) is not None}


def count(outcome: str) -> float:
    return metrics.LIVE_SNAPSHOTS.labels(outcome)._value.get()


async def test_a_late_starter_is_whole_once_it_has_caught_up(
    log: SqliteEventLog, small_release: Release
) -> None:
    changes = [new_state(f"new-{n}", seed=n, order=n) for n in range(300)]
    await publish(log, small_release.id, *changes, Change("new-7", None, order=300))
    await publish(log, "r9999-00000000", new_state("of-another-release"))
    await log.publish(VECTORS_TOPIC, "x", b"\xff\xff no record")
    items = LiveItems(small_release)
    follower = Follower(log, items)
    assert metrics.LIVE_CAUGHT_UP._value.get() == 0
    await follower.catch_up()
    assert metrics.LIVE_CAUGHT_UP._value.get() == 1
    assert items.view.count == 120 + 299 and "new-7" not in names(items)
    assert "of-another-release" not in names(items)


async def test_others_have_their_turn_while_many_records_are_applied(
    log: SqliteEventLog, small_release: Release
) -> None:
    changes = [new_state(f"new-{n % 50}", seed=n, order=n) for n in range(10 * AT_ONCE)]
    await asyncio.gather(*(publish(log, small_release.id, change) for change in changes))
    items = LiveItems(small_release)
    seen: set[int] = set()

    async def look() -> None:
        while True:
            seen.add(items.view.number)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await Follower(log, items).catch_up()
    looking.cancel()
    assert len(seen) >= 8 and items.view.count == 120 + 50


async def test_after_a_restart_only_what_came_since_the_snapshot_is_read(
    log: SqliteEventLog, small_release: Release, tmp_path: Path
) -> None:
    snapshots = Snapshots(tmp_path / "live", small_release.id)
    await publish(log, small_release.id, new_state("a", order=1), Change("dress-01", None, order=2))
    first = LiveItems(small_release)
    follower = Follower(log, first, snapshots)
    await follower.catch_up()
    async with following(follower):
        pass  # it saves when it is told to stop
    await publish(log, small_release.id, new_state("b", order=3))

    again = LiveItems(small_release)
    read_before = metrics.LIVE_RECORDS.labels("applied")._value.get()
    await Follower(log, again, snapshots).catch_up()
    assert metrics.LIVE_RECORDS.labels("applied")._value.get() - read_before == 1
    assert names(again) == (names(first) | {"b"})
    assert {"a", "b"} <= names(again) and "dress-01" not in names(again)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "headless"])
async def test_a_broken_snapshot_is_told_and_the_one_before_it_is_used(
    log: SqliteEventLog, small_release: Release, tmp_path: Path, damage: str
) -> None:
    snapshots = Snapshots(tmp_path / "live", small_release.id)
    items = LiveItems(small_release)
    follower = Follower(log, items, snapshots)
    for n in range(KEPT + 2):
        await publish(log, small_release.id, new_state(f"new-{n}", seed=n, order=n))
        await follower.catch_up()
        await follower.save()
    files = sorted((tmp_path / "live").iterdir())
    assert len(files) == KEPT
    data = files[-1].read_bytes()
    files[-1].write_bytes(
        {
            "cut": data[:-10],
            "flipped": data[:200] + bytes([data[200] ^ 1]) + data[201:],
            "empty": b"",
            "headless": data.partition(b"\n")[2],
        }[damage]
    )
    before = count("corrupt")
    again = LiveItems(small_release)
    await Follower(log, again, snapshots).catch_up()
    assert count("corrupt") == before + 1
    assert names(again) == names(items)


async def test_a_full_disk_costs_neither_the_service_nor_the_old_snapshot(
    log: SqliteEventLog, small_release: Release, tmp_path: Path
) -> None:
    folder = tmp_path / "live"
    snapshots = Snapshots(folder, small_release.id)
    items = LiveItems(small_release)
    follower = Follower(log, items, snapshots)
    await publish(log, small_release.id, new_state("a", order=1))
    await follower.catch_up()
    await follower.save()
    (whole,) = folder.iterdir()
    blocked = folder / f"{small_release.id}.2.staged"
    blocked.mkdir()  # stands in for a disk that takes no more files
    await publish(log, small_release.id, new_state("b", order=2))
    await follower.catch_up()
    before = count("failed")
    await follower.save()
    assert count("failed") == before + 1 and "b" in names(items)
    assert snapshots.newest() is not None and whole.exists()
    blocked.rmdir()
    await follower.save()
    saved = snapshots.newest()
    assert saved is not None and len(saved.changes) == 2


async def test_a_snapshot_of_a_log_that_is_gone_is_not_used(
    small_release: Release, tmp_path: Path
) -> None:
    snapshots = Snapshots(tmp_path / "live", small_release.id)
    for number in (1, 2):
        log = SqliteEventLog(tmp_path / f"log-{number}.sqlite")
        await publish(log, small_release.id, new_state(f"of-log-{number}", order=1))
        items = LiveItems(small_release)
        follower = Follower(log, items, snapshots)
        await follower.catch_up()
        await follower.save()
        await log.close()
    assert "of-log-1" not in names(items) and "of-log-2" in names(items)


async def test_a_follower_goes_on_when_the_log_comes_back(
    log: SqliteEventLog, small_release: Release
) -> None:
    """The log is closed under it: every call fails then, as with a broker that is away."""
    items = LiveItems(small_release)
    follower = Follower(log, items)
    await log.close()
    async with asyncio.timeout(60):
        await follower.wait_until_caught_up(patience_s=0.2)
    assert metrics.LIVE_CAUGHT_UP._value.get() == 0


def test_a_snapshot_says_what_it_holds(small_release: Release, tmp_path: Path) -> None:
    from hemline.live_snapshot import Snapshot

    snapshots = Snapshots(tmp_path, small_release.id)
    changes = [new_state("a", seed=3, order=5), Change("b", None, order=6)]
    path = snapshots.save(Snapshot("the log", {0: 7, 3: 9}, changes))
    facts = json.loads(path.read_bytes().split(b"\n")[1])
    assert facts == {"log": "the log", "offsets": {"0": 7, "3": 9}, "changes": 2}
    back = snapshots.newest()
    assert back is not None and back.offsets == {0: 7, 3: 9}
    assert [(c.item_id, c.item, c.order) for c in back.changes] == [
        (c.item_id, c.item, c.order) for c in changes
    ]
    assert Snapshots(tmp_path, "r0002-00000000").newest() is None
