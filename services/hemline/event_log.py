"""The event log: records in order, kept until every reader has had them.

A small interface that an embedded SQLite log (`hemline.sqlite_event_log`) and Kafka both fit. The
promises below are held by tests/contracts/event_log_contract.py, which every implementation passes:

- `publish` returns once the record is durable: it survives a kill of the process and a power cut.
- Records of one key are read in the order in which their publishes were acknowledged.
- A group reads every record at least once: what was polled but not committed is delivered again
  after a restart. Whoever applies records must make repeats harmless.
- Records of one partition go to one consumer of a group at a time.
- A publish that raises UnavailableError may have been written all the same; retrying it may make a
  duplicate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hemline.errors import InvalidInputError

EVENTS_TOPIC = "events"  # hemline.v1.EventRecord, key = user_id
EXPOSURES_TOPIC = "exposures"  # hemline.v1.Exposure, key = user_id
DEAD_LETTERS_TOPIC = "events.dead"  # hemline.v1.DeadLetter, key = that of the record
CATALOGUE_TOPIC = "catalogue"  # the newest state of every item, key = item_id
VECTORS_TOPIC = "vectors"  # the newest vectors of every item, key = item_id

MAX_RECORD_BYTES = 16 << 20  # key and value together; an item with its image must fit

LOG_AWAY = (
    "the event log cannot be reached just now; what was not acknowledged may be sent again, events "
    "with the same event_id"
)

_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")


class Position(NamedTuple):
    """Where a record stands in its topic; positions of one partition compare by age."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """One published record.

    An empty value says that the key is gone: in Kafka it is a tombstone of a compacted topic.
    published_ms: Unix time in milliseconds by the publisher's clock.
    """

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    published_ms: int

    @property
    def position(self) -> Position:
        return Position(self.partition, self.offset)


@dataclass(frozen=True)
class CompactionRules:
    """gone: whether nobody needs a key any more. says_all: whether a record's value is all there is
    to know of its key; behind one that is not, the newest that is stays as well. None: all are."""

    gone: Callable[[str], bool]
    says_all: Callable[[bytes], bool] | None = None


class Reader(Protocol):
    """Reads every partition of a topic for itself; not for concurrent use by several tasks.

    For what each process has to know whole, such as a compacted topic: it belongs to no group and
    commits nothing.
    """

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records, those of one partition oldest first; waits up to timeout_s for one.

        A cancelled poll loses no record. Raises UnavailableError when the log cannot be read or
        this reader is closed.
        """
        ...

    async def close(self) -> None:
        """Harmless twice."""
        ...


class Consumer(Protocol):
    """One member of a group that reads a topic; not for concurrent use by several tasks."""

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records, oldest first, at most max_records; waits up to timeout_s for the first.

        Starts after the group's committed position (at the oldest record if there is none) and
        moves on with every call, committed or not. Empty when nothing came in time, or when
        another consumer of the group has the topic. A cancelled poll loses no record.
        Raises UnavailableError when the log cannot be read or this consumer is closed.
        """
        ...

    async def commit(self, done: Sequence[Record | Position]) -> None:
        """Makes durable that the group is done with these and everything before them.

        Never moves a group back. Raises InvalidInputError for a position this consumer was never
        given, UnavailableError when the log cannot be written, TakenOverError (one of those) when
        another consumer of the group has taken over: it reads again what could not be committed
        here, so this one is to drop it.
        """
        ...

    async def lag(self) -> int:
        """How many records of the topic the group has not committed yet.

        Raises UnavailableError when the log cannot be read.
        """
        ...

    async def seek(self, offsets: Mapping[int, int]) -> None:
        """Goes on at these offsets: partition -> offset of the next record to read.

        For a reader that keeps its own positions. An offset older than the oldest record kept
        means that one. Partitions that are not named go on as they were; partitions that another
        consumer of the group has are left to it. Commits nothing, and `commit` still never moves
        the group back. Raises UnavailableError when this consumer is closed or on standby.
        """
        ...

    def assigned(self) -> frozenset[int]:
        """The partitions this consumer reads since its last poll; empty before the first, on
        standby and when closed. A partition that left and came back in between is in it still."""
        ...

    async def close(self) -> None:
        """Leaves the group without committing; another consumer takes over. Harmless twice."""
        ...


class EventLog(Protocol):
    """A client of the log. Safe for any number of tasks."""

    async def check(self, reads: Collection[str] = (), writes: Collection[str] = ()) -> None:
        """Returns once the log has been looked at. A log that cannot be reached is no error, it
        may come back: a warning is logged. Raises SetupError for one that must not be used, or
        that does not let us read or write these topics.
        """
        ...

    async def publish(self, topic: str, key: str, value: bytes) -> Position:
        """Appends a record and returns its position once it is durable.

        Raises InvalidInputError for a topic, key or size the log cannot hold, OverloadedError when
        too many publishes wait, UnavailableError when the log cannot be written.
        """
        ...

    async def publish_all(self, topic: str, records: Sequence[tuple[str, bytes]]) -> list[Position]:
        """`publish` of each key and value, in their order, at less cost than one by one.

        Raises as `publish`; which of the records were appended is then open.
        """
        ...

    def consumer(self, topic: str, group: str) -> Consumer:
        """A new consumer; it joins its group with the first poll."""
        ...

    def reader(self, topic: str, offsets: Mapping[int, int]) -> Reader:
        """A new reader that starts at these offsets: partition -> next to read. Partitions that are
        not named, and offsets older than the oldest record kept, start at the oldest."""
        ...

    async def identity(self, topic: str) -> str:
        """Which log this is: the same for every client and every time, until the log is made anew.

        Whoever keeps positions keeps this with them: a position of a log that was lost, emptied
        or replaced means nothing in the next one. Raises InvalidInputError for a name no topic can
        have, UnavailableError when the log cannot be read.
        """
        ...

    async def extent(self, topic: str) -> dict[int, range]:
        """The offsets kept of every partition: from the oldest record to the next to be written.

        Raises InvalidInputError for a name no topic can have, UnavailableError when the log cannot
        be read.
        """
        ...

    async def compact(self, topic: str, groups: Collection[str], rules: CompactionRules) -> int:
        """Drops records that a newer one of the same key supersedes, and those whose key is gone;
        how many. Harmless at any time, and to repeat.

        What one of these groups has not committed stays. The positions of other groups in the topic
        are forgotten: should they come back, they begin with what is left. Does nothing where the
        log compacts such a topic by itself. Raises InvalidInputError for a name no topic can have,
        UnavailableError when the log cannot be written; some may have been dropped then.
        """
        ...

    async def close(self) -> None:
        """Finishes the publishes that wait, then closes this client's consumers and the client."""
        ...


def check_name(field: str, name: str) -> None:
    """Raises InvalidInputError unless `name` can name a topic or a group, in Kafka too."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(field, f"{name!r} is not 1 to 200 of A-Z a-z 0-9 . _ -")


def check_record(topic: str, key: str, value: bytes) -> int:
    """The record's size in bytes. Raises InvalidInputError naming what the log cannot hold."""
    check_name("topic", topic)
    try:
        size = len(key.encode()) + len(value)
    except UnicodeEncodeError as error:
        raise InvalidInputError("key", "is not valid Unicode") from error
    if size > MAX_RECORD_BYTES:
        raise InvalidInputError("value", f"a record of {size} bytes exceeds {MAX_RECORD_BYTES}")
    return size
