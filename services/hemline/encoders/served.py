"""What the models in model_repository/ share: their release, and tensors in and out of Triton.

Only Triton's Python processes import this. Tensors cross through DLPack and never through
`as_numpy` or the `Tensor` constructor: the Python backend of Triton 2.51 was compiled for NumPy 1,
and with NumPy 2 it reads every element as the first, writes outputs of zero bytes, and dies on
strings. For the same reason images and texts travel as uint8 rows, padded with zeros.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
import triton_python_backend_utils as pb_utils
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from hemline.errors import InvalidInputError

P = TypeVar("P", Tensor, list[str])


def release_folder(args: Mapping[str, str]) -> Path:
    """The release that the version being initialised was made from; `args` as Triton gives them."""
    pointer = Path(args["model_repository"]) / args["model_version"] / "release.json"
    return Path(json.loads(pointer.read_text())["folder"])


def device_of(args: Mapping[str, str]) -> str:
    """The torch device of this model instance."""
    if args["model_instance_kind"] == "GPU":
        return f"cuda:{args['model_instance_device_id']}"
    return "cpu"


def content_of(request: Any, dim: int) -> Tensor:
    """CONTENT of one request, float32 (b, dim). Raises InvalidInputError for another length."""
    content = _input(request, "CONTENT")
    if content.shape[1] != dim:
        raise InvalidInputError("content", f"{content.shape[1]} values a row; expected {dim}")
    return content


def byte_rows(request: Any, name: str) -> list[bytes]:
    """The rows of a uint8 (b, length) input, with the zeros they are padded with."""
    return [row.numpy().tobytes() for row in _input(request, name)]


def answer(
    requests: Sequence[Any],
    read: Callable[[Any], P],
    encode: Callable[[list[P]], Tensor],
) -> list[Any]:
    """One response a request, all of them from one call of `encode`.

    read      what one request asks for; InvalidInputError refuses this request alone
    encode    what was read of all good requests -> float32 (sum of their rows, dim)
    """
    responses: list[Any] = [None] * len(requests)
    good: list[int] = []
    parts: list[P] = []
    for index, request in enumerate(requests):
        try:
            parts.append(read(request))
            good.append(index)
        except InvalidInputError as error:
            refused = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
            responses[index] = pb_utils.InferenceResponse(error=refused)
    if parts:
        vectors = encode(parts).to("cpu", torch.float32)
        start = 0
        for index, part in zip(good, parts, strict=True):
            own = vectors[start : start + len(part)].contiguous()
            start += len(part)
            tensor = pb_utils.Tensor.from_dlpack("VECTOR", own)
            responses[index] = pb_utils.InferenceResponse([tensor])
    return responses


def _input(request: Any, name: str) -> Tensor:
    tensor: Tensor = from_dlpack(pb_utils.get_input_tensor_by_name(request, name).to_dlpack())
    return tensor
