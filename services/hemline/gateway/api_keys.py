"""Who may call the gateway: API keys, each with a tenant, scopes and a rate limit.

A key comes as metadata `x-api-key: hk_ID_SECRET` or `authorization: Bearer hk_ID_SECRET`. It is
found by its id and compared by the hash of its secret in constant time. Every call needs the scope
of its service; a service that no scope is named for is closed. Health is open to all.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path

from hemline import metrics
from hemline.boundary import Metadata
from hemline.errors import (
    ForbiddenError,
    InvalidInputError,
    RateLimitedError,
    UnauthenticatedError,
)
from hemline.gateway.rate_limit import TokenBucket
from hemline.key_file import KeyRecord, read_keys, secret_hash

logger = logging.getLogger(__name__)

SCOPE_OF = {
    "hemline.v1.RecommenderService": "recommend",
    "hemline.v1.EventService": "events",
    "hemline.v1.UserService": "users",
    "hemline.v1.CatalogService": "catalog",
    "hemline.v1.AdminService": "admin",
}
OPEN = frozenset({"grpc.health.v1.Health"})
LOOK_AGAIN_S = 1.0
_HOW = "send it as metadata `x-api-key: hk_…`"


class ApiKey:
    """One key in force; `hemline.boundary.Caller` of the calls made with it."""

    def __init__(self, record: KeyRecord, clock: Callable[[], float]) -> None:
        self.record = record
        self.key_id = record.id
        self.tenant = record.tenant
        self.revoked = False
        limited = record.rate_per_s > 0
        self._bucket = TokenBucket(record.rate_per_s, record.burst, clock) if limited else None
        self._messages = metrics.KEY_MESSAGES.labels(record.id, record.tenant)

    def charge(self) -> None:
        """Count one message. Raises RateLimitedError, or UnauthenticatedError once revoked."""
        if self.revoked:
            raise UnauthenticatedError("this API key was revoked")
        if self._bucket is not None and (wait_s := self._bucket.take()):
            metrics.KEY_REFUSALS.labels(self.key_id, "rate").inc()
            raise RateLimitedError(
                f"the rate limit of this API key, {self._bucket.rate_per_s:g} a second and "
                f"{self._bucket.burst:g} at once, is used up; try again in {wait_s:.3f} s",
                wait_s,
            )
        self._messages.inc()


class ApiKeys:
    """The keys of a file, read again when it changed; `hemline.boundary.Admission`.

    Raises InvalidInputError when the file is of no use at first; later on the last good keys stay
    in force, and a metric counts it.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._look_at = clock() + LOOK_AGAIN_S
        self._keys: dict[str, ApiKey] = {}
        self._seen = self._state()
        self._take_over(read_keys(path))

    def guard(self, method: str) -> Callable[[Metadata], ApiKey] | None:
        """See `hemline.boundary.Admission.guard`."""
        service = method.rpartition("/")[0]
        if service in OPEN:
            return None
        scope = SCOPE_OF.get(service)

        def admit(metadata: Metadata) -> ApiKey:
            if self._clock() >= self._look_at:
                self._look_again()
            key = self._key_of(metadata)
            if scope not in key.record.scopes:
                metrics.KEY_REFUSALS.labels(key.key_id, "scope").inc()
                raise ForbiddenError(
                    f"{method} needs the scope {scope!r}, and this API key has "
                    f"{', '.join(key.record.scopes)}; ask for a key with that scope"
                    if scope
                    else f"{method} is open to no API key"
                )
            return key

        return admit

    def _key_of(self, metadata: Metadata) -> ApiKey:
        """The key in force that the metadata holds. Raises UnauthenticatedError, which never says
        more than the caller knows."""
        sent = _sent_key(metadata)
        if not sent:
            metrics.KEY_REFUSALS.labels("", "missing").inc()
            raise UnauthenticatedError(f"an API key is needed; {_HOW}")
        prefix, _, rest = sent.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != "hk" or not secret:
            metrics.KEY_REFUSALS.labels("", "malformed").inc()
            raise UnauthenticatedError(f"what was sent is no API key; {_HOW}")
        key = self._keys.get(key_id)
        stored = key.record.secret_sha256 if key else "0" * 64
        # An unknown id costs as much time as a wrong secret, and is told the same.
        right = hmac.compare_digest(secret_hash(secret), stored)
        if key is None or not right:
            metrics.KEY_REFUSALS.labels("", "unknown").inc()
            raise UnauthenticatedError("this API key is not in force: unknown, wrong or revoked")
        return key

    def _look_again(self) -> None:
        self._look_at = self._clock() + LOOK_AGAIN_S
        try:
            state = self._state()
            if state == self._seen:
                return
            self._seen = state
            self._take_over(read_keys(self._path))
        except InvalidInputError as error:
            metrics.KEY_RELOADS.labels("refused").inc()
            logger.warning("the last good API keys stay in force: %s", error)
        else:
            metrics.KEY_RELOADS.labels("used").inc()
            logger.info("%s was read again: %d API keys in force", self._path, len(self._keys))

    def _take_over(self, records: list[KeyRecord]) -> None:
        """Put these in force. Unchanged keys keep their buckets, so that a reload is no refill."""
        old, self._keys = self._keys, {}
        for record in records:
            if not record.revoked:
                kept = old.get(record.id)
                same = kept is not None and kept.record == record
                self._keys[record.id] = kept if kept and same else ApiKey(record, self._clock)
        for key in old.values():  # streams hold on to theirs
            key.revoked = key.key_id not in self._keys
        metrics.KEYS.set(len(self._keys))

    def _state(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None  # reading it will say why
        return stat.st_mtime_ns, stat.st_ino, stat.st_size


def open_api_keys(path: str) -> ApiKeys | None:
    """The keys of a file; None, said in the log and as a metric, where no file is named."""
    metrics.KEYS_REQUIRED.set(bool(path))
    if not path:
        logger.warning("no file of API keys is set (api_keys): anybody who reaches it may call")
        return None
    keys = ApiKeys(Path(path))
    logger.info("API keys of %s are required", path)
    return keys


def _sent_key(metadata: Metadata) -> str:
    for name, value in metadata:
        if isinstance(value, str):
            if name == "x-api-key":
                return value
            if name == "authorization" and value[:7].lower() == "bearer ":
                return value[7:].strip()
    return ""
