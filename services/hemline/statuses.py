"""Typed errors to gRPC statuses and back, with google.rpc details: they cross the wire once, here.

A wrong field travels as BadRequest, a used-up rate limit as RetryInfo.
"""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from hemline.errors import (
    DeadlineError,
    ForbiddenError,
    HemlineError,
    InvalidInputError,
    NotBuiltError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    ReleaseError,
    SetupError,
    UnauthenticatedError,
    UnavailableError,
)

DETAILS_KEY = "grpc-status-details-bin"
# A message may repeat what the caller sent, and answers with headers over 8 KiB are not delivered.
MAX_MESSAGE_CHARACTERS = 500
PART_AWAY = "a part of the cluster cannot be reached just now; try again"

STATUS: dict[type[HemlineError], grpc.StatusCode] = {
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    SetupError: grpc.StatusCode.FAILED_PRECONDITION,
    ReleaseError: grpc.StatusCode.FAILED_PRECONDITION,  # the last of a code is what it becomes
    NotBuiltError: grpc.StatusCode.UNIMPLEMENTED,
}
_ERROR_OF = {code: error for error, code in STATUS.items() if error is not InvalidInputError}


def status_of(error: HemlineError) -> grpc.StatusCode:
    """The gRPC status an error crosses the wire as."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return grpc.StatusCode.INTERNAL


def message_of(error: HemlineError) -> str:
    """What the caller is told, of bounded length."""
    return _cut(error.public)


def details_of(error: HemlineError) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata: a serialised google.rpc.Status for the errors that have more to tell."""
    detail = any_pb2.Any()
    if isinstance(error, InvalidInputError):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(error.field), description=_cut(error.reason)
        )
        detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    elif isinstance(error, RateLimitedError):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        detail.Pack(retry)
    else:
        return ()
    code: int = status_of(error).value[0]
    status = status_pb2.Status(code=code, message=message_of(error), details=[detail])
    return ((DETAILS_KEY, bytes(status.SerializeToString())),)


def error_from(error: grpc.aio.AioRpcError) -> HemlineError:
    """The typed error behind a failed call, the inverse of what the server sent."""
    code, message = error.code(), error.details() or error.code().name
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    metadata: Any = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Unpack(bad) and bad.field_violations:
                    first = bad.field_violations[0]
                    return InvalidInputError(first.field, first.description)
                if detail.Unpack(retry):
                    return RateLimitedError(message, retry.retry_delay.ToNanoseconds() / 1e9)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidInputError("request", message)
    kind = _ERROR_OF.get(code, UnavailableError)
    # Where nobody answered, gRPC names the address it tried; a caller of ours gets to hear less.
    return kind(message, public=PART_AWAY if kind is UnavailableError else "")


def _cut(text: str) -> str:
    most = MAX_MESSAGE_CHARACTERS
    return text if len(text) <= most else f"{text[: most - 1]}…"
