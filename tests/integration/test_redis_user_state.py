"""User states in a real Redis: the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contracts.user_state_contract import StoreTarget, UserStatesContract
from running_redis import RunningRedis, running_redis

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(server: RunningRedis) -> RunningRedis:
    """The module's server, with nothing in it."""
    assert server.ask("FLUSHALL") == "+OK"
    return server


class TestRedisUserStates(UserStatesContract):
    @pytest.fixture
    def target(self, redis: RunningRedis) -> StoreTarget:
        return StoreTarget("running_redis:patient_states", redis.url)
