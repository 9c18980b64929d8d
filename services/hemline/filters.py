"""Hard conditions on items, evaluated exactly over a catalogue's columns.

Filters are small immutable trees, hashable, so that a service can keep the masks of recent ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hemline.catalogue import ATTRIBUTES
from hemline.errors import InvalidInputError

NUMERIC_ATTRIBUTES = ("price", "year")
MAX_DEPTH = 8
MAX_BRANCHES = 32
MAX_VALUES = 1000
MAX_TENANT = 64
WRAPPED = -1  # depth to check from where the servers have put a filter into one of their own

Mask = npt.NDArray[np.bool_]


class Columns(Protocol):
    """What filters look at: a `Catalogue`, or the items that changed since; see there."""

    def __len__(self) -> int: ...
    def codes(self, attribute: str) -> npt.NDArray[np.int32]: ...
    def values(self, attribute: str) -> Sequence[str]: ...
    @property
    def price(self) -> npt.NDArray[np.float32]: ...
    @property
    def year(self) -> npt.NDArray[np.int16]: ...
    @property
    def in_stock(self) -> npt.NDArray[np.bool_]: ...


@dataclass(frozen=True)
class AllOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    filters: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    filter: Filter


@dataclass(frozen=True)
class In:
    """The attribute is known and is one of the values, without regard to case."""

    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """The number lies between both ends, which are inclusive; None leaves an end open."""

    attribute: str
    min: float | None = None
    max: float | None = None
    include_unknown: bool = False


@dataclass(frozen=True)
class InStock:
    in_stock: bool = True


@dataclass(frozen=True)
class OfTenant:
    """The item is this tenant's or nobody's."""

    tenant: str


Filter = AllOf | AnyOf | Not | In | Range | InStock | OfTenant


def check_filter(condition: Filter, field: str = "filter", depth: int = 0) -> None:
    """Raises InvalidInputError naming the part of the filter that cannot be meant."""
    if depth > MAX_DEPTH:
        raise InvalidInputError(field, f"is nested deeper than {MAX_DEPTH}")
    match condition:
        case AllOf(filters) | AnyOf(filters):
            name = "all_of" if isinstance(condition, AllOf) else "any_of"
            if len(filters) > MAX_BRANCHES:
                raise InvalidInputError(f"{field}.{name}", f"has more than {MAX_BRANCHES} filters")
            for place, part in enumerate(filters):
                check_filter(part, f"{field}.{name}[{place}]", depth + 1)
        case Not(part):
            check_filter(part, f"{field}.negated", depth + 1)
        case In(attribute, values):
            if attribute not in ATTRIBUTES:
                raise InvalidInputError(
                    f"{field}.is_in.attribute",
                    f"{attribute!r} is not one of {', '.join(ATTRIBUTES)}",
                )
            if not values or len(values) > MAX_VALUES:
                raise InvalidInputError(f"{field}.is_in.values", f"needs 1 to {MAX_VALUES} values")
        case Range(attribute, low, high):
            if attribute not in NUMERIC_ATTRIBUTES:
                raise InvalidInputError(
                    f"{field}.range.attribute",
                    f"{attribute!r} is not one of {', '.join(NUMERIC_ATTRIBUTES)}",
                )
            for name, end in (("min", low), ("max", high)):
                if end is not None and not np.isfinite(end):
                    raise InvalidInputError(f"{field}.range.{name}", "is not a finite number")
            if low is not None and high is not None and low > high:
                raise InvalidInputError(f"{field}.range", f"min {low:g} is above max {high:g}")
        case OfTenant(tenant):
            if not 1 <= len(tenant) <= MAX_TENANT:
                raise InvalidInputError(f"{field}.tenant", f"needs 1 to {MAX_TENANT} characters")
        case InStock():
            pass


def filter_mask(condition: Filter, catalogue: Columns) -> Mask:
    """Which items match: bool (n,). The filter must have passed `check_filter`."""
    n = len(catalogue)
    match condition:
        case AllOf(filters):
            masks = (filter_mask(part, catalogue) for part in filters)
            return reduce(np.logical_and, masks, np.ones(n, dtype=bool))
        case AnyOf(filters):
            masks = (filter_mask(part, catalogue) for part in filters)
            return reduce(np.logical_or, masks, np.zeros(n, dtype=bool))
        case Not(part):
            return ~filter_mask(part, catalogue)
        case In(attribute, values):
            wanted = {value.casefold() for value in values}
            known = catalogue.values(attribute)
            # One slot more than there are values: code -1 (unknown) reads the last, False.
            chosen = np.array([v.casefold() in wanted for v in known] + [False], dtype=bool)
            return np.asarray(chosen[catalogue.codes(attribute)])
        case Range(attribute, low, high, include_unknown):
            numbers: npt.NDArray[Any] = catalogue.price if attribute == "price" else catalogue.year
            unknown = np.isnan(numbers) if attribute == "price" else numbers < 0
            mask = ~unknown
            if low is not None:
                mask &= numbers >= low
            if high is not None:
                mask &= numbers <= high
            return mask | unknown if include_unknown else mask
        case InStock(wanted_stock):
            return np.asarray(catalogue.in_stock == wanted_stock)
        case OfTenant(tenant):
            seen = np.array([v == tenant for v in catalogue.values("tenant")] + [True], dtype=bool)
            return np.asarray(seen[catalogue.codes("tenant")])


class FilterMasks:
    """The masks of one catalogue, the recently used ones kept: 1 byte an item each."""

    def __init__(self, catalogue: Columns, remembered: int = 256) -> None:
        self._catalogue = catalogue
        self._mask = lru_cache(maxsize=remembered)(self._compute)

    def mask(self, condition: Filter | None) -> Mask:
        """Which items match: bool (n,), read-only. The filter must have passed `check_filter`."""
        return self._mask(condition)

    def _compute(self, condition: Filter | None) -> Mask:
        if condition is None:
            mask = np.ones(len(self._catalogue), dtype=bool)
        else:
            mask = filter_mask(condition, self._catalogue)
        mask.setflags(write=False)
        return mask


def mentions_stock(condition: Filter | None) -> bool:
    """Whether a filter says anything about stock; if not, answers hold items in stock only."""
    match condition:
        case AllOf(filters) | AnyOf(filters):
            return any(mentions_stock(part) for part in filters)
        case Not(part):
            return mentions_stock(part)
        case InStock():
            return True
    return False


def tenants_named(condition: Filter | None) -> frozenset[str]:
    """The tenants that a filter speaks of."""
    match condition:
        case AllOf(filters) | AnyOf(filters):
            return frozenset().union(*(tenants_named(part) for part in filters))
        case Not(part):
            return tenants_named(part)
        case OfTenant(tenant):
            return frozenset((tenant,))
    return frozenset()
