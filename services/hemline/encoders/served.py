"""What the models in model_repository/ share: their release, and tensors in and out of Triton.

Only Triton's Python processes import this. Tensors cross through DLPack and never through
`as_numpy` or the `Tensor` constructor: the Python backend of Triton 2.51 was compiled for NumPy 1,
and with NumPy 2 it reads every element as the first, writes outputs of zero bytes, and dies on
strings. For the same reason images and texts travel as uint8 rows, padded with zeros.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from hemline.errors import InvalidInputError
from hemline.vectors import F32

P = TypeVar("P", bound=Sized)

_READ = b"used_dltensor"  # kept by the capsule as a pointer: it has to outlive them all
_name_capsule = ctypes.pythonapi.PyCapsule_SetName
_name_capsule.argtypes = (ctypes.py_object, ctypes.c_char_p)


def release_folder(args: Mapping[str, str]) -> Path:
    """The release that the version being initialised was made from; `args` as Triton gives them."""
    pointer = Path(args["model_repository"]) / args["model_version"] / "release.json"
    return Path(json.loads(pointer.read_text())["folder"])


def device_of(args: Mapping[str, str]) -> str:
    """The torch device of this model instance."""
    if args["model_instance_kind"] == "GPU":
        return f"cuda:{args['model_instance_device_id']}"
    return "cpu"


def content_of(request: Any, dim: int) -> F32:
    """CONTENT of one request, float32 (b, dim). Raises InvalidInputError for another length."""
    content = _input(request, "CONTENT")
    if content.shape[1] != dim:
        raise InvalidInputError("content", f"{content.shape[1]} values a row; expected {dim}")
    return content


def byte_rows(request: Any, name: str) -> list[bytes]:
    """The rows of a uint8 (b, length) input, with the zeros they are padded with."""
    return [row.tobytes() for row in _input(request, name)]


def answer(
    requests: Sequence[Any], read: Callable[[Any], P], encode: Callable[[list[P]], F32]
) -> list[Any]:
    """One response a request, all of them from one call of `encode`.

    read      what one request asks for; InvalidInputError refuses this request alone
    encode    what was read of all good requests -> float32 (sum of their lengths, dim)
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
        vectors = encode(parts)
        start = 0
        for index, part in zip(good, parts, strict=True):
            own = np.ascontiguousarray(vectors[start : start + len(part)], dtype=np.float32)
            start += len(part)
            responses[index] = pb_utils.InferenceResponse([_output("VECTOR", own)])
    return responses


def leave() -> None:
    """End this process at once; for `finalize`.

    Python's orderly way out of a process with torch took more than ten seconds on a busy machine,
    longer than Triton waits. Nothing is lost: requests are answered before, and files only read.
    """
    os._exit(0)


def _output(name: str, array: F32) -> Any:
    """The tensor over the array's own memory.

    Triton 2.51 gives a capsule that it has read a name of its own; NumPy, which made it, then takes
    it for damaged and writes a traceback into the log, at every answer. Hence the name it expects.
    """
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    _name_capsule(capsule, _READ)
    return tensor


def _input(request: Any, name: str) -> npt.NDArray[Any]:
    """A view of shared memory, valid until the request is answered."""
    return np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))
