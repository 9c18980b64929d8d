"""The file of API keys: who may call the gateway, and what for. No secret is in it.

    {"keys": [{"id": "q7c2m9xk", "tenant": "shop-app", "scopes": ["recommend", "events"],
               "secret_sha256": "…", "rate_per_s": 100, "burst": 200,
               "created": "2026-11-21T10:00:00+00:00", "revoked": ""}]}

A key is `hk_ID_SECRET`. The secret is 256 random bits, so one SHA-256 of it is enough at rest: slow
hashes protect what people can guess, and nobody guesses this. A gateway reads a changed file within
a second.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hemline.errors import InvalidInputError, NotFoundError

SCOPES = ("recommend", "events", "users", "catalog", "admin")
MAX_KEYS = 10_000
_ID = re.compile(r"[a-z0-9]{1,32}")
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class KeyRecord:
    """One key without its secret. rate_per_s: messages, 0 for no limit; burst: at once, after a
    pause. created, revoked: ISO 8601; revoked is empty while the key is in force."""

    id: str
    tenant: str
    scopes: tuple[str, ...]
    secret_sha256: str
    rate_per_s: float = 0.0
    burst: float = 0.0
    created: str = ""
    revoked: str = ""


def secret_hash(secret: str) -> str:
    """What is stored of a secret: 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_keys(path: Path) -> list[KeyRecord]:
    """All keys, the revoked ones too. Raises InvalidInputError naming file, entry and reason."""
    try:
        entries = json.loads(path.read_text())["keys"]
        if not isinstance(entries, list):
            raise TypeError
    except OSError as error:
        raise InvalidInputError(
            "api_keys",
            f"cannot read {path}: {error.strerror}; `hemline keys create` makes such a file",
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(
            "api_keys", f'{path} is not a JSON object with a list "keys"'
        ) from error
    if len(entries) > MAX_KEYS:
        raise InvalidInputError("api_keys", f"{path} has {len(entries)} keys, at most {MAX_KEYS}")
    records = [_record(entry, f"{path}, key {place}") for place, entry in enumerate(entries)]
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise InvalidInputError("api_keys", f"{path} has the id {record.id!r} twice")
        seen.add(record.id)
    return records


def create_key(
    path: Path, tenant: str, scopes: Sequence[str], rate_per_s: float = 0.0, burst: float = 0.0
) -> tuple[KeyRecord, str]:
    """Add a key to the file, which is made if missing; returns its record and the key itself.

    The key is not stored and cannot be shown again. burst 0: two seconds of the rate. Raises
    InvalidInputError for a tenant, scope or rate that cannot be.
    """
    secret = secrets.token_urlsafe(32)
    entry = KeyRecord(
        id=secrets.token_hex(5),
        tenant=tenant,
        scopes=tuple(dict.fromkeys(scopes)),
        secret_sha256=secret_hash(secret),
        rate_per_s=rate_per_s,
        burst=burst or max(1.0, 2 * rate_per_s) * (rate_per_s > 0),
        created=_now(),
    )
    record = _record(asdict(entry) | {"scopes": list(entry.scopes)}, "the new key")
    with _locked(path):
        _write(path, [*(read_keys(path) if path.exists() else []), record])
    return record, f"hk_{record.id}_{secret}"


def revoke_key(path: Path, key_id: str) -> KeyRecord:
    """Put a key out of force; it stays in the file, with the time. Harmless to repeat.

    Raises NotFoundError for an id that is not in the file.
    """
    with _locked(path):
        records = read_keys(path)
        found = next((record for record in records if record.id == key_id), None)
        if found is None:
            raise NotFoundError(f"{path} has no key {key_id!r}; see `hemline keys list`")
        revoked = replace(found, revoked=found.revoked or _now())
        _write(path, [revoked if record is found else record for record in records])
    return revoked


def _record(entry: Any, where: str) -> KeyRecord:
    """A checked record. Raises InvalidInputError that begins with `where`."""

    def wrong(reason: str) -> InvalidInputError:
        return InvalidInputError("api_keys", f"{where}: {reason}")

    try:
        record = KeyRecord(**{**entry, "scopes": tuple(entry["scopes"])})
    except (TypeError, KeyError) as error:
        raise wrong("needs id, tenant, scopes and secret_sha256, and has them or others not") from (
            error
        )
    texts = {
        "id": (record.id, _ID, "1 to 32 lower-case letters and digits"),
        "tenant": (record.tenant, TENANT, "1 to 64 letters, digits, '.', '_' or '-'"),
        "secret_sha256": (record.secret_sha256, _SHA256, "64 hexadecimal digits"),
    }
    for name, (value, pattern, wanted) in texts.items():
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise wrong(f"{name} must be {wanted}")
    if not record.scopes:
        raise wrong(f"scopes are missing; give some of {', '.join(SCOPES)}")
    for scope in record.scopes:
        if scope not in SCOPES:
            raise wrong(f"unknown scope {scope!r}; there are {', '.join(SCOPES)}")
    for name, number in {"rate_per_s": record.rate_per_s, "burst": record.burst}.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise wrong(f"{name} must be a number")
        if not 0 <= number <= 1e9:
            raise wrong(f"{name} is {number:g}, outside 0..1e9")
    if record.rate_per_s and record.burst < 1:
        raise wrong("burst must be at least 1 where there is a rate")
    if not isinstance(record.revoked, str) or not isinstance(record.created, str):
        raise wrong("created and revoked must be texts")
    return record


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time; readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, records: Sequence[KeyRecord]) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps({"keys": [asdict(r) for r in records]}, indent=2) + "\n")
    temporary.chmod(0o640)
    temporary.replace(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
