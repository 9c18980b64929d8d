"""What is stored at the end of a run: waited for, read, and checked against the clients' ledger."""

from __future__ import annotations

import asyncio
import time

import checker
from checker import Finding
from ledger import Ledger
from patience import patience

from hemline.errors import UnavailableError
from hemline.event_log import DEAD_LETTERS_TOPIC, EVENTS_TOPIC, EventLog, Record
from hemline.user_state import UserStates


async def until_applied(log: EventLog, users: UserStates, timeout_s: float) -> float | None:
    """Wait until the store has all of the log; seconds that took, None if it did not come to it."""
    began = time.monotonic()
    async for _ in patience(timeout_s):
        try:
            extent = await log.extent(EVENTS_TOPIC)
            progress = await users.progress()
            reached = progress.positions if progress else {}
            if all(reached.get(p, 0) >= offsets.stop for p, offsets in extent.items()):
                return time.monotonic() - began
        except UnavailableError:
            pass  # still on its way back
    return None


async def read_topic(log: EventLog, topic: str, timeout_s: float = 90.0) -> list[Record]:
    """Every record of a topic, of each partition in order, by a reader of its own."""
    extent = await log.extent(topic)
    missing = {p: offsets.stop for p, offsets in extent.items() if offsets}
    consumer = log.consumer(topic, "checker")
    records: list[Record] = []
    try:
        async with asyncio.timeout(timeout_s):
            while missing:
                batch = await consumer.poll(5_000, 0.5)
                records += batch
                for record in batch:
                    if record.offset + 1 >= missing.get(record.partition, 0):
                        missing.pop(record.partition, None)
    finally:
        await consumer.close()
    return records


async def check_end(
    ledger: Ledger, log: EventLog, users: UserStates, timeout_s: float
) -> tuple[list[Finding], list[Record], float | None]:
    """Findings, the log's records, and the seconds until everything was applied.

    Call it when every process runs again; it waits for what is still under way.
    """
    settled_s = await until_applied(log, users, timeout_s)
    records = await read_topic(log, EVENTS_TOPIC)
    states = await users.get_many(sorted({click.user_id for click in ledger.sent.values()}))
    findings = checker.check(ledger, records, states)
    if settled_s is None:
        findings.append(Finding(checker.STUCK, 1, f"not within {timeout_s:g} s"))
    letters = await read_topic(log, DEAD_LETTERS_TOPIC)
    if letters:
        keys = ", ".join(sorted({letter.key for letter in letters}))
        findings.append(Finding("set aside as a dead letter", len(letters), keys))
    return findings, records, settled_s
