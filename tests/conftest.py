"""Fixtures of every kind of test: the small shop, and a gateway over it on real gRPC and SQLite."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from hemline.releases import Release
from open_shop import open_shop
from shop import Shop
from small_world import build_small_release

# The machines that test are busy with other things: an example that takes long is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def small_release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return build_small_release(tmp_path_factory.mktemp("releases"))


@pytest_asyncio.fixture
async def shop(small_release: Release, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(small_release, tmp_path) as shop:
        yield shop
