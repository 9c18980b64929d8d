"""The four models on a real Triton server: same vectors, batching, errors, deadlines."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request

import numpy as np
import psutil
import pytest
import torch

from hemline.errors import (
    BadImageError,
    DeadlineError,
    InvalidInputError,
    ReleaseError,
)
from hemline.triton import MAX_ROWS, TritonEncoders
from hemline.vectors import F32, normalise
from running_triton import RunningTriton
from tiny_release import TITLES, tiny_image

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0


def contents(rows: int, dim: int = 32, seed: int = 0) -> F32:
    return normalise(np.random.default_rng(seed).normal(size=(rows, dim)))


@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("rows", [1, 3, MAX_ROWS, 2 * MAX_ROWS + 5])
async def test_tower_vectors_equal_those_computed_in_process(
    triton: RunningTriton, encoders: TritonEncoders, side: str, rows: int
) -> None:
    x = contents(rows)
    call = encoders.user_vectors if side == "user" else encoders.item_vectors
    vectors = await call(x, 1, PATIENCE_S)
    with torch.inference_mode():
        expected = triton.tower(side)(torch.from_numpy(x)).numpy()
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


async def test_text_vectors_equal_those_computed_in_process(
    triton: RunningTriton, encoders: TritonEncoders
) -> None:
    texts = [*TITLES, "", "robe d'été à fleurs ✿", "x" * 5000, *(f"title {i}" for i in range(70))]
    vectors = await encoders.text_vectors(texts, 1, PATIENCE_S)
    np.testing.assert_allclose(vectors, triton.encoder().encode_texts(texts), atol=1e-5)


async def test_image_vectors_equal_those_computed_in_process(
    triton: RunningTriton, encoders: TritonEncoders
) -> None:
    images = [tiny_image(i, kind) for i, kind in enumerate(["JPEG", "PNG", "WEBP"] * 7)]
    images.append(tiny_image(99, "JPEG", size=(800, 1000)))  # large enough for draft()
    vectors = await encoders.image_vectors(images, 1, PATIENCE_S)
    np.testing.assert_allclose(vectors, triton.encoder().encode_images(images), atol=1e-5)


async def test_a_broken_image_fails_alone_and_its_neighbours_are_answered(
    triton: RunningTriton, encoders: TritonEncoders
) -> None:
    images = [tiny_image(i) for i in range(12)]
    images[4], images[9], images[10] = b"GIF89a no image", images[9][:60], b""
    answers = await encoders.image_answers(images, 1, PATIENCE_S)
    for index, (data, answer) in enumerate(zip(images, answers, strict=True)):
        if index in (4, 9, 10):
            assert isinstance(answer, BadImageError)
            assert answer.field == f"images[{index}]"
        else:
            expected = triton.encoder().encode_images([data])[0]
            np.testing.assert_allclose(answer, expected, atol=1e-5)
    with pytest.raises(BadImageError, match=r"^images\[4\]: GIF is not accepted"):
        await encoders.image_vectors(images, 1, PATIENCE_S)


async def test_no_rows_are_answered_by_no_vectors(encoders: TritonEncoders) -> None:
    assert len(await encoders.user_vectors(contents(0), 1, PATIENCE_S)) == 0
    assert len(await encoders.text_vectors([], 1, PATIENCE_S)) == 0
    assert len(await encoders.image_vectors([], 1, PATIENCE_S)) == 0


async def test_calls_made_at_once_share_batches(
    triton: RunningTriton, encoders: TritonEncoders
) -> None:
    x = contents(200)
    before = await encoders.statistics("user_tower")
    vectors = await asyncio.gather(*(encoders.user_vectors(row[None], 1, PATIENCE_S) for row in x))
    after = await encoders.statistics("user_tower")
    with torch.inference_mode():
        expected = triton.tower("user")(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(np.concatenate(vectors), expected, atol=1e-5)
    assert after.rows - before.rows == 200
    assert after.executions - before.executions < 200  # how many depends on who is how busy


async def test_a_version_that_is_not_loaded_is_a_release_error(encoders: TritonEncoders) -> None:
    with pytest.raises(ReleaseError, match="version 77"):
        await encoders.user_vectors(contents(1), 77, PATIENCE_S)
    assert await encoders.ready(1, PATIENCE_S)
    assert not await encoders.ready(77)


async def test_vectors_of_another_length_are_refused(encoders: TritonEncoders) -> None:
    good, bad = await asyncio.gather(
        encoders.user_vectors(contents(1), 1, PATIENCE_S),
        encoders.user_vectors(contents(1, dim=31), 1, PATIENCE_S),
        return_exceptions=True,
    )
    assert isinstance(bad, InvalidInputError)
    assert "expected 32" in str(bad)
    assert not isinstance(good, BaseException)


async def test_only_who_has_the_key_can_control_models(encoders: TritonEncoders) -> None:
    with pytest.raises(ReleaseError, match="control key"):
        await encoders.unload(1)
    assert await encoders.ready(1, PATIENCE_S)


@pytest.mark.parametrize("path", ["v2/systemsharedmemory/status", "v2/logging"])
def test_nobody_can_use_the_dangerous_calls(triton: RunningTriton, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{triton.http}/{path}")
    assert refused.value.code == 403
    refused.value.close()


async def test_a_deadline_is_kept(encoders: TritonEncoders) -> None:
    texts = ["a very long title " * 20] * 2000
    began = time.perf_counter()
    with pytest.raises(DeadlineError):
        await encoders.text_vectors(texts, 1, 0.05)
    told = time.perf_counter()
    await encoders.text_vectors(texts, 1, PATIENCE_S)
    assert told - began < time.perf_counter() - told
    with pytest.raises(DeadlineError):
        await encoders.user_vectors(contents(1), 1, 0.0)
    assert (await encoders.user_vectors(contents(1), 1, PATIENCE_S)).shape == (1, 16)


async def test_answers_leave_nothing_in_the_log_and_nothing_in_memory(
    triton: RunningTriton, encoders: TritonEncoders
) -> None:
    x = contents(MAX_ROWS)
    stubs = psutil.Process(triton.process.pid).children(recursive=True)

    async def resident_mb(calls: int) -> float:
        for _ in range(calls):
            await encoders.user_vectors(x, 1, PATIENCE_S)
        return sum(stub.memory_info().rss for stub in stubs) / 2**20

    logged, before = triton.log.stat().st_size, await resident_mb(50)
    assert await resident_mb(500) < before + 1.0  # 2.0 MB of vectors went through
    assert triton.log.stat().st_size == logged, triton.log.read_text()[-1000:]
