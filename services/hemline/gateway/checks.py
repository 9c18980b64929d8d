"""What the gateway refuses, said the same way everywhere."""

from __future__ import annotations

import math
import secrets

from hemline.errors import InvalidInputError

MAX_ID = 128
MAX_K = 500


def check_text(field: str, value: str, most: int, least: int = 0) -> None:
    """Raises InvalidInputError for a text that is too short, too long, or holds a NUL."""
    if len(value) < least:
        raise InvalidInputError(field, "must not be empty")
    if len(value) > most:
        raise InvalidInputError(field, f"has {len(value)} characters, at most {most} are allowed")
    if "\x00" in value:
        raise InvalidInputError(field, "holds a NUL character")


def check_k(k: int) -> int:
    """Raises InvalidInputError for k outside 1..500."""
    if not 1 <= k <= MAX_K:
        raise InvalidInputError("k", f"{k} is outside 1..{MAX_K}")
    return k


def check_share(field: str, value: float) -> float:
    """Raises InvalidInputError for a number that is no share between 0 and 1."""
    if not (math.isfinite(value) and 0.0 <= value <= 1.0):
        raise InvalidInputError(field, f"{value:g} is outside 0..1")
    return value


def request_id_or_new(given: str) -> str:
    """The caller's request id, or a new one."""
    check_text("request_id", given, most=MAX_ID)
    return given or secrets.token_hex(16)
