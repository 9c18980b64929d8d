"""The encoders and towers on Triton, called over gRPC. The only file that imports tritonclient."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from hemline import metrics
from hemline.errors import (
    BadImageError,
    DeadlineError,
    HemlineError,
    InvalidInputError,
    ReleaseError,
    UnavailableError,
)
from hemline.tls import ClientTls
from hemline.triton_repository import MODELS
from hemline.vectors import F32

T = TypeVar("T")

MAX_ROWS = 64  # max_batch_size of the models that take many rows a request
MAX_IMAGES_IN_FLIGHT = 64
# A call whose caller has gone is left to itself for so long, and no more than so many at a time.
ABANDONED_S = 60.0
MAX_ABANDONED = 64
CONTROL_HEADER = "triton-grpc-protocol-hemline-control"  # Triton wants the prefix
_INPUT = {
    "clip_image": "IMAGE",
    "clip_text": "TEXT",
    "item_tower": "CONTENT",
    "user_tower": "CONTENT",
}
_DATATYPES = {np.dtype(np.float32): "FP32", np.dtype(np.uint8): "UINT8"}
_BAD_IMAGE = re.compile(r"images\[\d+\]: (.*)", re.DOTALL)
_NO_VECTORS: F32 = np.zeros((0, 0), np.float32)  # the answer to no rows at all
_CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 250),  # it starts within 2 s: do not add one more
    # Several servers, at an address like dns:///NAME:PORT, take turns.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
]


@dataclass(frozen=True)
class ModelStatistics:
    """rows: vectors computed; executions: forward passes, each of one dynamic batch."""

    rows: int
    executions: int


class TritonEncoders:
    """The four models at "host:port", any loaded version; the contract is `contracts.Encoders`.

    Nothing is retried here: the caller knows how much time is left. Calls raise DeadlineError after
    `timeout_s`, UnavailableError when Triton does not answer, ReleaseError when it has not loaded
    that version, InvalidInputError for vectors of another length than the release's. Create it in
    the event loop that uses it.

    A call is never cancelled on its way, whatever becomes of its caller: Triton 2.51 may die of a
    cancelled inference that has just been answered (triton-inference-server/server #7368).
    """

    def __init__(
        self, address: str, control_key: str | None = None, tls: ClientTls | None = None
    ) -> None:
        """control_key: what the server was started with, needed by `load` and `unload` only."""
        credentials = tls.credentials() if tls else None
        self._client = InferenceServerClient(address, creds=credentials, channel_args=_CHANNEL)
        self._control = {CONTROL_HEADER: control_key} if control_key else None
        self._images_in_flight = asyncio.Semaphore(MAX_IMAGES_IN_FLIGHT)
        self._abandoned: set[asyncio.Task[InferResult]] = set()

    async def user_vectors(self, profiles: F32, version: int, timeout_s: float) -> F32:
        """float32 (b, clip_dim) profiles to float32 (b, tower_dim), unit norm."""
        return await self._tower("user_tower", profiles, version, timeout_s)

    async def item_vectors(self, content: F32, version: int, timeout_s: float) -> F32:
        """float32 (b, clip_dim) content vectors to float32 (b, tower_dim), unit norm."""
        return await self._tower("item_tower", content, version, timeout_s)

    async def text_vectors(self, texts: Sequence[str], version: int, timeout_s: float) -> F32:
        """Texts to float32 (b, clip_dim), unit norm."""
        rows = _padded_rows([text.encode(errors="replace") for text in texts])
        return await self._chunked("clip_text", rows, version, timeout_s)

    async def image_vectors(self, images: Sequence[bytes], version: int, timeout_s: float) -> F32:
        """JPEG, PNG or WebP bytes to float32 (b, clip_dim), unit norm.

        Raises BadImageError naming the first broken one, as `images[i]`.
        """
        answers = await self.image_answers(images, version, timeout_s)
        vectors = []
        for answer in answers:
            if isinstance(answer, BadImageError):
                raise answer
            vectors.append(answer)
        return np.stack(vectors) if vectors else _NO_VECTORS

    async def image_answers(
        self, images: Sequence[bytes], version: int, timeout_s: float
    ) -> list[F32 | BadImageError]:
        """For each image its vector, float32 (clip_dim,), or what is wrong with it."""
        deadline = time.monotonic() + timeout_s
        calls = [self._image(data, index, version, deadline) for index, data in enumerate(images)]
        return await _all(calls)

    async def ready(self, version: int, timeout_s: float = 5.0) -> bool:
        """Whether all four models answer for this version; False as well when Triton is away.

        Each model is asked for real: Triton 2.51 calls a model ready whose process has died, and
        never starts it again, so what is not ready any more has to be restarted.
        """
        try:
            for model in MODELS:
                if not await self._client.is_model_ready(
                    model, str(version), client_timeout=timeout_s
                ):
                    return False
            await _all([self._probe(model, version, timeout_s) for model in MODELS])
        except (InferenceServerException, HemlineError):
            return False
        return True

    async def load(self, version: int, timeout_s: float = 300.0) -> None:
        """Load a version that `triton_repository.add_version` added, beside those being served.

        Models are loaded one after the other, which leaves most of the machine to the calls being
        served meanwhile. Raises ReleaseError when a model cannot be loaded
        or the control key is wrong; nothing is taken back.
        """
        if not await self.ready(version):
            await self._load_models(timeout_s)
        if not await self.ready(version):
            raise ReleaseError(f"Triton does not serve version {version} after loading it")

    async def unload(self, version: int, timeout_s: float = 60.0) -> None:
        """Unload a version that `triton_repository.remove_version` took away.

        Calls already running on it are answered. Raises ReleaseError when it is still in the
        repository.
        """
        await self._load_models(timeout_s)
        if await self.ready(version):
            raise ReleaseError(f"version {version} is still in the model repository")

    async def statistics(self, model: str, timeout_s: float = 5.0) -> ModelStatistics:
        """What Triton counted for a model since it was loaded, over all versions."""
        try:
            answer = await self._client.get_inference_statistics(model, client_timeout=timeout_s)
        except InferenceServerException as error:
            raise _typed(error) from error
        return ModelStatistics(
            rows=sum(each.inference_count for each in answer.model_stats),
            executions=sum(each.execution_count for each in answer.model_stats),
        )

    async def close(self) -> None:
        await self._client.close()
        if self._abandoned:
            await asyncio.wait(self._abandoned)  # the closed channel has ended them

    async def _load_models(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        for model in MODELS:
            try:
                left_s = deadline - time.monotonic()
                await self._client.load_model(
                    model, headers=self._control, client_timeout=max(left_s, 0.001)
                )
            except InferenceServerException as error:
                typed = _typed(error)
                if isinstance(typed, InvalidInputError):
                    typed = ReleaseError(typed.reason)
                raise typed from error

    async def _probe(self, model: str, version: int, timeout_s: float) -> None:
        """Ask what costs nearly nothing; that the model refuses it is an answer as well."""
        nothing = np.zeros((1, 1), np.float32 if _INPUT[model] == "CONTENT" else np.uint8)
        with contextlib.suppress(InvalidInputError):
            await self._infer(model, nothing, version, timeout_s)

    async def _tower(self, model: str, vectors: F32, version: int, timeout_s: float) -> F32:
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        return await self._chunked(model, rows, version, timeout_s)

    async def _chunked(
        self, model: str, rows: npt.NDArray[Any], version: int, timeout_s: float
    ) -> F32:
        if not len(rows):
            return _NO_VECTORS
        if len(rows) <= MAX_ROWS:
            return await self._infer(model, rows, version, timeout_s)
        chunks = [rows[start : start + MAX_ROWS] for start in range(0, len(rows), MAX_ROWS)]
        return np.concatenate(
            await _all([self._infer(model, rows, version, timeout_s) for rows in chunks])
        )

    async def _image(
        self, data: bytes, index: int, version: int, deadline: float
    ) -> F32 | BadImageError:
        """One image is one request, so that a broken one fails alone; Triton batches them."""
        field = f"images[{index}]"
        if not data:
            return BadImageError(field, "the image is empty")
        rows = np.frombuffer(data, np.uint8)[None]
        try:
            async with self._images_in_flight:
                left_s = deadline - time.monotonic()
                vectors = await self._infer("clip_image", rows, version, left_s)
        except InvalidInputError as error:
            bad = _BAD_IMAGE.fullmatch(error.reason)
            if bad is None:
                raise
            return BadImageError(field, bad[1])
        vector: F32 = vectors[0]
        return vector

    async def _infer(
        self, model: str, rows: npt.NDArray[Any], version: int, timeout_s: float
    ) -> F32:
        """One request: (b, …) rows to float32 (b, dim)."""
        if timeout_s <= 0:
            raise DeadlineError(f"no time left to call {model}")
        tensor = InferInput(_INPUT[model], list(rows.shape), _DATATYPES[rows.dtype])
        tensor.set_data_from_numpy(rows)
        began = time.perf_counter()
        call = self._client.infer(
            model, [tensor], model_version=str(version), client_timeout=ABANDONED_S
        )
        try:
            result = await self._patiently(call, timeout_s)
        except TimeoutError:
            raise DeadlineError(f"Triton: {model} gave no answer in {timeout_s:.3g} s") from None
        except InferenceServerException as error:
            raise _typed(error) from error
        finally:
            metrics.ENCODER_SECONDS.labels(model).observe(time.perf_counter() - began)
        vectors: F32 = result.as_numpy("VECTOR")
        return vectors

    async def _patiently(
        self, call: Coroutine[Any, Any, InferResult], timeout_s: float
    ) -> InferResult:
        """The answer, if it comes in time; a call that takes longer goes on without us.

        Raises TimeoutError, UnavailableError when too many calls go on so.
        """
        if len(self._abandoned) >= MAX_ABANDONED:
            call.close()
            raise UnavailableError(f"Triton: {MAX_ABANDONED} earlier calls are not answered yet")
        calling = asyncio.create_task(call)
        try:
            await asyncio.wait((calling,), timeout=timeout_s)
            if calling.done():
                return calling.result()
            raise TimeoutError
        finally:
            if not calling.done():  # too late, or our own task was cancelled
                self._abandoned.add(calling)
                calling.add_done_callback(self._forget)

    def _forget(self, calling: asyncio.Task[InferResult]) -> None:
        self._abandoned.discard(calling)
        if not calling.cancelled():
            calling.exception()  # of no use to anybody any more


def _typed(error: InferenceServerException) -> HemlineError:
    """What a failed call means. Triton 2.51 tells some cases apart only by their message."""
    status = str(error.status() or "").removeprefix("StatusCode.")
    message = str(error.message() or status)
    if message.startswith("Request for unknown model"):
        return ReleaseError(f"Triton: {message}")
    if message.startswith("This protocol is restricted"):
        return ReleaseError("Triton lets nobody control its models without the control key")
    if status == "DEADLINE_EXCEEDED":
        return DeadlineError(f"Triton did not answer in time ({message})")
    if status == "INVALID_ARGUMENT":
        return InvalidInputError("encoder", message)
    reason = message.partition("; last error")[0]  # what follows is an address inside the cluster
    return UnavailableError(f"Triton: {reason}")


def _padded_rows(rows: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """uint8 (b, longest row), padded with zeros; at least one column, as Triton wants."""
    padded = np.zeros((len(rows), max([1, *map(len, rows)])), np.uint8)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = np.frombuffer(row, np.uint8)
    return padded


async def _all(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order; at the first error the other calls are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
