"""What is said about a product in training, and of which other products it would be true as well.

Shoppers do not type titles: they type "women red dress" or "brown leather shoes". So each product
is described twice a step: once by its title (whole, with attributes, or without the brand), once
by a phrase made of some of its attributes. A caption carries its *claims*, one code an attribute
and `ANY` where it says nothing; comparing claims with the codes of all photos of a batch tells
which of them the caption fits (see loss.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline.catalogue import Catalogue
from hemline.item_text import item_text

ANY = -1  # in claims: nothing said; in codes: not known
# Which colour a shopper would call it; the exact name is the shade.
COLOUR_OF_SHADE = {
    "navy blue": "blue", "turquoise blue": "blue", "teal": "blue", "sea green": "green",
    "lime green": "green", "fluorescent green": "green", "olive": "green", "maroon": "red",
    "burgundy": "red", "coffee brown": "brown", "mushroom brown": "brown", "tan": "brown",
    "rust": "brown", "off white": "white", "cream": "white", "grey melange": "grey",
    "charcoal": "grey", "steel": "silver", "metallic": "silver", "lavender": "purple",
    "mauve": "purple", "magenta": "pink", "rose": "pink", "peach": "pink", "mustard": "yellow",
    "khaki": "beige", "nude": "beige", "skin": "beige", "taupe": "beige", "copper": "bronze",
}  # fmt: skip
GENDER_WORDS = {
    "men": ("men", "man", "mens", "men's", "male"),
    "women": ("women", "woman", "womens", "women's", "ladies"),
    "boys": ("boys", "boy", "boy's"),
    "girls": ("girls", "girl", "girl's"),
    "unisex": ("unisex",),
}
# Stands in titles, seen in photos, in no attribute.
DETAILS = (
    "leather", "canvas", "denim", "suede", "cotton", "silk", "printed", "striped", "solid",
    "checked", "check", "polo", "floral", "embroidered", "mesh", "analogue", "chronograph",
)  # fmt: skip
# One code a detail: what a title does not mention may be there all the same, so it is never wrong.
CLAIMS = (
    "product", "gender", "colour", "shade", "sub_category", "article_type", "usage", *DETAILS
)  # fmt: skip
# Said of more than one article type, so they claim the sub-category only.
BROAD_NAMES = frozenset({"shoes", "sneakers", "bag", "bags", "fragrance"})
NAMES = {
    "tshirts": ("t-shirt", "tshirt", "t-shirts", "tee"),
    "sports shoes": ("sports shoes", "running shoes", "sneakers", "trainers"),
    "casual shoes": ("casual shoes", "shoes", "sneakers"),
    "formal shoes": ("formal shoes", "shoes", "dress shoes"),
    "perfume and body mist": ("perfume", "body mist", "fragrance"),
    "innerwear vests": ("innerwear vest", "vest"),
    "necklace and chains": ("necklace", "chain"),
    "kajal and eyeliner": ("kajal", "eyeliner"),
    "trousers": ("trousers", "pants"),
    "track pants": ("track pants", "joggers"),
    "sweatshirts": ("sweatshirt", "hoodie"),
    "sweaters": ("sweater", "pullover", "jumper"),
    "handbags": ("handbag", "bag", "purse"),
    "flip flops": ("flip flops", "slippers"),
    "sarees": ("saree", "sari"),
}
_PLURAL = re.compile(r"(ss|sh|ch|x)es$")
_WORD = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Captions:
    """Texts of a batch and what they claim: int32 (B, len(CLAIMS))."""

    texts: list[str]
    claims: npt.NDArray[np.int32]


class Captioner:
    """Makes captions of catalogue rows; `codes` is int32 (n, len(CLAIMS)), ANY where unknown.

    `product` is int32 (n,): equal for rows that show or say the same (see data.same_product).
    """

    def __init__(self, catalogue: Catalogue, product: npt.NDArray[np.int32]) -> None:
        self._titles = catalogue.titles
        self._texts = [item_text(item) for item in catalogue.items()]
        self._attributes = [
            [None if code < 0 else values[code].lower() for code in catalogue.codes(name)]
            for name in ("gender", "colour", "sub_category", "article_type", "usage")
            for values in [catalogue.values(name)]
        ]
        gender, shade, sub_category, article_type, usage = self._attributes
        colour = [None if s is None else COLOUR_OF_SHADE.get(s, s) for s in shade]
        self._colour = colour
        columns = [_codes(c) for c in (gender, colour, shade, sub_category, article_type, usage)]
        said = [set(_WORD.findall(title.lower())) for title in self._titles]
        details = [
            np.array([0 if d in words else ANY for words in said], np.int32) for d in DETAILS
        ]
        self.codes = np.stack([product, *columns, *details], axis=1)
        unisex = np.array([g == "unisex" for g in gender])
        self.codes[unisex, CLAIMS.index("gender")] = ANY  # may be worn by whoever was asked for
        self._prompts = {
            "article_type": _vocabulary(article_type, _exact_names),
            "shade": _vocabulary(shade, lambda v: (v,)),
        }
        self._names = {a: names_of(a) for a in {*article_type, *sub_category} if a is not None}

    def texts(self) -> list[str]:
        """Every text that training may show, for the tokenizer's corpus (phrases once each)."""
        rng = np.random.default_rng(0)
        phrases = {w for names in self._names.values() for n in names for w in _WORD.findall(n)}
        words = [w for group in GENDER_WORDS.values() for w in group] + [*phrases, *DETAILS]
        rows = np.arange(len(self._titles))
        return self._texts + self.phrases(rows, rng).texts + 2 * words

    def titles(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Captions:
        """The title (0.3), title and attributes (0.4), or the title without its brand (0.3)."""
        texts = []
        for row, u in zip(rows, rng.random(len(rows)), strict=True):
            title = self._titles[row]
            if u < 0.4:
                title = self._texts[row]
            elif u < 0.7:
                title = without_brand(title)
            texts.append(title)
        claims = np.full((len(rows), len(CLAIMS)), ANY, np.int32)
        claims[:, 0] = self.codes[rows, 0]
        return Captions(texts, claims)

    def phrases(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Captions:
        """Attribute phrases as a shopper types them: "women red dress", "blue jeans for men"."""
        made = [self._phrase(int(row), rng) for row in rows]
        return Captions([text for text, _ in made], np.array([c for _, c in made], np.int32))

    def prompts(
        self, attribute: str, rows: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[list[str], npt.NDArray[np.int64]]:
        """One name for every value of "article_type" or "shade", and which is each row's (or -1).

        A rare value is in few batches' captions; as one of these prompts it is an answer to get
        wrong in every batch. Without them unseen names drift to the middle of the photos and
        attract whatever is ambiguous.
        """
        values, names = self._prompts[attribute]
        codes = self.codes[rows, CLAIMS.index(attribute)].astype(np.int64)
        return [_pick(names[value], rng) for value in values], codes

    def _phrase(self, row: int, rng: np.random.Generator) -> tuple[str, list[int]]:
        gender, shade, sub_category, article_type, usage = (a[row] for a in self._attributes)
        colour = self._colour[row]
        u = rng.random(7)
        claims = [ANY] * len(CLAIMS)
        words: dict[str, str] = {}

        def claim(name: str) -> None:
            claims[CLAIMS.index(name)] = int(self.codes[row, CLAIMS.index(name)])

        broad = sub_category is not None and u[0] < 0.2
        noun = sub_category if broad or article_type is None else article_type
        if noun is None:
            return self._titles[row], [int(self.codes[row, 0]), *claims[1:]]
        claim("sub_category" if noun is sub_category else "article_type")
        noun = _pick(self._names[noun], rng)
        if noun in BROAD_NAMES:
            claims[CLAIMS.index("article_type")] = ANY
            claim("sub_category")
        if gender is not None and u[1] < 0.6:
            words["gender"] = _pick(GENDER_WORDS.get(gender, (gender,)), rng)
            claim("gender")
        if shade is not None and u[2] < 0.75:
            exact = u[3] < 0.5
            words["colour"] = shade if exact else str(colour)
            claim("shade" if exact and shade != colour else "colour")
        if u[4] < 0.3:
            first = CLAIMS.index(DETAILS[0])
            said = np.flatnonzero(self.codes[row, first:] != ANY)
            if len(said):
                words["detail"] = detail = DETAILS[int(said[0])]
                claim(detail)
        if usage is not None and u[5] < 0.15:
            words["usage"] = usage
            claim("usage")
        order = ["gender", "colour", "usage", "detail"]
        if u[6] < 0.25 and "gender" in words:
            order.remove("gender")
            noun = f"{noun} for {words['gender']}"
        elif u[6] < 0.4:
            order = ["colour", "detail", "gender", "usage"]
        return " ".join([*(words[k] for k in order if k in words), noun]), claims


def fits(
    claims: npt.NDArray[np.int32], codes: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(caption i is true of photo j, caption i may be true of photo j), both bool (B, B).

    claims: int32 (B, A), ANY where the caption says nothing; codes: int32 (B, A), ANY where the
    photo's attribute is not known. A caption is always true of its own photo.
    """
    said = claims[:, None, :] != ANY
    known = codes[None, :, :] != ANY
    wrong = (said & known & (claims[:, None, :] != codes[None, :, :])).any(axis=2)
    unsure = (said & ~known).any(axis=2)
    true, maybe = ~wrong & ~unsure, ~wrong & unsure
    np.fill_diagonal(true, True)
    np.fill_diagonal(maybe, False)
    return true, maybe


def names_of(category: str) -> tuple[str, ...]:
    """What shoppers call a category, the shop's own name included: "dresses" -> dresses, dress."""
    names = NAMES.get(category, ())
    return tuple(dict.fromkeys([category, singular(category), *names]))


def _exact_names(article_type: str) -> tuple[str, ...]:
    return tuple(n for n in names_of(article_type) if n not in BROAD_NAMES) or (article_type,)


def singular(noun: str) -> str:
    """A plural category name in the singular; names that have none come back unchanged."""
    if noun in (
        "jeans",
        "shorts",
        "trousers",
        "leggings",
        "briefs",
        "sunglasses",
        "capris",
        "lips",
    ):
        return noun
    if noun.endswith(("scarves", "scarfs")):
        return "scarf"
    if noun.endswith("ies") and noun != "ties":
        return noun[:-3] + "y"
    if _PLURAL.search(noun):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun


def without_brand(title: str) -> str:
    """The title from its first gender word on ("Puma Men Black Cap" -> "Men Black Cap")."""
    words = title.split()
    for index, word in enumerate(words[:-1]):
        if word.lower() in ("men", "women", "boys", "girls", "unisex", "men's", "women's", "kids"):
            return " ".join(words[index:])
    return title


def _vocabulary(
    values: Sequence[str | None], names: Callable[[str], tuple[str, ...]]
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """The distinct values, in the order of their codes, and what each is called."""
    distinct = sorted({v for v in values if v is not None})
    return distinct, {value: names(value) for value in distinct}


def _codes(values: Sequence[str | None]) -> npt.NDArray[np.int32]:
    order = {value: code for code, value in enumerate(sorted({v for v in values if v is not None}))}
    return np.array([ANY if v is None else order[v] for v in values], np.int32)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
