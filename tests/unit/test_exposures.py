"""Exposures are logged after the answer; what the log does not take is counted and said once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hemline import metrics
from hemline.errors import UnavailableError
from hemline.event_log import EXPOSURES_TOPIC
from hemline.gateway.exposures import ExposureLog
from hemline.v1.event_pb2 import Exposure


class SomeLog:
    """Keeps what is published, while it is there."""

    def __init__(self) -> None:
        self.away = False
        self.published: list[tuple[str, str, str]] = []

    async def publish_all(self, topic: str, records: list[tuple[str, bytes]]) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError("no broker")
        for key, value in records:
            self.published.append((topic, key, Exposure.FromString(value).request_id))


def exposure(number: int) -> Exposure:
    return Exposure(user_id="ada", request_id=f"r{number}")


async def test_exposures_are_logged_together_in_their_order() -> None:
    log = SomeLog()
    exposures = ExposureLog(log, gather_s=0.01)
    await exposures.flush()
    for number in range(5):
        exposures.add(exposure(number))
    assert log.published == []  # the answer does not wait for them
    await exposures.flush()
    assert log.published == [(EXPOSURES_TOPIC, "ada", f"r{number}") for number in range(5)]
    exposures.add(exposure(5))
    await exposures.flush()
    assert len(log.published) == 6


async def test_what_comes_while_others_are_written_is_written_too() -> None:
    log = SomeLog()
    exposures = ExposureLog(log, gather_s=0)
    exposures.add(exposure(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    exposures.add(exposure(1))
    await exposures.flush()
    assert [request_id for _, _, request_id in log.published] == ["r0", "r1"]


async def test_an_outage_is_counted_by_exposure_and_said_once_at_each_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = SomeLog()
    exposures = ExposureLog(log, gather_s=0)
    lost = metrics.EXPOSURES_LOST._value.get()
    log.away = True
    for number in range(7):
        exposures.add(exposure(number))
        if number % 3 == 0:
            await exposures.flush()
    await exposures.flush()
    log.away = False
    exposures.add(exposure(7))
    with caplog.at_level(logging.WARNING):
        await exposures.flush()
    assert metrics.EXPOSURES_LOST._value.get() - lost == 7
    said = [record.message for record in caplog.records]
    assert said == [
        "exposures are being lost, from request r0 on: no broker",
        "exposures are logged again; 7 were lost",
    ]
    assert [request_id for _, _, request_id in log.published] == ["r7"]
