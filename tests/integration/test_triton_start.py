"""Hemline's own CLIP on a real Triton: soon ready, in little memory, with open_clip's vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from hemline.encoders.clip import load_clip
from hemline.local.triton_server import TritonInstall
from hemline.triton import TritonEncoders
from running_triton import RunningTriton, running_triton
from tiny_release import TITLES, tiny_image

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0
# Without torch the start takes 1 s of processor time and 190 MB; with it, 10 s and 1.4 GB.
MOST_CPU_S = 5.0
MOST_MB = 500


@pytest.fixture(scope="module")
def serving(
    triton_install: TritonInstall, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningTriton]:
    folder = tmp_path_factory.mktemp("own-clip")
    with running_triton(triton_install, folder, encoder=load_clip("hemline")) as server:
        yield server


def test_the_start_takes_little_processor_time_and_memory(serving: RunningTriton) -> None:
    server = psutil.Process(serving.process.pid)
    processes = [server, *server.children(recursive=True)]
    assert len(processes) >= 5, "the server and a process for each model"
    spent = sum(sum(process.cpu_times()[:4]) for process in processes)
    assert spent < MOST_CPU_S
    assert sum(process.memory_full_info().pss for process in processes) < MOST_MB * 2**20


async def test_it_gives_the_vectors_of_open_clip(serving: RunningTriton) -> None:
    texts = [*TITLES, "", "robe d'été à fleurs ✿", *(f"title {i}" for i in range(70))]
    images = [tiny_image(i, kind) for i, kind in enumerate(["JPEG", "PNG", "WEBP"] * 7)]
    reference, encoders = serving.encoder(), TritonEncoders(serving.address)
    try:
        vectors = await encoders.text_vectors(texts, 1, PATIENCE_S)
        np.testing.assert_allclose(vectors, reference.encode_texts(texts), rtol=0, atol=1e-5)
        vectors = await encoders.image_vectors(images, 1, PATIENCE_S)
        np.testing.assert_allclose(vectors, reference.encode_images(images), rtol=0, atol=1e-5)
    finally:
        await encoders.close()
