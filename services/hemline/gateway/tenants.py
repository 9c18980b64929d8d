"""What a caller sees and may change: items of its API key's tenant, and items of none.

To others, an item of a tenant is as unknown as one that is not there. Without API keys there are no
tenants to tell apart, and everybody sees everything.
"""

from __future__ import annotations

from hemline.boundary import CALLER
from hemline.catalogue import Item
from hemline.errors import InvalidInputError
from hemline.filters import Filter, OfTenant, tenants_named
from hemline.live_view import LiveView
from hemline.v1 import common_pb2
from hemline.wire import filter_from_proto


def own_tenant() -> str | None:
    """The tenant of the present caller's API key; None: it may see everything."""
    caller = CALLER.get()
    return caller.tenant if caller is not None else None


def own_items() -> tuple[Filter, ...]:
    """What limits the present caller to the items it may see: a filter, or nothing."""
    tenant = own_tenant()
    return () if tenant is None else (OfTenant(tenant),)


def own_filter(message: common_pb2.Filter) -> Filter | None:
    """The caller's filter. Raises InvalidInputError where it names another tenant."""
    condition = filter_from_proto(message)
    tenant = own_tenant()
    if tenant is not None:
        for named in tenants_named(condition) - {tenant}:
            raise InvalidInputError(
                "filter.tenant", f"is {named!r}, and this API key is of {tenant!r}; leave it out"
            )
    return condition


def visible(row: int | None, view: LiveView) -> bool:
    """Whether the caller sees the item of a row; None: there is no such item."""
    tenant = own_tenant()
    if row is None or tenant is None:
        return row is not None
    return view.tenant(row) in (None, tenant)


def check_visible(field: str, item_id: str, view: LiveView) -> None:
    """Raises InvalidInputError for an item of another tenant, be it a deleted one."""
    row = view.row_of.get(item_id)
    if row is not None and row < len(view) and not visible(row, view):
        raise InvalidInputError(field, f"unknown item {item_id!r}")


def check_may_become(item: Item, view: LiveView) -> None:
    """Raises InvalidInputError naming the field when the caller must not make an item this."""
    tenant = own_tenant()
    if tenant is None:
        return
    if item.tenant not in (None, tenant):
        raise InvalidInputError(
            "item.tenant", f"is {item.tenant!r}, and this API key is of {tenant!r}"
        )
    row = view.row(item.item_id)
    if row is not None and not visible(row, view):
        raise InvalidInputError(
            "item.item_id", f"{item.item_id!r} is an item of another tenant; choose another id"
        )
