"""Which items are one product, so that an answer shows it once.

Two signs are trusted: the very same photo, byte for byte, on items of one article type (sizes and
re-listings), and beauty titles that differ in "50 ml" against "100 ml" alone. Two that look
tempting are not, both tried on the real catalogue: equal titles ("Lucera Women Silver Earrings" is
82 different designs) and nearly equal thumbnails (mean difference below 1.5 of 255: 52 pairs
outside jewellery, many of them other colourways; above it, different ties and wallets).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from hemline.catalogue import Item
from hemline_training.catalogue.report import ImportReport

_AMOUNT = re.compile(r"\b\d+(?:\.\d+)? ?(?:ml|gm?)\b")


def with_variant_groups(
    items: list[Item], digest_of: Mapping[str, bytes], report: ImportReport
) -> list[Item]:
    """The items with `variant_group` set to the item_id of the group's first item.

    `digest_of`: fingerprint of each item's image, absent for items without one.
    """
    groups = _Groups()
    by_picture: dict[bytes, list[Item]] = {}
    for item in items:
        if item.item_id in digest_of:
            by_picture.setdefault(digest_of[item.item_id], []).append(item)
    for alike in by_picture.values():
        first_of_type: dict[str | None, Item] = {}
        for item in alike:
            first = first_of_type.setdefault(item.article_type, item)
            if first is not item:
                groups.join(first.item_id, item.item_id)
                report.count("noted", "same picture as an earlier item: its variant", item.title)
        if len(first_of_type) > 1:
            example = " = ".join(item.title for item in first_of_type.values())
            report.count("noted", "same picture under two article types: kept apart", example)

    for bottles in _same_but_for_amount(items):
        for item in bottles[1:]:
            groups.join(bottles[0].item_id, item.item_id)
            report.count("noted", "same product in another amount: its variant", item.title)
    return [replace(item, variant_group=groups.first(item.item_id)) for item in items]


def _same_but_for_amount(items: list[Item]) -> list[list[Item]]:
    alike: dict[tuple[str, str | None], dict[str, list[Item]]] = {}
    for item in items:
        title = item.title.lower()
        amount = _AMOUNT.search(title)
        if item.master_category == "Personal Care" and amount is not None:
            rest = " ".join(_AMOUNT.sub(" ", title).split())
            amounts = alike.setdefault((rest, item.article_type), {})
            amounts.setdefault(amount.group(), []).append(item)
    return [
        [bottle for [bottle] in amounts.values()]
        for amounts in alike.values()
        # The same title twice in one amount: then the title does not name one product.
        if len(amounts) > 1 and all(len(same) == 1 for same in amounts.values())
    ]


class _Groups:
    """Union of pairs; every group goes by its first-joined member."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def first(self, item_id: str) -> str:
        while (parent := self._parent.get(item_id, item_id)) != item_id:
            item_id = parent
        return item_id

    def join(self, earlier: str, later: str) -> None:
        self._parent[self.first(later)] = self.first(earlier)
