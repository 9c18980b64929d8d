"""python -m hemline.retrieval: the retrieval service as a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hemline import one_core
from hemline.event_log import VECTORS_TOPIC
from hemline.live_following import Follower
from hemline.live_items import LiveItems
from hemline.live_snapshot import snapshots_in
from hemline.metrics import RELEASE, serve_metrics
from hemline.process import read_config, run_process
from hemline.releases import open_release
from hemline.retrieval.flip import ReleaseLoader
from hemline.retrieval.folding import FOLD_AFTER
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.kinds import IndexSettings
from hemline.retrieval.servicer import RetrievalServicer
from hemline.rpc import Server, ServerSettings
from hemline.stores import open_event_log
from hemline.v1.retrieval_pb2_grpc import add_RetrievalServiceServicer_to_server


@dataclass(frozen=True)
class Config(ServerSettings):
    releases: Path  # folder of releases; the promoted one is served
    address: str = "127.0.0.1:7101"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 7201
    log: str = ""  # URL of the event log, for the live items; empty: those of the release for ever
    snapshots: Path | None = None  # folder for snapshots of the live items; None: none are written
    index: str = "auto"  # its kind, see hemline.retrieval.kinds
    device: str = "cpu"  # or cuda
    filtered_by: str = "index"  # or exact: what answers searches with filters, see kinds
    search_threads: int = 1  # of catalogues too large to be searched where the call comes in
    gather_ms: float = 1.0  # how long a search may wait for others to share a pass with
    max_waiting_searches: int = 1024  # beyond, RESOURCE_EXHAUSTED
    watched_share: float = 0.01  # of the searches, worked out again to watch the recall
    fold_after: int = FOLD_AFTER  # changed items without indexes of their own
    max_memory_mb: int = 0  # of all loaded releases; 0: what the machine has
    one_core: bool = field(default=True, kw_only=True)  # all but the searches, see hemline.one_core


async def main(config: Config) -> None:
    if config.one_core:
        one_core.bind()
        moving = asyncio.create_task(one_core.move_when_crowded())
    release = open_release(config.releases)
    items = LiveItems(release)
    retrieval = FlatRetrieval(
        items,
        config.search_threads,
        config.gather_ms,
        config.max_waiting_searches,
        IndexSettings(config.index, config.device, config.filtered_by),
        config.watched_share,
        config.fold_after,
    )
    serve_metrics(config.metrics_host, config.metrics_port)
    RELEASE.set(release.version)
    async with AsyncExitStack() as stack:
        if config.one_core:
            stack.callback(moving.cancel)
        stack.callback(retrieval.close)
        follower_of = None
        if config.log:
            log = open_event_log(config.log)
            stack.push_async_callback(log.close)
            await log.check(reads=(VECTORS_TOPIC,))

            def follower_of(items: LiveItems) -> Follower:
                snapshots = snapshots_in(config.snapshots, "retrieval", items.release.id)
                return Follower(log, items, snapshots)

        loader = ReleaseLoader(
            config.releases, retrieval, follower_of, config.max_memory_mb * 1_000_000
        )
        stack.push_async_callback(loader.close)
        await loader.follow(items)
        server = Server(config.address, config)
        server.add(
            add_RetrievalServiceServicer_to_server,
            RetrievalServicer(retrieval, loader),
            "hemline.v1.RetrievalService",
        )
        await server.run_until_signal()


if __name__ == "__main__":
    run_process(main, read_config(Config, "retrieval"))
