"""A style that a shopper of the demo likes: found in the catalogue, whatever catalogue it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hemline.catalogue import Catalogue, Item
from hemline.errors import CatalogueError

if TYPE_CHECKING:
    from hemline.v1.recommender_pb2 import RecommendResponse

CLICKS = 5
ENOUGH_ITEMS = 20
ENOUGH_OF_A_COLOUR = 2 * CLICKS  # what is clicked is not shown again: some must be left

Kind = tuple[str, str]  # gender, article type


@dataclass(frozen=True)
class Style:
    """items: in stock, sizes counted once. clicks: ids of different products.

    colour: of all clicks; empty where no colour has enough items.
    """

    gender: str
    article_type: str
    colour: str
    items: int
    clicks: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.colour or 'all'} {self.article_type} of {self.gender}".lower()


def choose_style(catalogue: Catalogue, not_like: Sequence[str]) -> Style:
    """A large kind of garment that none of the items `not_like` is of, in its commonest colour.

    The largest with enough items of one colour; without such, the largest, in all colours.
    Raises CatalogueError when no kind has enough items.
    """
    products = _products(catalogue)
    shown = {_kind(catalogue.item(catalogue.row_of[item_id])) for item_id in not_like}
    counts = Counter(_kind(item) for item in products)
    kinds = [
        kind
        for kind, count in counts.most_common()
        if count >= ENOUGH_ITEMS and all(kind) and kind not in shown
    ]
    if not kinds:
        raise CatalogueError(f"no other kind of garment in the catalogue has {ENOUGH_ITEMS} items")
    for kind in kinds:
        of_kind = [item for item in products if _kind(item) == kind]
        [(colour, count)] = Counter(item.colour for item in of_kind).most_common(1)
        if colour and count >= ENOUGH_OF_A_COLOUR:
            of_colour = [item for item in of_kind if item.colour == colour]
            return _style(kind, colour, of_colour)
    return _style(kinds[0], "", [item for item in products if _kind(item) == kinds[0]])


def _style(kind: Kind, colour: str, items: Sequence[Item]) -> Style:
    clicks = tuple(item.item_id for item in items[:CLICKS])
    return Style(kind[0], kind[1], colour, len(items), clicks)


def share(answer: RecommendResponse, attribute: str, value: str) -> float:
    """The part of an answer's items, 0 to 1, whose attribute has the value."""
    matching = [scored for scored in answer.items if getattr(scored.item, attribute) == value]
    return len(matching) / max(1, len(answer.items))


def _products(catalogue: Catalogue) -> list[Item]:
    """Items in stock, the first of each variant group, in the catalogue's order."""
    first: dict[str, Item] = {}
    for item in catalogue.items():
        if item.in_stock:
            first.setdefault(item.variant_group, item)
    return list(first.values())


def _kind(item: Item) -> Kind:
    return item.gender or "", item.article_type or ""
