"""Questions and answers of the gateway, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hemline.contracts import NO_ROWS, Part, Rows
from hemline.filters import Filter
from hemline.gateway.trace import Degraded


@dataclass(frozen=True)
class RecommendQuery:
    """A checked RecommendRequest; items as rows of the release."""

    user_id: str
    k: int
    request_id: str
    filter: Filter | None = None
    exclude: Rows = field(default_factory=lambda: NO_ROWS)
    context: Rows = field(default_factory=lambda: NO_ROWS)
    include_seen: bool = False
    diversity: float | None = None
    surface: str = ""


class ScoredRow(NamedTuple):
    """One item of an answer."""

    row: int
    score: float
    sources: tuple[str, ...]
    reason: str
    because_of: int | None = None  # row of the history's item that the reason names


@dataclass(frozen=True)
class Answer:
    request_id: str
    release: str
    items: tuple[ScoredRow, ...]
    parts: Mapping[str, Part]  # what each model says of the items, in their order
    degraded: tuple[Degraded, ...]
    timings: Mapping[str, float]  # stage -> seconds
    personal: bool
    candidates: int
    history_events: int
    arm: str = ""
