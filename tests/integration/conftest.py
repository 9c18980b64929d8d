"""Real servers, each started once for all integration tests that ask for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from hemline.local.kafka_server import KafkaInstall, install_kafka
from hemline.local.prometheus_server import PrometheusInstall, install_prometheus
from hemline.local.triton_server import TritonInstall, install_triton
from hemline.triton import TritonEncoders
from running_home import Home, trained_home
from running_kafka import RunningKafka, running_kafka
from running_triton import RunningTriton, running_triton

REPOSITORY_ROOT = Path(__file__).parents[2]


HOME = Path(os.environ.get("HEMLINE_HOME", REPOSITORY_ROOT / ".hemline"))


@pytest.fixture(scope="session")
def triton_install() -> TritonInstall:
    """Installs Triton below HEMLINE_HOME or the checkout's .hemline if it is not there."""
    return install_triton(HOME)


@pytest.fixture(scope="session")
def prometheus_install() -> PrometheusInstall:
    """As Triton's: from PATH, or unpacked below the home if it is not there."""
    return install_prometheus(Path(os.environ.get("HEMLINE_HOME", REPOSITORY_ROOT / ".hemline")))


@pytest.fixture(scope="session")
def triton(
    triton_install: TritonInstall, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningTriton]:
    """One server for the whole session, with version 1 loaded. Leave it as it was."""
    with running_triton(triton_install, tmp_path_factory.mktemp("triton")) as server:
        yield server


@pytest_asyncio.fixture
async def encoders(triton: RunningTriton) -> AsyncIterator[TritonEncoders]:
    client = TritonEncoders(triton.address)
    yield client
    await client.close()


@pytest.fixture(scope="session")
def home(triton_install: TritonInstall, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Trained once for all tests; each starts and stops a cluster of its own in it."""
    return trained_home(tmp_path_factory.mktemp("home"), triton_install.folder.parent)


@pytest.fixture(scope="session")
def kafka_install() -> KafkaInstall:
    """Installs Kafka where Triton is installed, if it is not there."""
    return install_kafka(HOME)


@pytest.fixture(scope="session")
def kafka(
    kafka_install: KafkaInstall, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningKafka]:
    """One broker for the whole session. Leave it running, and use topics of your own."""
    with running_kafka(kafka_install, tmp_path_factory.mktemp("kafka")) as broker:
        yield broker
