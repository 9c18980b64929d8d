"""What a filter and a search mean, one item at a time, the obvious way."""

from __future__ import annotations

from collections.abc import Mapping

from hemline.catalogue import Item
from hemline.filters import AllOf, AnyOf, Filter, In, InStock, Not, OfTenant, Range


def matches(condition: Filter, item: Item) -> bool:
    match condition:
        case AllOf(parts):
            return all(matches(part, item) for part in parts)
        case AnyOf(parts):
            return any(matches(part, item) for part in parts)
        case Not(part):
            return not matches(part, item)
        case In(attribute, values):
            value = getattr(item, attribute)
            return value is not None and value.lower() in [v.lower() for v in values]
        case Range(attribute, low, high, include_unknown):
            number = getattr(item, attribute)
            if number is None:
                return include_unknown
            return (low is None or low <= number) and (high is None or number <= high)
        case InStock(wanted):
            return item.in_stock == wanted
        case OfTenant(tenant):
            return item.tenant is None or item.tenant == tenant
    raise AssertionError(condition)


def true_best(scores: Mapping[str, float], groups: Mapping[str, str] | None, k: int) -> list[float]:
    """The k best scores; with groups, of the best of each group."""
    if groups is None:
        return sorted(scores.values(), reverse=True)[:k]
    best: dict[str, float] = {}
    for name, score in scores.items():
        best[groups[name]] = max(score, best.get(groups[name], float("-inf")))
    return sorted(best.values(), reverse=True)[:k]
