"""Plain values to and from protobuf, where more than one service speaks of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hemline.catalogue import Item
from hemline.contracts import Rows
from hemline.errors import InvalidInputError
from hemline.filters import (
    AllOf,
    AnyOf,
    Filter,
    In,
    InStock,
    Not,
    OfTenant,
    Range,
    check_filter,
)
from hemline.v1 import common_pb2 as common


class ItemIds(Protocol):
    """Whatever gives rows to items: a `Catalogue`, or the live items of a release."""

    @property
    def item_ids(self) -> Sequence[str]: ...
    @property
    def row_of(self) -> Mapping[str, int]: ...


EVENT_KIND_NAMES: dict[int, str] = {
    common.EVENT_KIND_VIEW: "view",
    common.EVENT_KIND_CLICK: "click",
    common.EVENT_KIND_WISH: "wish",
    common.EVENT_KIND_BAG: "bag",
    common.EVENT_KIND_PURCHASE: "purchase",
    common.EVENT_KIND_DISLIKE: "dislike",
}
EVENT_KINDS: dict[str, Any] = {name: number for number, name in EVENT_KIND_NAMES.items()}


def filter_from_proto(
    message: common.Filter, field: str = "filter", depth: int = 0
) -> Filter | None:
    """A checked filter, or None for an absent one. Raises InvalidInputError naming the part.

    depth: see `check_filter`.
    """
    if message.WhichOneof("condition") is None:
        return None
    condition = _filter(message, field)
    check_filter(condition, field, depth)
    return condition


def _filter(message: common.Filter, field: str) -> Filter:
    match message.WhichOneof("condition"):
        case "all_of":
            return AllOf(tuple(_filter(part, field) for part in message.all_of.filters))
        case "any_of":
            return AnyOf(tuple(_filter(part, field) for part in message.any_of.filters))
        case "negated":
            return Not(_filter(message.negated, field))
        case "is_in":
            chosen = message.is_in
            return In(chosen.attribute, tuple(sorted(set(chosen.values))))
        case "not_in":
            refused = message.not_in
            return Not(In(refused.attribute, tuple(sorted(set(refused.values)))))
        case "range":
            bounds = message.range
            return Range(
                bounds.attribute,
                bounds.min if bounds.HasField("min") else None,
                bounds.max if bounds.HasField("max") else None,
                bounds.include_unknown,
            )
        case "in_stock":
            return InStock(message.in_stock)
        case "tenant":
            return OfTenant(message.tenant)
    raise InvalidInputError(field, "has an empty condition")


def filter_to_proto(condition: Filter | None) -> common.Filter:
    """The inverse of `filter_from_proto`."""
    match condition:
        case None:
            return common.Filter()
        case AllOf(filters):
            parts = common.FilterList(filters=[filter_to_proto(part) for part in filters])
            return common.Filter(all_of=parts)
        case AnyOf(filters):
            parts = common.FilterList(filters=[filter_to_proto(part) for part in filters])
            return common.Filter(any_of=parts)
        case Not(part):
            return common.Filter(negated=filter_to_proto(part))
        case In(attribute, values):
            chosen = common.AttributeIn(attribute=attribute, values=values)
            return common.Filter(is_in=chosen)
        case Range(attribute, low, high, include_unknown):
            bounds = common.NumericRange(
                attribute=attribute, min=low, max=high, include_unknown=include_unknown
            )
            return common.Filter(range=bounds)
        case InStock(in_stock):
            return common.Filter(in_stock=in_stock)
        case OfTenant(tenant):
            return common.Filter(tenant=tenant)


def item_to_proto(item: Item) -> common.Item:
    """An item as shown to people; unknown texts are empty, unknown numbers absent."""
    return common.Item(
        item_id=item.item_id,
        title=item.title,
        description=item.description or "",
        brand=item.brand or "",
        gender=item.gender or "",
        master_category=item.master_category or "",
        sub_category=item.sub_category or "",
        article_type=item.article_type or "",
        colour=item.colour or "",
        season=item.season or "",
        usage=item.usage or "",
        year=item.year,
        price=item.price,
        currency=item.currency or "",
        variant_group=item.variant_group,
        in_stock=item.in_stock,
        tenant=item.tenant or "",
    )


def item_from_proto(message: common.Item) -> Item:
    """The inverse of `item_to_proto`."""
    return Item(
        item_id=message.item_id,
        title=message.title,
        description=message.description or None,
        brand=message.brand or None,
        gender=message.gender or None,
        master_category=message.master_category or None,
        sub_category=message.sub_category or None,
        article_type=message.article_type or None,
        colour=message.colour or None,
        season=message.season or None,
        usage=message.usage or None,
        year=message.year if message.HasField("year") else None,
        price=message.price if message.HasField("price") else None,
        currency=message.currency or None,
        variant_group=message.variant_group,
        in_stock=message.in_stock,
        tenant=message.tenant or None,
    )


def rows_of(ids: Iterable[str], catalogue: ItemIds, field: str) -> Rows:
    """Rows of items, in order. Raises InvalidInputError naming the first that is not there."""
    rows = []
    for place, item_id in enumerate(ids):
        row = catalogue.row_of.get(item_id)
        if row is None:
            raise InvalidInputError(f"{field}[{place}]", f"unknown item {item_id!r}")
        rows.append(row)
    return np.array(rows, dtype=np.int32)


def known_rows_of(ids: Iterable[str], catalogue: ItemIds) -> Rows:
    """Rows of those items that are in the catalogue."""
    found = (catalogue.row_of.get(item_id) for item_id in ids)
    return np.array([row for row in found if row is not None], dtype=np.int32)


def ids_of(rows: Rows, catalogue: ItemIds) -> list[str]:
    """Ids of rows, in order."""
    item_ids = catalogue.item_ids
    return [item_ids[row] for row in rows.tolist()]
