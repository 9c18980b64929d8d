"""Every error Hemline raises on purpose.

HemlineError
├── InvalidInputError        the caller sent something wrong; names the field   INVALID_ARGUMENT
│   └── BadImageError        an image that is malformed, too large, or of a format we refuse
├── UnauthenticatedError     the caller did not say, or not prove, who it is    UNAUTHENTICATED
├── ForbiddenError           the caller is known and may not do this            PERMISSION_DENIED
├── NotFoundError            the named thing does not exist                     NOT_FOUND
├── DeadlineError            the caller's time ran out                          DEADLINE_EXCEEDED
├── OverloadedError          a bounded queue is full; try again later           RESOURCE_EXHAUSTED
│   └── RateLimitedError     the caller is faster than its limit; says when to try again
├── UnavailableError         a part of the cluster cannot be reached            UNAVAILABLE
│   └── TakenOverError       another consumer of the group reads these records now
├── SetupError               a server we depend on is set up so that it cannot serve us
│                                                                                FAILED_PRECONDITION
├── ReleaseError             a release is incomplete, altered or mismatched     FAILED_PRECONDITION
├── DataError                imported data cannot be used at all                (command line only)
│   └── CatalogueError       a catalogue cannot be read at all
└── NotBuiltError            the call is specified but not built yet            UNIMPLEMENTED

`hemline.statuses` is the one place that turns these into gRPC statuses and back.
"""

from __future__ import annotations


class HemlineError(Exception):
    """Base of all errors raised by Hemline.

    public: what a caller of a server is told: the message, unless another is given because that one
    names addresses, files or users inside the cluster, which are for its log alone.
    """

    def __init__(self, message: str = "", *, public: str = "") -> None:
        super().__init__(message)
        self.public = public or message


class InvalidInputError(HemlineError):
    """A request or file field has an unacceptable value; `field` is its dotted path."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.reason = message


class BadImageError(InvalidInputError):
    """An image could not be accepted: wrong format, too many bytes or pixels, or broken data."""


class UnauthenticatedError(HemlineError):
    """A call needs an API key and came without one, or with one that is not in force."""


class ForbiddenError(HemlineError):
    """The API key of a call does not allow that call."""


class NotFoundError(HemlineError):
    """The user, item, release or model that was named does not exist."""


class DeadlineError(HemlineError):
    """The caller's deadline passed before the work was done."""


class OverloadedError(HemlineError):
    """A bounded queue is full."""


class RateLimitedError(OverloadedError):
    """The caller used up its rate limit; it may try again `retry_after_s` seconds from now."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(HemlineError):
    """A backend (Triton, event log, user state, another service) did not answer."""


class TakenOverError(UnavailableError):
    """Another consumer of the group has these records now, and applies them (again)."""


class SetupError(HemlineError):
    """A server Hemline depends on has settings, credentials or contents it cannot work with.

    Trying again does not help: somebody has to change the server, or the way it is asked.
    """


class ReleaseError(HemlineError):
    """A release folder is incomplete, altered, or does not fit what it is used with."""


class DataError(HemlineError):
    """A data set as a whole cannot be used (a missing file or column, too many bad rows)."""


class CatalogueError(DataError):
    """A catalogue as a whole cannot be used (a missing file or column, no usable row)."""


class NotBuiltError(HemlineError):
    """The call is part of the published contract but has no implementation yet."""
