"""The looks a garment can take: what a design is called and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hemline_training.drawing import accessories, bottoms, dresses, footwear, outerwear, tops
from hemline_training.drawing.canvas import Canvas, Colour, Fabric, darker, lighter, luminance
from hemline_training.drawing.fabrics import COLOURS


@dataclass(frozen=True)
class Palette:
    """One colourway: the cloth, its plain colour, and the second colour that goes with it."""

    cloth: Fabric
    main: Colour
    accent: Colour
    metal: Colour


@dataclass(frozen=True)
class Look:
    """One design: what it is called, what a shopper would be told of it, and how it is drawn."""

    noun: str
    detail: str
    draw: Callable[[Canvas, Palette], None]


_IVORY: Colour = (246, 244, 238)


def tshirt_look(rng: Random) -> Look:
    sleeve = rng.choice(["short", "short", "short", "long"])
    vee, pocket = rng.random() < 0.25, rng.random() < 0.25
    badge = not pocket and rng.random() < 0.3
    noun = ("Long-Sleeved " if sleeve == "long" else "") + ("V-Neck " if vee else "") + "T-shirt"
    detail = (
        "a breast pocket"
        if pocket
        else "a round emblem on the chest"
        if badge
        else "a soft neckband"
    )
    return Look(
        ("Graphic " if badge else "") + noun,
        detail,
        lambda c, p: tops.tshirt(
            c, p.cloth, sleeve, vee, pocket=pocket, badge=p.accent if badge else None
        ),
    )


def polo_look(rng: Random) -> Look:
    return Look(
        "Polo T-shirt",
        "a knitted collar in a second colour",
        lambda c, p: tops.polo(c, p.cloth, p.accent),
    )


def top_look(rng: Random) -> Look:
    sleeve = rng.choice(["none", "cap", "short", "elbow"])
    vee = rng.random() < 0.5
    noun = {
        "none": "Sleeveless Top",
        "cap": "Cap-Sleeved Top",
        "short": "Fitted Top",
        "elbow": "Top",
    }[sleeve]
    detail = "a V-neck" if vee else "a round neck"
    return Look(noun, detail, lambda c, p: tops.tshirt(c, p.cloth, sleeve, vee, fitted=True))


def shirt_look(rng: Random, fitted: bool = False) -> Look:
    sleeve = rng.choice(["long", "long", "short"])
    noun = "Shirt" if sleeve == "long" else "Short-Sleeved Shirt"
    return Look(
        noun,
        "a button-down front",
        lambda c, p: tops.shirt(
            c, p.cloth, sleeve, fitted, _IVORY if luminance(p.main) < 0.7 else darker(p.main, 0.35)
        ),
    )


def blouse_look(rng: Random) -> Look:
    look = shirt_look(rng, fitted=True)
    return Look(look.noun.replace("Shirt", "Blouse"), "a fitted waist", look.draw)


def sweater_look(rng: Random) -> Look:
    vee, band = rng.random() < 0.3, rng.random() < 0.35

    def draw(canvas: Canvas, p: Palette) -> None:
        tops.sweater(canvas, p.cloth, Fabric(p.accent) if band else None, vee)

    noun = "V-Neck Sweater" if vee else "Sweater"
    return Look(noun, "a band across the chest" if band else "ribbed cuffs and hem", draw)


def hoodie_look(rng: Random) -> Look:
    zipped = rng.random() < 0.4
    return Look(
        "Zip-Up Hoodie" if zipped else "Hoodie",
        "a lined hood and a kangaroo pocket",
        lambda c, p: tops.hoodie(
            c, p.cloth, _IVORY if luminance(p.main) < 0.8 else (90, 92, 98), zipped
        ),
    )


def bomber_look(rng: Random) -> Look:
    return Look(
        "Bomber Jacket",
        "ribbed trims and a zip",
        lambda c, p: outerwear.jacket(c, p.cloth, "bomber", p.metal),
    )


def denim_jacket_look(rng: Random) -> Look:
    return Look(
        "Denim Jacket", "contrast stitching", lambda c, p: outerwear.jacket(c, p.cloth, "denim")
    )


def biker_look(rng: Random) -> Look:
    return Look(
        "Biker Jacket",
        "an off-centre zip and wide lapels",
        lambda c, p: outerwear.jacket(c, p.cloth, "biker", p.metal),
    )


def blazer_look(rng: Random) -> Look:
    fitted = rng.random() < 0.5
    return Look(
        "Fitted Blazer" if fitted else "Blazer",
        "notched lapels and two buttons",
        lambda c, p: outerwear.blazer(
            c, p.cloth, p.metal if fitted else darker(p.main, 0.5), fitted=fitted
        ),
    )


def coat_look(rng: Random) -> Look:
    belted = rng.random() < 0.5
    return Look(
        "Trench Coat" if belted else "Long Coat",
        "a double row of buttons" + (" and a belt" if belted else ""),
        lambda c, p: outerwear.coat(
            c,
            p.cloth,
            darker(p.main, 0.55) if luminance(p.main) > 0.3 else lighter(p.main, 0.4),
            belted,
        ),
    )


def kurta_look(rng: Random) -> Look:
    sleeve = rng.choice(["elbow", "long", "short"])
    return Look(
        "Kurta", "an embroidered placket", lambda c, p: tops.kurta(c, p.cloth, p.accent, sleeve)
    )


def dress_look(rng: Random) -> Look:
    length = rng.choice(["mini", "midi", "midi", "maxi"])
    neck = rng.choice(["round", "vee", "strap"])
    sleeve = "none" if neck == "strap" else rng.choice(["none", "cap", "short", "long"])
    belted = rng.random() < 0.35
    parts = [
        {"none": "", "cap": "cap sleeves", "short": "short sleeves", "long": "long sleeves"}[
            sleeve
        ],
        {"round": "a round neck", "vee": "a V-neck", "strap": "thin straps"}[neck],
        "a belt" if belted else "",
    ]
    return Look(
        f"{length.title()} Dress",
        ", ".join(part for part in parts if part),
        lambda c, p: dresses.dress(c, p.cloth, length, sleeve, neck, p.accent if belted else None),
    )


def jumpsuit_look(rng: Random) -> Look:
    return Look(
        "Jumpsuit", "a tied belt and wide legs", lambda c, p: dresses.jumpsuit(c, p.cloth, p.accent)
    )


def waistcoat_look(rng: Random) -> Look:
    return Look(
        "Waistcoat",
        "five buttons and pointed fronts",
        lambda c, p: outerwear.waistcoat(c, p.cloth, darker(p.main, 0.5)),
    )


def jeans_look(rng: Random) -> Look:
    fit = rng.choice(["skinny", "straight", "straight", "wide"])
    faded, ripped = rng.random() < 0.6, rng.random() < 0.2
    noun = ("Ripped " if ripped else "") + {
        "skinny": "Skinny",
        "straight": "Straight",
        "wide": "Wide-Leg",
    }[fit]
    return Look(
        f"{noun} Jeans",
        "five pockets" + (" and a faded thigh" if faded else ""),
        lambda c, p: bottoms.jeans(c, p.cloth, fit, faded, ripped),
    )


def trousers_look(rng: Random) -> Look:
    wide, belted = rng.random() < 0.35, rng.random() < 0.3
    return Look(
        "Wide Trousers" if wide else "Trousers",
        "a pressed crease" + (" and a belt" if belted else ""),
        lambda c, p: bottoms.trousers(c, p.cloth, COLOURS["Brown"] if belted else None, wide),
    )


def track_pants_look(rng: Random) -> Look:
    return Look(
        "Track Pants",
        "a striped side and a cord",
        lambda c, p: bottoms.track_pants(c, p.cloth, p.accent),
    )


def leggings_look(rng: Random) -> Look:
    return Look("Leggings", "a stretch waist", lambda c, p: bottoms.leggings(c, p.cloth))


def shorts_look(rng: Random) -> Look:
    kind = rng.choice(["chino", "sport"])
    noun = {"chino": "Chino Shorts", "sport": "Sports Shorts"}[kind]
    return Look(noun, "side pockets", lambda c, p: bottoms.shorts(c, p.cloth, kind))


def denim_shorts_look(rng: Random) -> Look:
    return Look(
        "Denim Shorts", "contrast stitching", lambda c, p: bottoms.shorts(c, p.cloth, "denim")
    )


def skirt_look(rng: Random) -> Look:
    kind = rng.choice(["pencil", "flared", "pleated", "tiered"])
    detail = {
        "pencil": "a back slit",
        "flared": "a full hem",
        "pleated": "knife pleats",
        "tiered": "three tiers",
    }[kind]
    return Look(f"{kind.title()} Skirt", detail, lambda c, p: bottoms.skirt(c, p.cloth, kind))


def sneakers_look(rng: Random) -> Look:
    high = rng.random() < 0.4
    return Look(
        "High-Top Sneakers" if high else "Sneakers",
        "a rubber toe cap",
        lambda c, p: footwear.sneakers(c, p.cloth, _IVORY, p.accent, high),
    )


def running_shoes_look(rng: Random) -> Look:
    return Look(
        "Running Shoes",
        "a cushioned sole",
        lambda c, p: footwear.running_shoes(c, p.cloth, _IVORY, p.accent),
    )


def formal_shoes_look(rng: Random) -> Look:
    return Look("Derby Shoes", "a polished upper", lambda c, p: footwear.formal_shoes(c, p.main))


def boots_look(rng: Random) -> Look:
    laced, tall = rng.random() < 0.5, rng.random() < 0.3
    noun = "Knee-High Boots" if tall else "Lace-Up Boots" if laced else "Chelsea Boots"
    sole = rng.choice([COLOURS["Black"], COLOURS["Beige"]])
    return Look(
        noun,
        "a treaded sole",
        lambda c, p: footwear.boots(c, p.main, sole, laced and not tall, tall),
    )


def heels_look(rng: Random) -> Look:
    height, open_toe = rng.choice(["high", "block"]), rng.random() < 0.4
    noun = ("Peep-Toe " if open_toe else "") + ("Block Heels" if height == "block" else "Stilettos")
    return Look(
        noun, "a cushioned insole", lambda c, p: footwear.heels(c, p.main, height, open_toe)
    )


def flats_look(rng: Random) -> Look:
    return Look("Ballerinas", "a small bow", lambda c, p: footwear.flats(c, p.cloth, p.accent))


def sandals_look(rng: Random) -> Look:
    kind = rng.choice(["slide", "strappy", "gladiator"])
    sole = rng.choice([COLOURS["Tan"], COLOURS["Beige"], COLOURS["Brown"]])
    return Look(
        f"{kind.title()} Sandals",
        "an adjustable buckle",
        lambda c, p: footwear.sandals(c, p.main, sole, kind),
    )


def flip_flops_look(rng: Random) -> Look:
    return Look(
        "Flip Flops", "a quick-drying sole", lambda c, p: footwear.flip_flops(c, p.cloth, p.accent)
    )


def handbag_look(rng: Random) -> Look:
    kind = rng.choice(["satchel", "tote", "hobo"])
    noun = {"satchel": "Satchel", "tote": "Tote Bag", "hobo": "Hobo Bag"}[kind]
    return Look(
        noun, "an inner zip pocket", lambda c, p: accessories.handbag(c, p.cloth, p.metal, kind)
    )


def clutch_look(rng: Random) -> Look:
    chain = rng.random() < 0.6
    detail = "a fine chain" if chain else "a magnetic snap"
    return Look("Clutch", detail, lambda c, p: accessories.clutch(c, p.cloth, p.metal, chain))


def backpack_look(rng: Random) -> Look:
    return Look(
        "Backpack",
        "a padded laptop sleeve",
        lambda c, p: accessories.backpack(c, p.cloth, p.accent),
    )


def cap_look(rng: Random) -> Look:
    return Look(
        "Cap",
        "an adjustable back",
        lambda c, p: accessories.cap(c, p.cloth, p.accent, lighter(p.accent, 0.5)),
    )


def hat_look(rng: Random) -> Look:
    return Look("Brimmed Hat", "a ribbon band", lambda c, p: accessories.hat(c, p.cloth, p.accent))


def scarf_look(rng: Random) -> Look:
    return Look("Scarf", "fringed ends", lambda c, p: accessories.scarf(c, p.cloth))


def tie_look(rng: Random) -> Look:
    return Look("Tie", "a slip-stitched back", lambda c, p: accessories.tie(c, p.cloth))


def belt_look(rng: Random) -> Look:
    return Look("Belt", "a brushed buckle", lambda c, p: accessories.belt(c, p.main, p.metal))


def watch_look(rng: Random) -> Look:
    digital = rng.random() < 0.25
    light_dial = rng.random() < 0.5

    def draw(canvas: Canvas, p: Palette) -> None:
        dial = _IVORY if light_dial else darker(p.accent, 0.4)
        accessories.watch(
            canvas, p.cloth, dial, COLOURS["Charcoal"] if digital else p.metal, digital
        )

    return Look("Digital Watch" if digital else "Analogue Watch", "a quartz movement", draw)


def sunglasses_look(rng: Random) -> Look:
    kind = rng.choice(["aviator", "round", "square"])
    lens = rng.choice([(62, 62, 70), (74, 92, 74), (112, 74, 54), (66, 84, 116)])
    return Look(
        f"{kind.title()} Sunglasses",
        "UV400 lenses",
        lambda c, p: accessories.sunglasses(c, p.main, lens, kind),
    )


def socks_look(rng: Random) -> Look:
    return Look(
        "Socks", "a contrast heel and toe", lambda c, p: accessories.socks(c, p.cloth, p.accent)
    )


def earrings_look(rng: Random) -> Look:
    kind = rng.choice(["hoop", "drop"])
    stone = COLOURS[rng.choice(["Red", "Teal", "Blue", "Purple", "Green", "White", "Pink"])]
    return Look(
        f"{kind.title()} Earrings",
        "a set stone",
        lambda c, p: accessories.earrings(c, p.main, stone, kind),
    )


def wallet_look(rng: Random) -> Look:
    return Look(
        "Wallet", "six card slots", lambda c, p: accessories.wallet(c, p.main, lighter(p.main, 0.4))
    )
