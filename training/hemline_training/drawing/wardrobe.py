"""Every kind of garment the demo shop sells, and where it stands in a shop.

Categories are named as the real catalogue names them, so that demo and real items filter alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hemline_training.drawing import looks


@dataclass(frozen=True)
class Kind:
    """A kind of garment. `share` is its weight among all designs, `prices` a range in euro."""

    article_type: str
    sub_category: str
    master_category: str
    share: float
    genders: tuple[str, ...]
    prices: tuple[float, float]
    usages: tuple[str, ...]
    colours: tuple[str, ...]
    patterns: tuple[str, ...]
    materials: tuple[str, ...]
    design: Callable[[Random], looks.Look]
    seasons: tuple[str, ...] = ("Spring", "Summer", "Fall", "Winter")


BASICS = ("Black", "White", "Grey", "Navy Blue", "Beige", "Olive", "Charcoal", "Blue")
BRIGHTS = (
    "Red",
    "Yellow",
    "Green",
    "Teal",
    "Pink",
    "Orange",
    "Purple",
    "Turquoise Blue",
    "Magenta",
)
SOFT = ("Cream", "Peach", "Lavender", "Pink", "Off White", "Mustard", "Rust", "Maroon")
LEATHERS = ("Black", "Brown", "Tan", "Burgundy", "Beige", "Navy Blue")
SUITING = ("Navy Blue", "Charcoal", "Black", "Grey", "Beige", "Khaki")
DENIMS = ("Blue", "Navy Blue", "Black", "Grey")
PRINTS = ("plain", "plain", "striped", "dotted", "floral", "checked", "gradient")

WOMEN = ("Women",)
MEN = ("Men",)
ADULTS = ("Women", "Women", "Men", "Men")
EVERYONE = ("Women", "Women", "Men", "Men", "Girls", "Boys")
ANYONE = ("Unisex", "Women", "Men")

_A, _F, _X = "Apparel", "Footwear", "Accessories"
_ALL = (*BASICS, *BRIGHTS, *SOFT)
_COTTON, _WOOL, _LEATHER = ("cotton", "organic cotton"), ("wool", "merino wool"), ("leather",)

# fmt: off
KINDS: tuple[Kind, ...] = (
    Kind("Tshirts", "Topwear", _A, 9, EVERYONE, (9, 35), ("Casual", "Casual", "Sports"), _ALL,
         ("plain", "plain", "striped", "colourblock", "gradient"), _COTTON, looks.tshirt_look),
    Kind("Tshirts", "Topwear", _A, 3, ("Men", "Men", "Boys", "Women"), (19, 49), ("Casual",
         "Smart Casual"), _ALL, ("plain", "plain", "striped"), ("piqué cotton",), looks.polo_look),
    Kind("Tops", "Topwear", _A, 5, ("Women", "Women", "Girls"), (12, 45), ("Casual", "Party"), _ALL,
         PRINTS, ("viscose", "cotton", "linen"), looks.top_look),
    Kind("Shirts", "Topwear", _A, 6, ("Men", "Men", "Men", "Boys"), (22, 79), ("Casual", "Formal",
         "Smart Casual"), (*BASICS, *SOFT), ("plain", "checked", "pinstriped", "gingham",
         "striped"), ("cotton poplin", "linen", "flannel"), looks.shirt_look),
    Kind("Shirts", "Topwear", _A, 3, WOMEN, (24, 79), ("Formal", "Casual"), (*BASICS, *SOFT),
         ("plain", "dotted", "floral", "striped"), ("viscose", "silk", "cotton poplin"),
         looks.blouse_look),
    Kind("Sweaters", "Topwear", _A, 4, EVERYONE, (29, 119), ("Casual",), _ALL, ("knit", "knit",
         "striped"), _WOOL, looks.sweater_look, ("Fall", "Winter")),
    Kind("Sweatshirts", "Topwear", _A, 4, EVERYONE, (25, 69), ("Casual", "Sports"), _ALL, ("plain",
         "plain", "colourblock"), ("brushed fleece",), looks.hoodie_look, ("Fall", "Winter",
         "Spring")),
    Kind("Jackets", "Topwear", _A, 3, ADULTS, (49, 149), ("Casual",), (*BASICS, "Maroon", "Teal",
         "Mustard"), ("plain",), ("nylon", "cotton twill"), looks.bomber_look, ("Fall", "Winter",
         "Spring")),
    Kind("Jackets", "Topwear", _A, 2, EVERYONE, (45, 119), ("Casual",), DENIMS, ("denim",),
         ("denim",), looks.denim_jacket_look, ("Spring", "Fall")),
    Kind("Jackets", "Topwear", _A, 2, ADULTS, (99, 329), ("Casual", "Party"), ("Black", "Brown",
         "Burgundy", "Tan"), ("plain",), _LEATHER, looks.biker_look, ("Fall", "Winter")),
    Kind("Blazers", "Topwear", _A, 2.5, ADULTS, (79, 259), ("Formal", "Smart Casual"), (*SUITING,
         "Maroon"), ("plain", "plain", "pinstriped", "checked"), ("wool", "linen", "crêpe"),
         looks.blazer_look),
    Kind("Coats", "Topwear", _A, 2.5, ADULTS, (99, 349), ("Casual", "Formal"), (*SUITING, "Tan",
         "Red", "Teal", "Olive"), ("plain", "plain", "checked"), ("wool", "cotton gabardine"),
         looks.coat_look, ("Fall", "Winter")),
    Kind("Kurtas", "Topwear", _A, 3, ("Women", "Women", "Men"), (19, 69), ("Ethnic",), (*BRIGHTS,
         *SOFT), ("plain", "floral", "dotted", "striped"), ("cotton", "silk blend"),
         looks.kurta_look),
    Kind("Dresses", "Dress", _A, 8, ("Women", "Women", "Women", "Girls"), (29, 149), ("Casual",
         "Party", "Formal"), _ALL, PRINTS, ("cotton", "viscose", "satin", "linen"),
         looks.dress_look),
    Kind("Jumpsuit", "Dress", _A, 1.5, WOMEN, (39, 119), ("Party", "Casual"), (*BRIGHTS, "Black",
         "Rust"), ("plain", "dotted", "floral"), ("viscose", "linen"), looks.jumpsuit_look,
         ("Spring", "Summer")),
    Kind("Waistcoat", "Topwear", _A, 1, MEN, (39, 99), ("Formal",), SUITING, ("plain", "pinstriped",
         "checked"), ("wool",), looks.waistcoat_look),
    Kind("Jeans", "Bottomwear", _A, 6, EVERYONE, (29, 119), ("Casual",), DENIMS, ("denim",),
         ("stretch denim", "raw denim"), looks.jeans_look),
    Kind("Trousers", "Bottomwear", _A, 4, ADULTS, (29, 99), ("Formal", "Casual", "Smart Casual"),
         (*SUITING, "Olive", "White"), ("plain", "plain", "pinstriped", "checked"), ("cotton twill",
         "wool", "linen"), looks.trousers_look),
    Kind("Track Pants", "Bottomwear", _A, 2, EVERYONE, (19, 59), ("Sports",), (*BASICS, "Red",
         "Teal"), ("plain",), ("polyester", "French terry"), looks.track_pants_look),
    Kind("Leggings", "Bottomwear", _A, 1.5, ("Women", "Women", "Girls"), (12, 49), ("Sports",
         "Casual"), (*BASICS, *BRIGHTS), ("plain", "plain", "gradient"), ("stretch jersey",),
         looks.leggings_look),
    Kind("Shorts", "Bottomwear", _A, 2.5, EVERYONE, (15, 49), ("Casual", "Sports"), (*BASICS, "Red",
         "Khaki", "Teal"), ("plain", "plain", "checked"), ("cotton twill", "polyester"),
         looks.shorts_look, ("Summer", "Spring")),
    Kind("Shorts", "Bottomwear", _A, 1, ("Women", "Girls", "Men"), (19, 49), ("Casual",), DENIMS,
         ("denim",), ("denim",), looks.denim_shorts_look, ("Summer",)),
    Kind("Skirts", "Bottomwear", _A, 3.5, ("Women", "Women", "Women", "Girls"), (19, 79), ("Casual",
         "Formal", "Party"), _ALL, PRINTS, ("cotton", "viscose", "wool"), looks.skirt_look),
    Kind("Casual Shoes", "Shoes", _F, 5, EVERYONE, (29, 99), ("Casual",), (*BASICS, *BRIGHTS),
         ("plain",), ("canvas", "suede"), looks.sneakers_look),
    Kind("Sports Shoes", "Shoes", _F, 4, EVERYONE, (45, 159), ("Sports",), (*BASICS, *BRIGHTS),
         ("plain",), ("mesh",), looks.running_shoes_look),
    Kind("Formal Shoes", "Shoes", _F, 2, ("Men", "Men", "Women"), (69, 219), ("Formal",), ("Black",
         "Brown", "Tan", "Burgundy"), ("plain",), _LEATHER, looks.formal_shoes_look),
    Kind("Boots", "Shoes", _F, 3, ADULTS, (69, 229), ("Casual",), LEATHERS, ("plain",), ("leather",
         "suede"), looks.boots_look, ("Fall", "Winter")),
    Kind("Heels", "Shoes", _F, 3, WOMEN, (39, 159), ("Party", "Formal"), ("Black", "Red", "Beige",
         "Teal", "Pink", "Gold", "Burgundy", "White"), ("plain",), ("leather", "satin"),
         looks.heels_look),
    Kind("Flats", "Shoes", _F, 2, ("Women", "Women", "Girls"), (25, 79), ("Casual",), (*LEATHERS,
         "Pink", "Red", "Gold"), ("plain", "plain", "dotted"), ("leather", "suede"),
         looks.flats_look),
    Kind("Sandals", "Sandal", _F, 2, ADULTS, (25, 89), ("Casual",), (*LEATHERS, "Gold", "White"),
         ("plain",), _LEATHER, looks.sandals_look, ("Summer", "Spring")),
    Kind("Flip Flops", "Flip Flops", _F, 1.5, EVERYONE, (8, 25), ("Casual",), (*BRIGHTS, "Black",
         "Navy Blue"), ("plain", "striped", "floral"), ("rubber",), looks.flip_flops_look,
         ("Summer",)),
    Kind("Handbags", "Bags", _X, 4, WOMEN, (39, 259), ("Casual", "Formal"), (*LEATHERS, "Teal",
         "Red", "Maroon", "Mustard"), ("plain",), ("leather", "vegan leather"), looks.handbag_look),
    Kind("Clutches", "Bags", _X, 1.5, WOMEN, (25, 119), ("Party",), (*BRIGHTS, "Black", "Gold",
         "Silver"), ("plain", "plain", "dotted"), ("satin", "leather"), looks.clutch_look),
    Kind("Backpacks", "Bags", _X, 2.5, ("Unisex", "Unisex", "Boys", "Girls"), (29, 119), ("Casual",
         "Travel"), (*BASICS, *BRIGHTS), ("plain", "plain", "checked", "floral"), ("recycled nylon",
         "canvas"), looks.backpack_look),
    Kind("Caps", "Headwear", _X, 2, ANYONE, (12, 35), ("Casual", "Sports"), (*BASICS, *BRIGHTS),
         ("plain", "plain", "checked"), ("cotton twill",), looks.cap_look),
    Kind("Hat", "Headwear", _X, 1, ANYONE, (25, 79), ("Casual",), ("Beige", "Black", "Brown",
         "Grey", "Cream", "Maroon"), ("plain",), ("wool felt", "straw"), looks.hat_look),
    Kind("Scarves", "Scarves", _X, 2, ("Women", "Women", "Men", "Unisex"), (15, 79), ("Casual",),
         _ALL, ("checked", "striped", "plain", "floral"), ("wool", "cashmere", "silk"),
         looks.scarf_look, ("Fall", "Winter")),
    Kind("Ties", "Ties", _X, 1.5, MEN, (15, 59), ("Formal",), ("Navy Blue", "Maroon", "Grey",
         "Teal", "Red", "Purple", "Olive"), ("plain", "striped", "dotted", "checked"), ("silk",),
         looks.tie_look),
    Kind("Belts", "Belts", _X, 1.5, ADULTS, (15, 69), ("Casual", "Formal"), ("Black", "Brown",
         "Tan", "Burgundy"), ("plain",), _LEATHER, looks.belt_look),
    Kind("Watches", "Watches", _X, 3, ADULTS, (49, 349), ("Casual", "Formal"), ("Black", "Brown",
         "Tan", "Navy Blue", "Grey", "Red", "Olive"), ("plain",), ("steel and leather",),
         looks.watch_look),
    Kind("Sunglasses", "Eyewear", _X, 2.5, ("Unisex", "Women", "Men"), (25, 189), ("Casual",),
         ("Black", "Brown", "Gold", "Silver", "Maroon", "Navy Blue"), ("plain",), ("acetate",
         "metal"), looks.sunglasses_look, ("Summer", "Spring")),
    Kind("Socks", "Socks", _X, 1.5, EVERYONE, (4, 15), ("Casual", "Sports"), (*BASICS, *BRIGHTS),
         ("striped", "dotted", "plain", "checked"), ("combed cotton",), looks.socks_look),
    Kind("Earrings", "Jewellery", _X, 1.5, WOMEN, (15, 129), ("Party", "Ethnic"), ("Gold",
         "Silver"), ("plain",), ("gold-plated brass", "sterling silver"), looks.earrings_look),
    Kind("Wallets", "Wallets", _X, 1.5, ADULTS, (19, 89), ("Casual",), LEATHERS, ("plain",),
         _LEATHER, looks.wallet_look),
)
# fmt: on
