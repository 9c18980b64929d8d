"""The pictures of an imported catalogue: for each item the first of its addresses that has one.

    download_images(Path(".hemline/data/asos"))

Settled addresses are not asked again: a run that was stopped goes on, and one that is repeated
tries only what failed for now. At the end items.parquet is written anew with the images in it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hemline_training.data.schema import DataFolder
from hemline_training.image_download.addresses import Network
from hemline_training.image_download.attach import attach_images
from hemline_training.image_download.fetch import (
    Fetcher,
    Limits,
    RefusedError,
    TemporaryError,
    host_of,
)
from hemline_training.image_download.kept import Kept, Settled
from hemline_training.image_download.politeness import MAX_RETRY_AFTER_S, Hosts, Manners

IMAGES_FOLDER = "images"


@dataclass(frozen=True)
class Settings:
    """at_once: requests in flight in all. max_total_bytes: of new images, then the run ends.

    allowed: networks that may be asked although they are not public.
    """

    at_once: int = 16
    max_total_bytes: int = 50 << 30
    manners: Manners = field(default_factory=Manners)
    limits: Limits = field(default_factory=Limits)
    allowed: tuple[Network, ...] = ()


@dataclass
class DownloadReport:
    """Counts of one run. `reasons`: why addresses gave nothing, most frequent first."""

    items: int = 0  # that name addresses
    with_image: int = 0  # of those, after the run
    fetched: int = 0  # images, this run
    same_content: int = 0  # of those, byte for byte one that was there
    known_before: int = 0  # addresses settled in an earlier run
    bytes: int = 0  # fetched
    reasons: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "reasons": dict(self.reasons.most_common())}

    def to_text(self) -> str:
        """The counts and the most frequent reasons, for people."""
        lines = [
            f"{self.with_image:,} of {self.items:,} items that name addresses have an image now",
            f"fetched {self.fetched:,} images, {self.bytes / 1e6:,.1f} MB; "
            f"{self.same_content:,} of them were there already, byte for byte",
        ]
        if self.known_before:
            lines.append(f"{self.known_before:,} addresses were settled by an earlier run")
        lines += [f"{count:8,}  {reason}" for reason, count in self.reasons.most_common(20)]
        return "\n".join(lines) + "\n"


def download_images(
    folder: Path, settings: Settings | None = None, progress: bool = True
) -> DownloadReport:
    """Fetches what is missing and writes it into items.parquet; `folder` is an imported one.

    Raises DataError when it is none.
    """
    settings = settings or Settings()
    data = DataFolder(folder)
    report = DownloadReport()
    with Kept(folder / IMAGES_FOLDER) as kept:
        run = _Run(kept, settings, report)
        with tqdm(
            total=data.rows("items"), desc="images", unit="item", disable=None if progress else True
        ) as bar:
            try:
                asyncio.run(run.all(_addresses(data), bar))
            except ExceptionGroup as group:  # a full disk, say, as one worker met it
                raise group.exceptions[0] from group
        report.with_image = attach_images(folder, kept)
    return report


def _addresses(data: DataFolder) -> Iterator[list[str]]:
    """The addresses of each item; none for an item that has its image already."""
    for batch in data.batches("items", ["image_urls", "image"], rows=512):
        has_image = batch["image"].is_valid().to_pylist()
        for urls, has in zip(batch["image_urls"].to_pylist(), has_image, strict=True):
            yield [] if has else (urls or [])


class _Run:
    def __init__(self, kept: Kept, settings: Settings, report: DownloadReport) -> None:
        self._kept = kept
        self._settings = settings
        self._report = report
        self._hosts = Hosts(settings.manners)
        self._in_flight: dict[str, asyncio.Event] = {}

    async def all(self, items: Iterator[list[str]], bar: Any) -> None:
        async with Fetcher(
            self._settings.limits, self._settings.at_once, self._settings.allowed
        ) as fetcher:
            waiting: asyncio.Queue[list[str]] = asyncio.Queue(2 * self._settings.at_once)
            async with asyncio.TaskGroup() as group:
                workers = [
                    group.create_task(self._work(waiting, fetcher, bar))
                    for _ in range(self._settings.at_once)
                ]
                for urls in items:
                    await waiting.put(urls)
                await waiting.join()
                for worker in workers:
                    worker.cancel()

    async def _work(self, waiting: asyncio.Queue[list[str]], fetcher: Fetcher, bar: Any) -> None:
        while True:
            urls = await waiting.get()
            if urls:
                self._report.items += 1
            for url in urls:
                if await self._has_image(url, fetcher):
                    break
            bar.update(1)
            waiting.task_done()

    async def _has_image(self, url: str, fetcher: Fetcher) -> bool:
        """Whether the address has an image, fetched now or before."""
        while (other := self._in_flight.get(url)) is not None:
            await other.wait()
        settled = self._kept.settled(url)
        if settled is not None and settled.outcome != "failed":
            self._report.known_before += 1
            return settled.outcome == "kept"
        if self._report.bytes >= self._settings.max_total_bytes:
            self._report.reasons["the limit of bytes in all was reached"] += 1
            return False
        done = self._in_flight[url] = asyncio.Event()
        try:
            settled = await self._fetch(url, fetcher)
        finally:
            del self._in_flight[url]
            done.set()
        return settled.outcome == "kept"

    async def _fetch(self, url: str, fetcher: Fetcher) -> Settled:
        host = host_of(url)
        try:
            picture = await self._with_retries(url, host, fetcher)
        except RefusedError as error:
            settled = Settled("refused", reason=str(error))
        except TemporaryError as error:
            settled = Settled("failed", reason=str(error))
        else:
            digest, is_new = self._kept.keep(url, picture)
            self._report.fetched += 1
            self._report.same_content += not is_new
            self._report.bytes += len(picture.data)
            return Settled("kept", digest)
        self._kept.settle(url, settled)
        self._report.reasons[settled.reason] += 1
        return settled

    async def _with_retries(self, url: str, host: str, fetcher: Fetcher) -> Any:
        attempts = self._settings.manners.attempts
        for attempt in range(attempts):
            async with self._hosts.turn(host):
                if self._hosts.is_given_up(host):
                    raise TemporaryError("its host failed too often in a row, left for another run")
                try:
                    picture = await fetcher.fetch(url)
                except RefusedError:
                    self._hosts.answered(host)
                    raise
                except TemporaryError as error:
                    self._hosts.failed(host)
                    wait = error.retry_after_s
                    if attempt + 1 == attempts or (wait or 0.0) > MAX_RETRY_AFTER_S:
                        raise
                    if wait is not None:
                        self._hosts.pause(host, wait)
                else:
                    self._hosts.answered(host)
                    return picture
            await asyncio.sleep(self._hosts.backoff_s(attempt))
        raise AssertionError("the last attempt returns or raises")
