"""A gateway with its updater over the small shop, and stubs to talk to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc.aio

from hemline.releases import Release
from hemline.sqlite_event_log import SqliteEventLog
from hemline.sqlite_user_state import SqliteUserStates
from hemline.v1 import user_pb2
from small_world import FakeEncoders


@dataclass
class Shop:
    """A gateway with its updater, and stubs to talk to it."""

    release: Release
    encoders: FakeEncoders
    log: SqliteEventLog
    users: SqliteUserStates
    address: str  # HOST:PORT
    channel: grpc.aio.Channel
    recommender: Any
    events: Any
    user: Any
    catalog: Any
    admin: Any

    async def state_version(self, user_id: str) -> int:
        return int(
            (await self.user.GetUser(user_pb2.GetUserRequest(user_id=user_id))).state_version
        )

    async def applied(self, user_id: str, events: int) -> None:
        """Wait until the updater has applied so many events of a user in all."""
        async with asyncio.timeout(60):
            while True:
                state = await self.users.get(user_id)
                if state is not None and len(state.recent_event_ids) >= events:
                    return
                await asyncio.sleep(0.002)
