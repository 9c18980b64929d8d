"""Fixtures of every kind of test: the small shop, and a gateway over it on real gRPC and SQLite."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

sys.path.insert(0, str(Path(__file__).parent))

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
from small_world import FakeEncoders, build_small_release


@pytest.fixture(scope="session")
def small_release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return build_small_release(tmp_path_factory.mktemp("releases"))


@pytest_asyncio.fixture
async def shop(small_release: Release, tmp_path: Path) -> AsyncIterator[Shop]:
    log = SqliteEventLog(tmp_path / "events.sqlite")
    users = SqliteUserStates(tmp_path / "users.sqlite")
    encoders = FakeEncoders()
    items = LiveItems(small_release)
    retrieval = FlatRetrieval(items)
    stages = Stages(Shelves(items), users, encoders, retrieval, BlendReranker(small_release))
    recommender = RecommenderServicer(stages, log)
    server = Server("127.0.0.1:0", ServerSettings(reflection=True))
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
    indexer = Indexer(log, encoders, LiveItems(small_release))
    follower = Follower(log, items)
    working = asyncio.gather(*(worker.run(stopping) for worker in (updater, indexer, follower)))
    address = f"127.0.0.1:{server.port}"
    async with grpc.aio.insecure_channel(address) as channel:
        yield Shop(
            small_release,
            encoders,
            log,
            users,
            address,
            channel,
            recommender_pb2_grpc.RecommenderServiceStub(channel),
            event_pb2_grpc.EventServiceStub(channel),
            user_pb2_grpc.UserServiceStub(channel),
            catalog_pb2_grpc.CatalogServiceStub(channel),
            admin_pb2_grpc.AdminServiceStub(channel),
        )
    stopping.set()
    await working
    await server.stop(0)
    await recommender.exposures_logged()
    retrieval.close()
    await users.close()
    await log.close()
