"""A gateway with updater, indexer and follower over a release, on real gRPC and SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio

from hemline.boundary import Admission
from hemline.gateway.catalog_servicer import CatalogServicer
from hemline.gateway.event_servicer import EventServicer
from hemline.gateway.recommend import Stages
from hemline.gateway.servicer import RecommenderServicer
from hemline.gateway.services import add_services
from hemline.gateway.shelf import Shelves
from hemline.gateway.user_servicer import UserServicer
from hemline.indexer.index import Indexer
from hemline.live_following import Follower
from hemline.live_items import LiveItems
from hemline.releases import Release
from hemline.reranker.rerank import BlendReranker
from hemline.retrieval.index import FlatRetrieval
from hemline.rpc import Server, ServerSettings
from hemline.sqlite_event_log import SqliteEventLog
from hemline.sqlite_user_state import SqliteUserStates
from hemline.updater.update import Updater
from hemline.v1 import (
    admin_pb2_grpc,
    catalog_pb2_grpc,
    event_pb2_grpc,
    recommender_pb2_grpc,
    user_pb2_grpc,
)
from shop import Shop
from small_world import FakeEncoders

CALL_S = 60.0


def patient(stub: Any) -> Any:
    """The stub, whose calls say that they wait for long: to a caller who does not say, the gateway
    gives a second, and on a busy machine leaves out what it has no time for."""
    for name, method in vars(stub).items():
        setattr(stub, name, partial(method, timeout=CALL_S))
    return stub


@asynccontextmanager
async def open_shop(
    release: Release, folder: Path, admission: Admission | None = None
) -> AsyncIterator[Shop]:
    """The shop on a port of its own, its log and users in a folder. admission: who may call."""
    log = SqliteEventLog(folder / "events.sqlite")
    users = SqliteUserStates(folder / "users.sqlite")
    encoders = FakeEncoders()
    items = LiveItems(release)
    retrieval = FlatRetrieval(items)
    stages = Stages(Shelves(items), users, encoders, retrieval, BlendReranker(release))
    recommender = RecommenderServicer(stages, log)
    server = Server("127.0.0.1:0", ServerSettings(reflection=True), admission)
    add_services(
        server,
        recommender,
        EventServicer(stages, log),
        UserServicer(stages, log),
        CatalogServicer(items, log),
    )
    await server.start()
    stopping = asyncio.Event()
    updater = Updater(log, users, encoders, items)
    indexer = Indexer(log, encoders, LiveItems(release))
    follower = Follower(log, items)
    working = asyncio.gather(*(worker.run(stopping) for worker in (updater, indexer, follower)))
    address = f"127.0.0.1:{server.port}"
    async with grpc.aio.insecure_channel(address) as channel:
        yield Shop(
            release,
            encoders,
            log,
            users,
            address,
            channel,
            patient(recommender_pb2_grpc.RecommenderServiceStub(channel)),
            patient(event_pb2_grpc.EventServiceStub(channel)),
            patient(user_pb2_grpc.UserServiceStub(channel)),
            patient(catalog_pb2_grpc.CatalogServiceStub(channel)),
            patient(admin_pb2_grpc.AdminServiceStub(channel)),
        )
    stopping.set()
    await working
    await server.stop(0)
    await recommender.exposures_logged()
    retrieval.close()
    await users.close()
    await log.close()
