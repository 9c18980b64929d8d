"""Machines whose clocks are an hour apart: who is refused, who is not, and what is measured."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from prometheus_client import REGISTRY

from hemline.errors import InvalidInputError
from hemline.event_log import EVENTS_TOPIC
from hemline.gateway.events import checked_event
from hemline.tls import ServerTlsSettings, server_tls
from hemline.v1 import common_pb2 as common
from hemline.v1.event_pb2 import Event, EventRecord, LoggedEvent, RecordEventRequest
from hemline.v1.user_pb2 import GetUserRequest
from shop import Shop
from small_world import item_id

HOUR_MS = 3_600_000
NOON_MS = 1_767_268_800_000  # 2026-01-01 12:00:00 UTC


def click(occurred_ms: int, number: int = 1) -> Event:
    return Event(
        user_id="ada",
        item_id=item_id("jeans", number),
        event_id=f"e{number}",
        kind=common.EVENT_KIND_CLICK,
        occurred_ms=occurred_ms,
    )


@dataclass
class Catalogue:
    row_of: dict[str, int]


def refusal(occurred_ms: int) -> str:
    with pytest.raises(InvalidInputError, match=r"^event\.occurred_ms: ") as refused:
        checked_event(click(occurred_ms), Catalogue({item_id("jeans", 1): 0}), NOON_MS)
    return str(refused.value)


def test_an_event_from_an_hour_ahead_is_refused_with_both_clocks_named() -> None:
    assert refusal(NOON_MS + HOUR_MS) == (
        "event.occurred_ms: is 3600 s in the future, at most 300 are allowed: it says "
        "2026-01-01 13:00:00 UTC, the gateway's clock 2026-01-01 12:00:00 UTC; set the clock "
        "that is wrong, or leave it out"
    )


def test_times_that_are_no_date_are_refused_as_they_are() -> None:
    assert "it says 9223372036854775807 ms" in refusal(2**63 - 1)
    assert "is more than 400 days ago: it says -9223372036854775808 ms" in refusal(-(2**63))
    assert "it says 1970-01-21" in refusal(NOON_MS // 1000)  # seconds, sent as milliseconds


async def test_a_shop_whose_clock_is_an_hour_slow_is_served_as_any_other(shop: Shop) -> None:
    now_ms = int(time.time() * 1000)
    for number in (1, 2):
        slow = click(now_ms - HOUR_MS + number, number)
        await shop.events.RecordEvent(RecordEventRequest(event=slow))
    await shop.applied("ada", 2)
    user = await shop.user.GetUser(GetUserRequest(user_id="ada"))
    assert [entry.item_id for entry in user.history] == [item_id("jeans", n) for n in (2, 1)]


async def test_a_shop_whose_clock_is_an_hour_fast_is_told(shop: Shop) -> None:
    fast = click(int(time.time() * 1000) + HOUR_MS)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await shop.events.RecordEvent(RecordEventRequest(event=fast))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "the gateway's clock" in error.value.details()


def shown(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


@pytest.mark.parametrize(
    ("gateway_ahead_ms", "unknown", "measured_s"), [(HOUR_MS, 1, 0.0), (-HOUR_MS, 0, 3600.0)]
)
async def test_what_a_gateway_an_hour_off_acknowledged_is_applied_and_its_delay_not_made_up(
    shop: Shop, gateway_ahead_ms: int, unknown: int, measured_s: float
) -> None:
    future = shown("hemline_events_from_the_future_total")
    count = shown("hemline_event_to_visible_seconds_count")
    total = shown("hemline_event_to_visible_seconds_sum")
    gateway_ms = int(time.time() * 1000) + gateway_ahead_ms
    record = EventRecord(event=LoggedEvent(event=click(gateway_ms), accepted_ms=gateway_ms))
    await shop.log.publish(EVENTS_TOPIC, "ada", record.SerializeToString())
    await shop.applied("ada", 1)
    names = ("hemline_events_from_the_future_total", "hemline_event_to_visible_seconds_count")
    async with asyncio.timeout(60):  # it is counted after it is stored
        while sum(map(shown, names)) == future + count:
            await asyncio.sleep(0.01)
    assert shown("hemline_events_from_the_future_total") - future == unknown
    assert shown("hemline_event_to_visible_seconds_count") - count == 1 - unknown
    delay_s = shown("hemline_event_to_visible_seconds_sum") - total
    assert delay_s == pytest.approx(measured_s, abs=60)


def test_each_process_shows_its_clock() -> None:
    assert shown("hemline_clock_seconds") == pytest.approx(time.time(), abs=60)


def test_a_certificate_of_the_future_stops_the_start_and_asks_about_the_clock(
    tmp_path: Path,
) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    begins = datetime.now(UTC) + timedelta(hours=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(begins).not_valid_after(begins + timedelta(days=1))
    cert, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    with pytest.raises(InvalidInputError) as refused:
        server_tls(ServerTlsSettings(tls_cert=str(cert), tls_key=str(key_file)))
    assert f"the certificate {cert} is valid from {begins:%Y-%m-%d %H:%M} UTC" in str(refused.value)
    assert str(refused.value).endswith("is this machine's clock right?")
