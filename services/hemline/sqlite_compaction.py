"""Compaction of a topic in the embedded log: of every key, the newest record is enough.

Records are looked through in short reads and deleted in short transactions, each with the others'
writes, so that neither publishers nor readers wait; a crash in between leaves a log that is
compacted less. The newest record of all stays whatever its key, for the next offset is counted from
it. Offsets keep their meaning: a reader that comes to a gap goes on behind it. The file does not
shrink, but what comes next takes the room.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence

from hemline.event_log import CompactionRules
from hemline.sqlite_database import Database, sqlite_errors

READ_AT_ONCE = 5_000
VALUES_AT_ONCE = 50  # they may hold photos
DELETED_AT_ONCE = 200

_FROM = "FROM records WHERE topic = ? AND offset >= ? ORDER BY offset LIMIT ?"
_KEYS = f"SELECT offset, key {_FROM}"
_VALUES = f"SELECT offset, key, value {_FROM}"
_COMMITTED = "SELECT consumer_group, offset FROM committed WHERE topic = ?"
_DELETE = "DELETE FROM records WHERE topic = ? AND offset = ?"
_FORGET = "DELETE FROM committed WHERE topic = ? AND consumer_group = ?"


async def compact_topic(
    database: Database, topic: str, groups: Collection[str], rules: CompactionRules
) -> int:
    """See `hemline.event_log.EventLog.compact`."""
    doomed, strangers = await asyncio.to_thread(_survey, database, topic, groups, rules)
    for start in range(0, len(doomed), DELETED_AT_ONCE):
        some = doomed[start : start + DELETED_AT_ONCE]
        await database.write(_deletion(_DELETE, topic, some))
    if strangers:
        await database.write(_deletion(_FORGET, topic, strangers))
    return len(doomed)


def _survey(
    database: Database, topic: str, groups: Collection[str], rules: CompactionRules
) -> tuple[list[int], list[str]]:
    """Offsets of what may be dropped, and groups to forget."""
    newest: dict[str, int] = {}
    newest_whole: dict[str, int] = {}
    doomed: list[int] = []
    reader = database.reader()
    with sqlite_errors(database.path):
        committed = dict(reader.execute(_COMMITTED, (topic,)).fetchall())
        done = min((committed[group] for group in groups if group in committed), default=None)
        start = 0
        read, at_once = (
            (_KEYS, READ_AT_ONCE) if rules.says_all is None else (_VALUES, VALUES_AT_ONCE)
        )
        while rows := reader.execute(read, (topic, start, at_once)).fetchall():
            for offset, key, *value in rows:
                if rules.gone(key):
                    doomed.append(offset)
                    continue
                before = {newest.get(key), newest_whole.get(key)}
                newest[key] = offset
                if rules.says_all is None or rules.says_all(*value):
                    newest_whole[key] = offset
                after = {offset, newest_whole.get(key)}
                doomed += [superseded for superseded in before - after if superseded is not None]
            start = rows[-1][0] + 1
    last = start - 1
    kept_from = last if done is None else min(done, last)
    return [offset for offset in doomed if offset < kept_from], sorted(
        committed.keys() - set(groups)
    )


def _deletion(
    statement: str, topic: str, which: Sequence[int] | Sequence[str]
) -> Callable[[sqlite3.Connection], None]:
    def delete(connection: sqlite3.Connection) -> None:
        connection.executemany(statement, [(topic, each) for each in which])

    return delete
