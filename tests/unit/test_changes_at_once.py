"""What was acknowledged is shown at once, and many acknowledgements cost one view."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np

from hemline.catalogue import Item
from hemline.changed_items import ChangedItems
from hemline.gateway.at_once import AtOnce
from hemline.live_items import LiveItems
from hemline.releases import Release
from live_changes import new_state
from small_world import item_id


def priced(items: LiveItems, name: str, price: float) -> Item:
    row = items.view.row(name)
    assert row is not None
    return dataclasses.replace(items.view.item(row), price=price)


async def test_changes_acknowledged_together_make_one_view_and_keep_their_vectors(
    small_release: Release,
) -> None:
    items = LiveItems(small_release)
    at_once = AtOnce(items)
    names = [item_id("dress", number) for number in range(6)]
    before = items.view.item_content[np.arange(20)]
    await asyncio.gather(
        *(at_once.show(name, priced(items, name, 7.5), 10 + n) for n, name in enumerate(names)),
        at_once.show(item_id("boots", 1), None, 40),
    )
    view = items.view
    assert view.number == 1 and view.row(item_id("boots", 1)) is None
    assert [view.item(view.row_of[name]).price for name in names] == [7.5] * 6
    np.testing.assert_array_equal(view.item_content[np.arange(20)], before)


async def test_the_newest_of_several_changes_of_an_item_is_shown(small_release: Release) -> None:
    items = LiveItems(small_release)
    at_once, name = AtOnce(items), item_id("dress", 2)
    states = [(priced(items, name, float(order)), order) for order in (5, 7, 6)]
    await asyncio.gather(*(at_once.show(name, item, order) for item, order in states))
    assert items.view.item(items.view.row_of[name]).price == 7.0


async def test_an_item_that_comes_back_waits_for_its_new_vectors(small_release: Release) -> None:
    items = LiveItems(small_release)
    at_once, name = AtOnce(items), item_id("dress", 2)
    again = priced(items, name, 3.0)
    await asyncio.gather(at_once.show(name, None, 5), at_once.show(name, again, 6))
    assert items.view.row(name) is None


async def test_a_caller_that_goes_away_does_not_keep_others_waiting(small_release: Release) -> None:
    items = LiveItems(small_release)
    at_once = AtOnce(items)
    names = [item_id("dress", number) for number in range(3)]
    waiting = [
        asyncio.ensure_future(at_once.show(name, priced(items, name, 2.0), 1)) for name in names
    ]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert [items.view.item(items.view.row_of[name]).price for name in names] == [2.0] * 3


def test_slots_written_anew_say_what_the_old_ones_said(small_release: Release) -> None:
    dims = {s: small_release.vectors(s).shape[1] for s in small_release.spaces}
    changed = ChangedItems(dims)
    for seed in range(400):
        state = new_state(f"n{seed}", ("Red", None, "Mauve")[seed % 3], seed=seed)
        assert state.item is not None
        changed.append(seed, state.item, state.vectors())
    slots = np.array([3, 4, 8, 299, 398])
    old, new = changed.columns(), changed.only(slots).columns()
    assert new.generation is not old.generation and len(new) == 5
    assert [item.item_id for item in new.items] == ["n3", "n4", "n8", "n299", "n398"]
    assert new.rows.tolist() == slots.tolist()
    for space in dims:
        np.testing.assert_array_equal(new.vectors[space], old.vectors[space][slots])
    for columns, places in ((old, slots), (new, np.arange(5))):
        codes, values = columns.codes("colour"), columns.values("colour")
        shown = [values[code] if code >= 0 else None for code in codes[places].tolist()]
        assert shown == ["Red", None, "Mauve", "Mauve", "Mauve"]
    for name in ("price", "year", "in_stock"):
        np.testing.assert_array_equal(getattr(new, name), getattr(old, name)[slots])


def test_slots_written_anew_go_on_growing(small_release: Release) -> None:
    dims = {s: small_release.vectors(s).shape[1] for s in small_release.spaces}
    changed = ChangedItems(dims)
    state = new_state("a", "Teal", seed=1)
    assert state.item is not None
    changed.append(7, state.item, state.vectors())
    kept = changed.only(np.arange(0))
    for seed in range(600):
        slot = kept.append(seed, state.item, state.vectors())
    columns = kept.columns()
    assert slot == 599 and len(columns) == 600
    assert set(columns.codes("colour").tolist()) == {0} and columns.values("colour") == ["Teal"]
