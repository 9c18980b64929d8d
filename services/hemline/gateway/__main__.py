"""python -m hemline.gateway: the public door, with retrieval and reranker inside or apart."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hemline import metrics, one_core
from hemline.contracts import NO_ROWS, Reranker, Retrieval
from hemline.event_log import CATALOGUE_TOPIC, EVENTS_TOPIC, EXPOSURES_TOPIC, VECTORS_TOPIC
from hemline.gateway.answer import RecommendQuery
from hemline.gateway.api_keys import open_api_keys
from hemline.gateway.catalog_servicer import CatalogServicer
from hemline.gateway.event_servicer import EventServicer
from hemline.gateway.photos import Photos
from hemline.gateway.recommend import Stages, recommend
from hemline.gateway.remotes import RemoteReranker, RemoteRetrieval
from hemline.gateway.servicer import RecommenderServicer
from hemline.gateway.services import add_services
from hemline.gateway.shelf import Shelves
from hemline.gateway.user_servicer import UserServicer
from hemline.live_following import Follower, following
from hemline.live_items import LiveItems
from hemline.live_snapshot import snapshots_in
from hemline.process import read_config, run_process
from hemline.releases import open_release
from hemline.reranker.rerank import BlendReranker
from hemline.retrieval.index import FlatRetrieval
from hemline.rpc import Server, ServerSettings, connect
from hemline.stores import check_user_states, open_event_log, open_user_states
from hemline.tls import ClientTlsSettings, client_tls, triton_tls
from hemline.triton import TritonEncoders


@dataclass(frozen=True)
class Config(ServerSettings, ClientTlsSettings):
    releases: Path  # folder of releases; the promoted one is served
    log: str  # URL of the event log, see hemline.stores
    users: str  # URL of the user state
    triton: str = "127.0.0.1:7111"
    address: str = "127.0.0.1:7100"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 7200
    retrieval: str = ""  # address of a retrieval process; empty: inside this one
    reranker: str = ""  # address of a reranker process; empty: inside this one
    watched_share: float = 0.01  # of the searches in this process, worked out again
    search_threads: int = 1
    # In a burst. At 2 ms each, the last of so many waits 50 ms.
    max_in_flight: int = field(default=24, kw_only=True)
    one_core: bool = field(default=True, kw_only=True)  # see hemline.one_core
    snapshots: Path | None = None  # folder for snapshots of the live items; None: none are written
    # Without the event log a gateway starts all the same, after so long, and may show old items.
    catch_up_s: float = 10.0
    photos: Path | None = None  # catalogue with those of the release's items, for GetItems
    api_keys: str = ""  # file of API keys, see hemline.key_file; empty: anybody may call


async def main(config: Config) -> None:
    release = open_release(config.releases)
    async with AsyncExitStack() as stack:
        if config.one_core:
            one_core.bind()
            moving = asyncio.create_task(one_core.move_when_crowded())
            stack.callback(moving.cancel)
        log = open_event_log(config.log)
        stack.push_async_callback(log.close)
        await log.check(
            reads=(VECTORS_TOPIC,), writes=(EVENTS_TOPIC, EXPOSURES_TOPIC, CATALOGUE_TOPIC)
        )
        users = open_user_states(config.users)
        stack.push_async_callback(users.close)
        await check_user_states(users)
        encoders = TritonEncoders(config.triton, tls=triton_tls(config))
        stack.push_async_callback(encoders.close)
        items = LiveItems(release)
        photos = Photos(config.photos)
        follower = Follower(log, items, snapshots_in(config.snapshots, "gateway", release.id))
        retrieval = await _retrieval(config, items, stack)
        reranker = await _reranker(config, items, stack)
        stages = Stages(Shelves(items), users, encoders, retrieval, reranker)

        server = Server(config.address, config, open_api_keys(config.api_keys))
        recommender = RecommenderServicer(stages, log)
        stack.push_async_callback(recommender.exposures_logged)
        add_services(
            server,
            recommender,
            EventServicer(stages, log),
            UserServicer(stages, log),
            CatalogServicer(items, log, photos),
        )
        metrics.serve_metrics(config.metrics_host, config.metrics_port)
        metrics.RELEASE.set(release.version)
        await follower.wait_until_caught_up(config.catch_up_s)
        await stack.enter_async_context(following(follower))
        await warm_up(stages)
        spare_the_collector()
        await server.run_until_signal()


async def warm_up(stages: Stages) -> None:
    """Answer a newcomer and a shopper with context, so that no real one waits for cold pages."""
    first = np.array([0], dtype=np.int32)
    for context in (NO_ROWS, first, first):
        query = RecommendQuery("", k=20, request_id="warm-up", context=context)
        await recommend(query, stages, deadline_s=30.0)


def spare_the_collector() -> None:
    """What was loaded stays. Looking for cycles through all of it stopped every answer for some 80
    ms, the more often the more items were upserted."""
    gc.collect()
    gc.freeze()


async def _retrieval(config: Config, items: LiveItems, stack: AsyncExitStack) -> Retrieval:
    if not config.retrieval:
        inside = FlatRetrieval(items, config.search_threads, watched_share=config.watched_share)
        stack.callback(inside.close)
        return inside
    channel = connect(config.retrieval, client_tls(config))
    stack.push_async_callback(channel.close, None)
    return RemoteRetrieval(channel, items)


async def _reranker(config: Config, items: LiveItems, stack: AsyncExitStack) -> Reranker:
    if not config.reranker:
        return BlendReranker(items.release)
    channel = connect(config.reranker, client_tls(config))
    stack.push_async_callback(channel.close, None)
    return RemoteReranker(channel, items)


if __name__ == "__main__":
    run_process(main, read_config(Config, "gateway"))
