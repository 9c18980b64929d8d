"""Downloads from a server that misbehaves: what comes through, what is refused, what is asked."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address, ip_network
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from hemline.cli.__main__ import main
from hemline.errors import DataError
from hemline_training.data.import_data import import_data
from hemline_training.image_download.addresses import is_public
from hemline_training.image_download.download import DownloadReport, Settings, download_images
from hemline_training.image_download.fetch import Limits, RefusedError, encoded
from hemline_training.image_download.politeness import Hosts, Manners, retry_after_s
from misbehaving_server import ALLOWED, FORBIDDEN, MisbehavingServer, misbehaving_server, picture

SETTINGS = Settings(
    at_once=8,
    manners=Manners(per_host=4, interval_s=0.0, attempts=3, backoff_s=0.01),
    limits=Limits(max_bytes=200_000, timeout_s=30.0),
    allowed=(ip_network(f"{ALLOWED}/32"),),
)


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with misbehaving_server() as running:
        yield running


def catalogue(folder: Path, *addresses: list[str]) -> Path:
    """An imported catalogue, item n with addresses[n]."""
    source = folder / "goods.jsonl"
    rows = [{"item_id": str(n), "image_urls": urls} for n, urls in enumerate(addresses)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"items": {"columns": {"item_id": "item_id", "image_urls": "image_urls"}}}
    import_data("table", source, folder / "data", columns=columns, progress=False)
    return folder / "data"


def images(folder: Path) -> list[bytes | None]:
    return pq.read_table(folder / "items.parquet")["image"].to_pylist()


def run(folder: Path, settings: Settings = SETTINGS) -> DownloadReport:
    return download_images(folder, settings, progress=False)


def outcome_of(server: MisbehavingServer, path: str, folder: Path) -> tuple[str, bool]:
    """The reason why nothing came from a path, and whether something did."""
    data = catalogue(folder, [server.url(path)])
    report = run(data)
    [image] = images(data)
    assert (image is not None) == bool(report.with_image)
    return "; ".join(report.reasons), image is not None


@pytest.mark.parametrize("path", ["/good.jpg", "/moved.jpg", "/flaky.jpg", "/busy.jpg"])
def test_pictures_come_through_redirects_hiccups_and_pauses(
    path: str, server: MisbehavingServer, tmp_path: Path
) -> None:
    started = time.monotonic()
    assert outcome_of(server, path, tmp_path) == ("", True)
    if path == "/busy.jpg":
        assert time.monotonic() - started >= 1.0, "Retry-After asked for a second of peace"


@pytest.mark.parametrize(
    ("path", "reason", "requests"),
    [
        ("/html", "text/html instead of an image", 1),
        ("/disguised.jpg", "HTML is not accepted", 1),
        ("/broken.jpg", "broken or truncated", 1),
        ("/bomb.png", "pixels", 1),
        ("/gone.jpg", "status 404", 1),
        ("/huge.jpg", "9999999999 bytes; at most 200000", 1),
        ("/endless.jpg", "more than 200000 bytes", 1),
        ("/gzip.jpg", "encoded as gzip", 1),
        ("/loop", "more than 5 redirects", 6),
        ("/nowhere", "without a location", 1),
        ("/down.jpg", "status 503", 3),
        ("/short.jpg", "the connection failed", 3),
        ("/hangup.jpg", "the connection failed", 3),
        ("/nonsense.jpg", "the connection failed", 3),
        ("/tomorrow.jpg", "status 429", 1),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason_and_only_hiccups_are_tried_again(
    path: str, reason: str, requests: int, server: MisbehavingServer, tmp_path: Path
) -> None:
    said, came = outcome_of(server, path, tmp_path)
    assert not came and reason in said
    assert server.asked[path] == requests


def test_a_body_that_drips_ends_at_the_deadline_however_alive_it_is(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    data = catalogue(tmp_path, [server.url("/drip.jpg")])
    once = replace(
        SETTINGS,
        manners=replace(SETTINGS.manners, attempts=1),
        limits=replace(SETTINGS.limits, timeout_s=1.5),
    )
    report = run(data, once)  # 100,000 bytes, one every 50 ms
    assert list(report.reasons) == ["not whole within 1.5 s"]


@pytest.mark.parametrize("path", ["/inside.jpg", "/metadata.jpg"])
def test_a_redirect_into_the_own_network_is_refused_before_a_connection(
    path: str, server: MisbehavingServer, tmp_path: Path
) -> None:
    said, came = outcome_of(server, path, tmp_path)
    assert not came and "which is not a public address" in said
    assert server.asked["/secret"] == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_no_spelling_of_the_own_machine_is_asked(
    host: str, server: MisbehavingServer, tmp_path: Path
) -> None:
    data = catalogue(tmp_path, [f"http://{host}:{server.ports[FORBIDDEN]}/secret"])
    report = run(data)
    assert images(data) == [None] and server.asked["/secret"] == 0
    assert "which is not a public address" in "; ".join(report.reasons)


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.5.5", "192.168.1.1", "127.0.0.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.0.8", "198.18.0.1", "::1", "::"),
        *("fe80::1", "fc00::1", "ff02::1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"),
        *("2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    ],
)
def test_addresses_of_no_public_server(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e"])
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


def test_an_item_takes_the_first_of_its_addresses_that_has_a_picture(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    paths = ["/gone.jpg", "/shade90.jpg", "/shade10.jpg"]
    data = catalogue(tmp_path, [server.url(p) for p in paths], [])
    report = run(data)
    assert images(data) == [picture(90), None]
    assert server.asked["/shade10.jpg"] == 0
    assert (report.items, report.with_image, report.fetched) == (1, 1, 1)


def test_one_address_is_asked_once_and_equal_pictures_lie_on_disk_once(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    same = server.url("/good.jpg?same")
    data = catalogue(tmp_path, [same], [same], [server.url("/good.jpg?other")])
    report = run(data)
    assert server.asked["/good.jpg?same"] == 1
    assert (report.with_image, report.fetched, report.same_content) == (3, 2, 1)
    kept = [p for p in (data / "images").rglob("*") if len(p.name) == 64]
    assert len(kept) == 1 and kept[0].read_bytes() == picture()


def test_a_second_run_asks_only_for_what_failed_for_now(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    paths = ("/good.jpg", "/gone.jpg", "/down.jpg")
    data = catalogue(tmp_path, *[[server.url(path)] for path in paths])
    run(data)
    before = dict(server.asked)
    report = run(data)
    asked = {path: server.asked[path] - before[path] for path in paths}
    assert asked == {"/good.jpg": 0, "/gone.jpg": 0, "/down.jpg": 3}
    assert images(data)[0] == picture()
    assert report.known_before == 1


def test_a_run_that_was_stopped_goes_on_where_it_was(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    data = catalogue(tmp_path, *[[server.url(f"/shade{n}.jpg")] for n in range(20)])
    part = run(data, replace(SETTINGS, at_once=1, max_total_bytes=5 * len(picture(0))))
    assert 0 < part.with_image < 20
    assert part.reasons["the limit of bytes in all was reached"] == 20 - part.with_image

    whole = run(data)
    assert whole.with_image == 20 and whole.fetched == 20 - part.fetched
    assert sum(server.asked.values()) == 20


def test_a_host_is_never_asked_by_more_than_agreed_at_once(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    data = catalogue(tmp_path, *[[server.url(f"/shade{n}.jpg")] for n in range(40)])
    run(data, replace(SETTINGS, at_once=16, manners=replace(SETTINGS.manners, per_host=2)))
    assert sum(server.asked.values()) == 40
    assert server.most_open <= 2


def test_a_host_that_only_fails_is_left_for_another_run(
    server: MisbehavingServer, tmp_path: Path
) -> None:
    data = catalogue(tmp_path, *[[server.url(f"/down.jpg?{n}")] for n in range(60)])
    report = run(data)
    assert sum(server.asked.values()) < 40
    assert report.reasons["its host failed too often in a row, left for another run"] > 20


def test_large_pictures_are_shrunk_in_the_catalogue_and_kept_whole_on_disk(tmp_path: Path) -> None:
    from hemline_training.image_download.attach import attach_images
    from hemline_training.image_download.fetch import Picture
    from hemline_training.image_download.kept import Kept

    data = catalogue(tmp_path, ["https://shop/1.jpg"])
    large = picture(side=1000)
    with Kept(data / "images") as kept:
        kept.keep("https://shop/1.jpg", Picture(large, "JPEG", 1000, 1000))
        assert attach_images(data, kept) == 1
    [image] = images(data)
    assert image is not None and Image.open(io.BytesIO(image)).size == (512, 512)


async def take_turn(hosts: Hosts, host: str) -> None:
    async with hosts.turn(host):
        pass


def test_waits_grow_and_hosts_that_ask_for_peace_get_it() -> None:
    async def story() -> None:
        hosts = Hosts(Manners(per_host=1, interval_s=0.0, backoff_s=1.0))
        for attempt, longest in enumerate((1, 2, 4, 8, 16, 32, 60, 60)):
            assert longest / 2 <= hosts.backoff_s(attempt) <= longest
        started = time.monotonic()
        hosts.pause("slow", 1.0)
        waiting = asyncio.create_task(take_turn(hosts, "slow"))
        await take_turn(hosts, "other")
        assert not waiting.done() or time.monotonic() - started >= 1.0
        await waiting
        assert time.monotonic() - started >= 1.0

    asyncio.run(story())


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after_s("7") == 7.0
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    assert 500 < (retry_after_s(soon) or 0) <= 600
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_s("later") is None and retry_after_s(None) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop/a b.jpg?x=1 2", "https://shop/a%20b.jpg?x=1%202"),
        ("https://shop/a%20b.jpg", "https://shop/a%20b.jpg"),
        ("http://müller.de/ä.jpg", "http://xn--mller-kva.de/%C3%A4.jpg"),
        ("http://[2606:2800::1]:81/x#top", "http://[2606:2800::1]:81/x"),
        ("HTTP://Shop", "http://shop/"),
    ],
)
def test_addresses_are_written_in_ascii(url: str, expected: str) -> None:
    assert encoded(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://shop/a.jpg", "file:///etc/passwd", "https:///a.jpg", "http://user:pw@shop/a.jpg"),
        *("http://shop:99999/a", "http://[::1", "http://" + "a" * 3000, "javascript:alert(1)"),
    ],
)
def test_what_is_no_address_of_a_picture_is_refused_unasked(url: str) -> None:
    with pytest.raises(RefusedError):
        encoded(url)


def test_the_command_line_fetches_and_tells(
    server: MisbehavingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = catalogue(tmp_path, [server.url("/good.jpg")], [server.url("/gone.jpg")])
    allow = ["--allow-network", f"{ALLOWED}/32"]

    assert main(["data", "images", str(data), *allow]) == 0
    text = capsys.readouterr().out
    assert "1 of 2 items that name addresses have an image now" in text
    assert "1  status 404" in text

    assert main(["data", "images", str(data), "--allow-network", "10.0.0.1/8"]) == 1
    assert "--allow-network: 10.0.0.1/8 has host bits set" in capsys.readouterr().err
    assert main(["data", "images", str(tmp_path)]) == 1
    assert "is no imported data folder" in capsys.readouterr().err


def test_a_damaged_list_of_downloads_is_said_by_name(tmp_path: Path) -> None:
    data = catalogue(tmp_path, ["https://shop/1.jpg"])
    (data / "images").mkdir()
    (data / "images" / "downloads.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match=r"downloads.sqlite is no list of downloads: .*remove it"):
        run(data)
