"""What a product's title says: the brand it begins with and for whom it is made."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable

# Titles of this trade read "BRAND GENDER rest"; these are the words that end the brand.
_GENDER_WORDS = {
    "men": "Men",
    "mens": "Men",
    "women": "Women",
    "womens": "Women",
    "woman": "Women",
    "boy": "Boys",
    "boys": "Boys",
    "girl": "Girls",
    "girls": "Girls",
    "grils": "Girls",
    "unisex": "Unisex",
    "kid": "Kids",
    "kids": "Kids",
}
_GLUED = re.compile(
    r"(?<=[a-z])(?=(?:Men|Women|Boys|Girls|Unisex|Kids)\b)"  # "JonyBoys Check"
    r"|(?<=\bMen)(?=[A-Z][a-z])|(?<=\bWomen)(?=[A-Z][a-z])"  # "MenCasual"
    r"|(?<=\bBoys)(?=[A-Z][a-z])|(?<=\bGirls)(?=[A-Z][a-z])"
)
_FOR_HER = re.compile(r"\bfor her\b", re.IGNORECASE)
# What gets into a title column by accident: a header, a test row, a picture's file name.
_PLACEHOLDER = re.compile(
    r"productdisplayname|\bdispname\b|\.(?:jpe?g|png|webp|gif)$", re.IGNORECASE
)
_POSSESSIVE = re.compile(r"['’]s\b|['’](?=\s|$)")

# A brand name that begins with another brand's name and is another house. Every other longer name
# ("Casio Enticer", "Adidas Originals", "Turtle Solid") is a line of the shorter one.
_HOUSES_OF_THEIR_OWN = {"leecooper", "leecooperjuniors", "littlemiss", "redrose", "redtape"}
# Spellings that no rule of spelling brings together.
_SAME_BRAND = {
    "ucb": "unitedcolorsofbenetton",
    "mr": "mrmen",
    "provouge": "provogue",
    "chromozone": "chromozome",
    "visudh": "vishudh",
    "hugoboss": "boss",
}
_NEVER_BRANDS = {"strapless"}  # begins titles that leave their brand out
_LONGEST_BRAND_WORDS = 5


def clean_title(title: str) -> str:
    """Entities decoded, control characters and runs of white space made one blank, ends trimmed."""
    text = html.unescape(title)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def unglue_gender(title: str) -> str:
    """The title with the blank that a gender word lost: "JonyBoys Check" -> "Jony Boys Check"."""
    return _GLUED.sub(" ", title)


def is_placeholder(title: str) -> bool:
    """Whether the title is no product's name but a header, a test entry or a file name."""
    return _PLACEHOLDER.search(title) is not None


def is_for_children(title: str) -> bool:
    """Whether the title says Kids, Boys or Girls anywhere."""
    return any(_gender_word(word) in ("Kids", "Boys", "Girls") for word in title.split())


def gender_of_title(title: str, brand_words: int = 0) -> str | None:
    """ "Men", "Women", "Boys", "Girls" or "Unisex" if the title says so after its brand.

    The first gender word wins ("Enamor Women Brown Boy Shorts" is for women), but a bare "Kids"
    gives way to a later word ("Levis Kids Girl's") and alone says nothing (None).
    """
    for word in title.split()[brand_words:]:
        gender = _gender_word(word)
        if gender is not None and gender != "Kids":
            return gender
    return "Women" if _FOR_HER.search(title) else None


def _gender_word(word: str) -> str | None:
    parts = _POSSESSIVE.sub("", word.lower()).strip(",.()").split("-")
    genders = [_GENDER_WORDS[part] for part in parts if part in _GENDER_WORDS]
    return genders[-1] if genders else None  # "Kids-Girls" is for girls


class BrandVocabulary:
    """Brands known from how often titles begin with them.

    Two sources: the words before a gender word, which need `min_count` titles, and, in titles
    without one, the longest beginning that `min_shared` titles have in common before they branch
    out. What is rarer is more often a typo or a product line than a brand, and is left unknown.
    """

    def __init__(
        self,
        titles: Iterable[str],
        ordinary: Iterable[str] = (),
        min_count: int = 3,
        min_shared: int = 5,
    ) -> None:
        """`ordinary`: words (colours, article types) that never are a brand by themselves."""
        spellings: dict[str, Counter[str]] = {}
        openings: list[list[str]] = []
        self._ordinary = {_key([word]) for word in ordinary} | _NEVER_BRANDS
        for title in titles:
            words = title.split()
            place = next((i for i, w in enumerate(words) if _gender_word(w)), None)
            if place is None:
                openings.append(words)
            elif 0 < place <= _LONGEST_BRAND_WORDS:
                _count(spellings, words[:place])
        for words in _shared_openings(openings, min_shared):
            _count(spellings, words)
        counts = {key: sum(c.values()) for key, c in spellings.items()}
        self._names = {
            key: min(c.items(), key=lambda e: (-e[1], e[0]))[0]
            for key, c in spellings.items()
            if counts[key] >= min_count and key not in self._ordinary and len(key) > 0
        }

    def brand_of(self, title: str) -> tuple[str | None, int]:
        """The title's brand (or None) and how many words of the title it takes up."""
        words = title.split()
        found: tuple[str | None, int] = (None, 0)
        for n in range(1, min(_LONGEST_BRAND_WORDS, len(words)) + 1):
            key = _key(words[:n])
            key = _SAME_BRAND.get(key, key)
            if key in self._names and (found[0] is None or key in _HOUSES_OF_THEIR_OWN):
                found = (self._names[key], n)
            if _gender_word(words[n - 1]):
                break
        return found

    def __len__(self) -> int:
        return len(self._names)


def _key(words: Iterable[str]) -> str:
    """One key for "Inc. 5", "Inc 5" and "Inc.5"; for "Gini & Jony" and "Gini and Jony"."""
    return re.sub(r"[^a-z0-9]", "", "".join(words).lower().replace("&", "and"))


def _count(spellings: dict[str, Counter[str]], words: list[str]) -> None:
    spellings.setdefault(_key(words), Counter())[" ".join(words)] += 1


def _shared_openings(openings: list[list[str]], min_count: int) -> list[list[str]]:
    """For each title the longest opening that at least `min_count` titles share unbranched."""
    followers: dict[tuple[str, ...], Counter[str]] = {}
    for words in openings:
        for n in range(1, min(_LONGEST_BRAND_WORDS, len(words) - 1) + 1):
            lowered = tuple(w.lower() for w in words[: n + 1])
            followers.setdefault(lowered[:n], Counter())[lowered[n]] += 1
    shared = []
    for words in openings:
        n = 1
        while n < min(_LONGEST_BRAND_WORDS, len(words) - 1):
            following = followers[tuple(w.lower() for w in words[:n])]
            if following.total() < min_count or max(following.values()) < 0.8 * following.total():
                break
            n += 1
        if len(words) > 1 and followers[tuple(w.lower() for w in words[:n])].total() >= min_count:
            shared.append(words[:n])
    return shared
