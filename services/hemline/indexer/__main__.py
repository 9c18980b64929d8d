"""python -m hemline.indexer: gives changed items their vectors."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from hemline.event_log import CATALOGUE_TOPIC, DEAD_LETTERS_TOPIC, VECTORS_TOPIC
from hemline.indexer.compaction import Compaction
from hemline.indexer.index import Indexer
from hemline.live_following import Follower
from hemline.live_items import LiveItems
from hemline.metrics import RELEASE, serve_metrics
from hemline.process import read_config, run_process
from hemline.releases import open_release
from hemline.rpc import Server, ServerSettings, stop_asked
from hemline.stores import open_event_log
from hemline.tls import ClientTlsSettings, triton_tls
from hemline.triton import TritonEncoders


@dataclass(frozen=True)
class Config(ServerSettings, ClientTlsSettings):
    releases: Path  # folder of releases; the promoted one is served
    log: str  # URL of the event log, see hemline.stores
    triton: str = "127.0.0.1:7111"
    address: str = "127.0.0.1:7104"  # health only
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 7204


async def main(config: Config) -> None:
    release = open_release(config.releases)
    log = open_event_log(config.log)
    await log.check(
        reads=(CATALOGUE_TOPIC, VECTORS_TOPIC), writes=(VECTORS_TOPIC, DEAD_LETTERS_TOPIC)
    )
    encoders = TritonEncoders(config.triton, tls=triton_tls(config))
    server = Server(config.address, config)
    serve_metrics(config.metrics_host, config.metrics_port)
    RELEASE.set(release.version)
    asked = asyncio.create_task(stop_asked().wait())
    await server.start()

    stopping = asyncio.Event()
    items = LiveItems(release)
    follower = Follower(log, items)

    async def index() -> None:
        await follower.wait_until_caught_up()
        await asyncio.gather(
            follower.run(stopping),
            Indexer(log, encoders, items).run(stopping),
            Compaction(log, config.releases, release.id).run(stopping),
        )

    indexing = asyncio.create_task(index())
    await asyncio.wait((indexing, asked), return_when=asyncio.FIRST_COMPLETED)
    stopping.set()
    try:
        await indexing
    finally:
        await server.stop()
        await encoders.close()
        await log.close()


if __name__ == "__main__":
    run_process(main, read_config(Config, "indexer"))
