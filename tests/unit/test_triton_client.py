"""The client's side of what can go wrong, without a server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from hemline.errors import (
    BadImageError,
    DeadlineError,
    HemlineError,
    InvalidInputError,
    ReleaseError,
    UnavailableError,
)
from hemline.triton import MAX_ABANDONED, TritonEncoders, _typed


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        # as Triton 2.51 words them
        ("NOT_FOUND", "Request for unknown model: 'm' version 9 is not found", ReleaseError),
        ("UNAVAILABLE", "Request for unknown model: 'm' version 1 is not at ready state",
         ReleaseError),
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'triton-grpc-protocol-x'",
         ReleaseError),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineError),
        ("UNAVAILABLE", "failed to connect to all addresses", UnavailableError),
        ("INTERNAL", "Stub process 'm_0_0' is not healthy.", UnavailableError),
        ("CANCELLED", "Locally cancelled by application!", UnavailableError),
        ("INVALID_ARGUMENT", "content: 31 values a row; expected 32", InvalidInputError),
    ],
)  # fmt: skip
def test_every_failure_of_triton_has_a_type(
    status: str, message: str, kind: type[HemlineError]
) -> None:
    error = _typed(InferenceServerException(message, status=f"StatusCode.{status}"))
    assert type(error) is kind
    assert message in str(error) or "control key" in str(error)


def test_a_failure_does_not_tell_a_shopper_where_triton_is() -> None:
    said = "connections to all backends failing; last error: UNKNOWN: ipv4:10.0.0.3:8001: refused"
    error = _typed(InferenceServerException(said, status="StatusCode.UNAVAILABLE"))
    assert str(error) == "Triton: connections to all backends failing"


async def test_without_a_server_every_call_is_unavailable_at_once(free_address: str) -> None:
    encoders = TritonEncoders(free_address)
    row = np.zeros((1, 4), np.float32)
    began = time.perf_counter()
    with pytest.raises(UnavailableError):
        await encoders.user_vectors(row, 1, 30.0)
    with pytest.raises(UnavailableError):
        await encoders.text_vectors(["a dress"] * 200, 1, 30.0)
    with pytest.raises(UnavailableError):
        await encoders.image_vectors([b"\xff\xd8", b"\xff\xd8"], 1, 30.0)
    with pytest.raises(UnavailableError):
        await encoders.load(1)
    assert not await encoders.ready(1)
    assert time.perf_counter() - began < 25  # less than any of these calls might take
    await encoders.close()


async def test_an_empty_image_needs_no_server_to_be_refused(free_address: str) -> None:
    encoders = TritonEncoders(free_address)
    with pytest.raises(BadImageError, match=r"images\[0\]: the image is empty"):
        await encoders.image_vectors([b""], 1, 1.0)
    await encoders.close()


async def test_time_that_has_run_out_is_not_spent_on_a_call(free_address: str) -> None:
    encoders = TritonEncoders(free_address)
    with pytest.raises(DeadlineError):
        await encoders.user_vectors(np.zeros((1, 4), np.float32), 1, -0.1)
    await encoders.close()


@pytest.fixture
def free_address() -> str:
    """Nobody listens there: port 1 is reserved."""
    return "127.0.0.1:1"


class Unhurried:
    """A Triton that answers no inference until it is told to, and knows which were cancelled."""

    def __init__(self, service: type) -> None:
        self.go_on = asyncio.Event()
        self.came = 0
        self.cancelled = 0

        class Servicer(service):  # type: ignore[valid-type,misc]
            async def ModelInfer(_, request: Any, context: Any) -> Any:
                self.came += 1
                try:
                    await self.go_on.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
                await context.abort(grpc.StatusCode.UNAVAILABLE, "too late to matter")

        self.servicer = Servicer()


async def test_a_call_that_takes_too_long_is_left_to_itself_and_never_cancelled() -> None:
    triton = Unhurried(service_pb2_grpc.GRPCInferenceServiceServicer)
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    encoders = TritonEncoders(f"127.0.0.1:{port}")
    row = np.zeros((1, 4), np.float32)

    with pytest.raises(DeadlineError, match=r"user_tower gave no answer in 0.05 s"):
        await encoders.user_vectors(row, 1, 0.05)
    caller = asyncio.create_task(encoders.user_vectors(row, 1, 30.0))
    await asyncio.sleep(0.05)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    waiting = [encoders.user_vectors(row, 1, 0.05) for _ in range(MAX_ABANDONED - 2)]
    await asyncio.gather(*waiting, return_exceptions=True)
    began = time.perf_counter()
    with pytest.raises(UnavailableError, match="64 earlier calls are not answered yet"):
        await encoders.user_vectors(row, 1, 30.0)
    assert time.perf_counter() - began < 25  # less than any of these calls might take

    async with asyncio.timeout(90):
        while triton.came < MAX_ABANDONED:
            await asyncio.sleep(0.01)
        assert triton.cancelled == 0
        triton.go_on.set()
        while True:
            with pytest.raises(UnavailableError) as told:
                await encoders.user_vectors(row, 1, 60.0)
            if "too late to matter" in str(told.value):
                break
            await asyncio.sleep(0.01)
    assert triton.cancelled == 0
    await encoders.close()
    await server.stop(0)
