"""An item in words, for CLIP."""

from __future__ import annotations

import re
from typing import Protocol


class Described(Protocol):
    """What `item_text` reads: an `Item`, or anything else that is described the same way."""

    @property
    def title(self) -> str: ...
    @property
    def brand(self) -> str | None: ...
    @property
    def gender(self) -> str | None: ...
    @property
    def article_type(self) -> str | None: ...
    @property
    def sub_category(self) -> str | None: ...
    @property
    def colour(self) -> str | None: ...
    @property
    def usage(self) -> str | None: ...


_WORD = re.compile(r"\w+")


def item_text(item: Described) -> str:
    """The one text CLIP reads for an item, in training, in a release, and for live items alike.

    The title, then the attributes in lower case that add a word to what is already said:
    "Mother Earth Women Aug Bagru Red Kurtas, topwear, ethnic".
    """
    parts = [item.title]
    said = set(_WORD.findall(item.title.lower()))
    for value in (
        item.brand,
        item.gender,
        item.article_type,
        item.sub_category,
        item.colour,
        item.usage,
    ):
        lowered = (value or "").lower()
        words = _WORD.findall(lowered)
        if not said.issuperset(words):
            parts.append(" ".join(lowered.split()))
            said.update(words)
    return ", ".join(parts)
