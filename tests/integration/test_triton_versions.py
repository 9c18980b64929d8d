"""Rule 6: a new version is loaded beside the old one, which never stops answering."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
import psutil
import pytest
import pytest_asyncio
import torch

from hemline.errors import ReleaseError, UnavailableError
from hemline.local.triton_server import TritonInstall
from hemline.triton import TritonEncoders
from hemline.triton_repository import add_version, model_templates, remove_version
from hemline.vectors import F32, normalise
from running_triton import CONTROL_KEY, RunningTriton, running_triton
from tiny_release import build_tiny_release

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0  # a hang would take as long

SIZES = {1: (32, 16), 2: (48, 8)}  # version -> (clip_dim, tower_dim)


@pytest.fixture(scope="module")
def own_triton(
    triton_install: TritonInstall, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningTriton]:
    """A server that these tests may change; they run in the order of this file."""
    with running_triton(triton_install, tmp_path_factory.mktemp("versions")) as server:
        yield server


@pytest_asyncio.fixture
async def own_encoders(own_triton: RunningTriton) -> AsyncIterator[TritonEncoders]:
    client = TritonEncoders(own_triton.address, CONTROL_KEY)
    yield client
    await client.close()


def profiles(version: int) -> F32:
    return normalise(np.random.default_rng(3).normal(size=(2, SIZES[version][0])))


class Caller:
    """Calls two models of one version again and again, keeping what went wrong."""

    def __init__(self, encoders: TritonEncoders, expected: F32, version: int) -> None:
        self.encoders, self.expected, self.version = encoders, expected, version
        self.answered = 0
        self.errors: list[Exception] = []
        self._stopping = False

    async def __aenter__(self) -> Caller:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await self._task

    async def _run(self) -> None:
        while not self._stopping:
            try:
                vectors = await self.encoders.user_vectors(
                    profiles(self.version), self.version, PATIENCE_S
                )
                np.testing.assert_allclose(vectors, self.expected, atol=1e-5)
                await self.encoders.text_vectors(["red dress"], self.version, PATIENCE_S)
                self.answered += 1
            except Exception as error:
                self.errors.append(error)
            await asyncio.sleep(0.002)


def expected_of(triton: RunningTriton, version: int) -> F32:
    with torch.inference_mode():
        x = torch.from_numpy(profiles(version))
        return np.asarray(triton.tower("user", version)(x).numpy())


def stub_pids(triton: RunningTriton, version: int) -> set[int]:
    """The model processes of one version."""
    pids = set()
    for process in psutil.Process(triton.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie: it has just ended
            if any(f"/{version}/model.py" in argument for argument in process.cmdline()):
                pids.add(process.pid)
    return pids


async def test_version_1_answers_while_version_2_of_another_size_loads_beside_it(
    own_triton: RunningTriton, own_encoders: TritonEncoders
) -> None:
    release = build_tiny_release(own_triton.releases, 2, *SIZES[2])
    processes = stub_pids(own_triton, 1)
    async with Caller(own_encoders, expected_of(own_triton, 1), 1) as caller:
        add_version(model_templates(), own_triton.repository, 2, release)
        assert not await own_encoders.ready(2)
        await own_encoders.load(2)
    assert caller.errors == []
    assert caller.answered > 20
    vectors = await own_encoders.user_vectors(profiles(2), 2, PATIENCE_S)
    np.testing.assert_allclose(vectors, expected_of(own_triton, 2), atol=1e-5)
    assert (await own_encoders.text_vectors(["red dress"], 2, PATIENCE_S)).shape == (1, 48)
    assert stub_pids(own_triton, 1) == processes  # not one was started anew
    assert len(processes) == 4


async def test_loading_again_changes_nothing(
    own_triton: RunningTriton, own_encoders: TritonEncoders
) -> None:
    processes = stub_pids(own_triton, 1) | stub_pids(own_triton, 2)
    await own_encoders.load(2)
    await own_encoders.unload(99)  # there is none, but Triton looks at all versions again
    assert stub_pids(own_triton, 1) | stub_pids(own_triton, 2) == processes


async def test_a_release_that_cannot_be_loaded_disturbs_nobody(
    own_triton: RunningTriton, own_encoders: TritonEncoders
) -> None:
    release = build_tiny_release(own_triton.releases, version=3)
    (release / "clip" / "model.safetensors").write_bytes(b"not safetensors at all")
    add_version(model_templates(), own_triton.repository, 3, release)
    async with Caller(own_encoders, expected_of(own_triton, 1), 1) as caller:
        with pytest.raises(ReleaseError, match=r"clip_image.*version 3"):
            await own_encoders.load(3)
        assert not await own_encoders.ready(3)
        remove_version(own_triton.repository, 3)
        await own_encoders.unload(3)
    assert caller.errors == []
    assert caller.answered > 5


async def test_version_1_can_be_dropped_and_version_2_goes_on(
    own_triton: RunningTriton, own_encoders: TritonEncoders
) -> None:
    processes = stub_pids(own_triton, 2)
    with pytest.raises(ReleaseError, match="version 1 is still in the model repository"):
        await own_encoders.unload(1)
    async with Caller(own_encoders, expected_of(own_triton, 2), 2) as caller:
        remove_version(own_triton.repository, 1)
        shutil.rmtree(own_triton.release)  # nothing needs the old release's files any more
        await own_encoders.unload(1)
        await asyncio.sleep(0.3)
    assert caller.errors == []
    with pytest.raises(ReleaseError, match="version 1"):
        await own_encoders.user_vectors(profiles(1), 1, PATIENCE_S)
    assert stub_pids(own_triton, 2) == processes
    async with asyncio.timeout(PATIENCE_S):
        while stub_pids(own_triton, 1):
            await asyncio.sleep(0.05)


async def test_a_killed_model_process_is_an_error_and_not_a_hang(
    own_triton: RunningTriton, own_encoders: TritonEncoders
) -> None:
    for pid in stub_pids(own_triton, 2):
        if "user_tower" in " ".join(psutil.Process(pid).cmdline()):
            psutil.Process(pid).kill()
    began = time.perf_counter()
    with pytest.raises(UnavailableError):
        await own_encoders.user_vectors(profiles(2), 2, PATIENCE_S)
    assert time.perf_counter() - began < PATIENCE_S / 2
    assert not await own_encoders.ready(2)  # although Triton says that it is
    assert (await own_encoders.item_vectors(profiles(2), 2, PATIENCE_S)).shape == (2, 8)


async def test_a_killed_server_is_unavailable_at_once(
    own_triton: RunningTriton, own_encoders: TritonEncoders
) -> None:
    own_triton.process.kill()
    own_triton.process.wait()
    began = time.perf_counter()
    with pytest.raises(UnavailableError):
        await own_encoders.item_vectors(profiles(2), 2, PATIENCE_S)
    assert time.perf_counter() - began < PATIENCE_S / 2
    assert not await own_encoders.ready(2)
