"""What was acknowledged, shown at once: all of one turn of the event loop in one step.

The log acknowledges many changes together. Each new view of the items costs a copy of some bytes a
row, and the next search its masks, so a view for each change would be most of what a change costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hemline.catalogue import Item
from hemline.live_change import Change
from hemline.live_items import LiveItems


@dataclass(frozen=True, eq=False)
class _Acknowledged:
    """item None: deleted. order: of its record in the topic."""

    item_id: str
    item: Item | None
    order: int
    shown: asyncio.Future[None]


class AtOnce:
    """Applies what was acknowledged to live items. For the thread of the event loop alone."""

    def __init__(self, items: LiveItems) -> None:
        self.items = items
        self._waiting: list[_Acknowledged] = []

    async def show(self, item_id: str, item: Item | None, order: int) -> None:
        """Returns once answers go by an item's new state, with the vectors it had; None: it was
        deleted. An item that had none is left to the indexer."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._apply)
        shown = loop.create_future()
        self._waiting.append(_Acknowledged(item_id, item, order, shown))
        await shown

    def _apply(self) -> None:
        acknowledged, self._waiting = self._waiting, []
        try:
            self.items.apply(self._changes(acknowledged))
        except Exception as error:
            for each in acknowledged:
                if not each.shown.done():
                    each.shown.set_exception(error)
        else:
            for each in acknowledged:
                if not each.shown.done():  # its caller was cancelled
                    each.shown.set_result(None)

    def _changes(self, acknowledged: Sequence[_Acknowledged]) -> list[Change]:
        view = self.items.view
        changes: list[Change] = []
        gone: set[str] = set()  # what comes back after that has no vectors before the indexer's
        for each in acknowledged:
            row = view.row(each.item_id)
            if each.item is None:
                gone.add(each.item_id)
                changes.append(Change(each.item_id, None, order=each.order))
            elif row is not None and each.item_id not in gone:
                changes.append(view.with_vectors_of(row, each.item, each.order))
        return changes
