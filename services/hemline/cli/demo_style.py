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

Kind = tuple[str, str]  # gender, article type


@dataclass(frozen=True)
class Style:
    """items: in stock, sizes counted once. clicks: ids of different products, of one colour if five
    are. colour: empty unless so many items have it that some are left to be shown."""

    gender: str
    article_type: str
    colour: str
    items: int
    clicks: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.article_type} for {self.gender}".strip().lower()


def choose_style(catalogue: Catalogue, not_like: Sequence[str]) -> Style:
    """The kind of garment that fewest of the items `not_like` are of, and of such the largest, in
    its commonest colour.

    Raises CatalogueError when no kind has enough items.
    """
    products = _products(catalogue)
    shown = Counter(_kind(catalogue.item(catalogue.row_of[item_id])) for item_id in not_like)
    counts = Counter(kind for item in products if all(kind := _kind(item)))
    kinds = [kind for kind, count in counts.most_common() if count >= ENOUGH_ITEMS]
    if not kinds:
        raise CatalogueError(f"no kind of garment in the catalogue has {ENOUGH_ITEMS} items")
    kind = min(kinds, key=lambda kind: shown[kind])
    of_kind = [item for item in products if _kind(item) == kind]
    [(colour, _)] = Counter(item.colour or "" for item in of_kind).most_common(1)
    of_colour = [item for item in of_kind if item.colour == colour]
    clicked = of_colour if len(of_colour) >= CLICKS else of_kind
    enough = len(of_colour) >= ENOUGH_ITEMS
    return Style(
        gender=kind[0],
        article_type=kind[1],
        colour=colour if enough else "",
        items=len(of_colour if enough else of_kind),
        clicks=tuple(item.item_id for item in clicked[:CLICKS]),
    )


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
