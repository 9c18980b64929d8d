"""A shop to try Hemline with: some 2,000 drawn garments of invented brands, free to share.

    write_demo_catalogue(Path(".hemline/catalogue"), items=2000, seed=0)

Every design comes in one to three colourways, which are products of their own; some colourways are
also listed in a second size, and those share a `variant_group` and a picture.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tqdm import tqdm

from hemline.catalogue import Item
from hemline_training.catalogue.items_file import write_items
from hemline_training.catalogue.report import ImportReport
from hemline_training.drawing.accessories import GOLD, SILVER
from hemline_training.drawing.canvas import Canvas
from hemline_training.drawing.fabrics import COLOURS, fabric
from hemline_training.drawing.looks import Look, Palette
from hemline_training.drawing.wardrobe import KINDS

CURRENCY = "EUR"
_YEARS = (2023, 2024, 2025)
_BATCH = 256
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Brand:
    """An invented brand; `price` multiplies a kind's usual price."""

    name: str
    price: float
    usages: tuple[str, ...] = ("Casual", "Smart Casual", "Formal", "Party")
    genders: tuple[str, ...] = ("Women", "Men", "Unisex")


BRANDS: tuple[Brand, ...] = (
    Brand("Fernhill", 1.0, ("Casual", "Smart Casual")),
    Brand("Otterbourne", 1.3, ("Formal", "Smart Casual", "Casual")),
    Brand("Juniper Lane", 0.9, ("Casual", "Party"), ("Women",)),
    Brand("Marlow & Pine", 1.1, ("Casual", "Travel", "Smart Casual")),
    Brand("Saltmarsh", 0.8, ("Casual",)),
    Brand("Wrenfield", 1.2, ("Formal", "Casual", "Party"), ("Women",)),
    Brand("Pelham Row", 1.7, ("Formal", "Smart Casual"), ("Men", "Unisex")),
    Brand("Maison Oriel", 2.1, ("Party", "Formal"), ("Women",)),
    Brand("Corvane", 1.5, ("Party", "Formal")),
    Brand("Tarn & Co", 0.7, ("Casual", "Travel")),
    Brand("Veyra Active", 1.1, ("Sports",)),
    Brand("Northgale", 0.9, ("Sports", "Travel", "Casual")),
    Brand("Luma Sport", 0.8, ("Sports",), ("Women", "Men", "Unisex", "Girls", "Boys")),
    Brand("Brackenby", 0.75, ("Casual", "Smart Casual"), ("Men",)),
    Brand("Chandra Loom", 1.0, ("Ethnic", "Party"), ("Women", "Men")),
    Brand("Asha Weaves", 0.8, ("Ethnic",), ("Women", "Men")),
    Brand("Little Acorn", 0.6, ("Casual", "Party", "Smart Casual", "Formal"), ("Girls", "Boys")),
    Brand("Kestrel Kids", 0.7, ("Casual", "Sports", "Travel"), ("Girls", "Boys")),
)

_PATTERN_WORDS = {
    "striped": "Striped",
    "pinstriped": "Pinstriped",
    "checked": "Checked",
    "gingham": "Gingham",
    "dotted": "Polka Dot",
    "floral": "Floral",
    "gradient": "Ombré",
    "colourblock": "Colourblock",
}
_SIZES = {
    "Apparel": ("Size S", "Size M", "Size L"),
    "Footwear": ("Size 38", "Size 40", "Size 42"),
    "Accessories": ("Small", "Large"),
}


def write_demo_catalogue(
    out: Path, items: int = 2000, seed: int = 0, progress: bool = True
) -> ImportReport:
    """Writes `out`/items.parquet and `out`/import_report.json: exactly `items` items.

    The same `items` and `seed` give the same catalogue. Raises ValueError for fewer than one item.
    """
    if items < 1:
        raise ValueError(f"a catalogue of {items} items")
    report = ImportReport(source="demo catalogue", rows_in=items)
    groups: set[str] = set()
    image_bytes = 0

    def batches() -> Iterator[tuple[list[Item], list[bytes | None]]]:
        nonlocal image_bytes
        batch: list[Item] = []
        images: list[bytes | None] = []
        for item, image in tqdm(
            _listings(items, Random(seed)), total=items, desc="drawing", disable=not progress
        ):
            batch.append(item)
            images.append(image)
            groups.add(item.variant_group)
            image_bytes += len(image)
            if len(batch) == _BATCH:
                yield batch, images
                batch, images = [], []
        yield batch, images

    path = out / "items.parquet"
    report.rows_out = write_items(path, batches())
    report.figures["products (sizes counted once)"] = len(groups)
    report.figures["bytes of images"] = image_bytes
    report.files["items.parquet"] = str(path)
    report.write(out / "import_report.json")
    return report


def _listings(count: int, rng: Random) -> Iterator[tuple[Item, bytes]]:
    """Exactly `count` listings: designs in turn, each in its colourways and sizes."""
    number = 0
    weights = [kind.share for kind in KINDS]
    while number < count:
        [kind] = rng.choices(KINDS, weights)
        gender, look = rng.choice(kind.genders), kind.design(rng)
        usage = rng.choice(kind.usages)
        brand = _brand(gender, usage, rng)
        low, high = kind.prices
        price = _price((low + (high - low) * rng.betavariate(1.6, 3.2)) * brand.price)
        pattern, variant = rng.choice(kind.patterns), rng.randrange(12)
        framing = (rng.uniform(0.93, 1.0), rng.uniform(-1.5, 1.5), rng.uniform(-1.5, 1.5))
        season, year = rng.choice(kind.seasons), rng.choice(_YEARS)
        material = rng.choice(kind.materials)
        colourways = min(rng.choices([1, 2, 3], [6, 3, 1])[0], len(kind.colours))
        for colour in _distinct(kind.colours, colourways, rng):
            palette, accent = _palette(colour, pattern, variant, rng)
            image = _photograph(look, palette, framing, child=gender in ("Boys", "Girls"))
            title = _title(brand.name, gender, colour, pattern, look.noun)
            sizes = _SIZES[kind.master_category] if rng.random() < 0.14 else ()
            group = f"demo-{number + 1:05d}"
            for size in rng.sample(sizes, 2) if sizes else [""]:
                if number == count:
                    return
                number += 1
                yield (
                    Item(
                        item_id=f"demo-{number:05d}",
                        title=f"{title}, {size}" if size else title,
                        description=_description(look, material, colour, accent, pattern, usage),
                        brand=brand.name,
                        gender=gender,
                        master_category=kind.master_category,
                        sub_category=kind.sub_category,
                        article_type=kind.article_type,
                        colour=colour,
                        season=season,
                        usage=usage,
                        year=year,
                        price=price,
                        currency=CURRENCY,
                        variant_group=group,
                        in_stock=rng.random() < 0.94,
                    ),
                    image,
                )


def _brand(gender: str, usage: str, rng: Random) -> Brand:
    fitting = [b for b in BRANDS if gender in b.genders and usage in b.usages]
    return rng.choice(fitting or [b for b in BRANDS if gender in b.genders])


def _distinct(colours: tuple[str, ...], count: int, rng: Random) -> list[str]:
    return rng.sample(list(dict.fromkeys(colours)), count)


def _palette(colour: str, pattern: str, variant: int, rng: Random) -> tuple[Palette, str]:
    """A second colour that can be told from the first, and the cloth of both."""
    light = ("White", "Cream", "Beige", "Yellow", "Peach")
    deep = ("Navy Blue", "Maroon", "Black", "Teal", "Red")
    pool = light if colour not in light and colour not in ("Off White", "Silver", "Gold") else deep
    accent = rng.choice([name for name in pool if name != colour])
    metal = rng.choice([GOLD, SILVER])
    cloth = fabric(colour, pattern, accent, variant)
    return Palette(cloth, COLOURS[colour], COLOURS[accent], metal), accent


def _photograph(
    look: Look, palette: Palette, framing: tuple[float, float, float], child: bool
) -> bytes:
    canvas = Canvas()
    scale, *offset = framing
    canvas.scale = scale * (0.8 if child else 1.0)
    canvas.offset = (offset[0], offset[1])
    look.draw(canvas, palette)
    data = io.BytesIO()
    canvas.finish().save(data, "JPEG", quality=_JPEG_QUALITY)
    return data.getvalue()


def _title(brand: str, gender: str, colour: str, pattern: str, noun: str) -> str:
    words = [brand, gender, colour, _PATTERN_WORDS.get(pattern, ""), noun]
    return " ".join(word for word in words if word)


def _description(
    look: Look, material: str, colour: str, accent: str, pattern: str, usage: str
) -> str:
    shade, second = colour.lower(), accent.lower()
    cloth = material if shade in material else f"{shade} {material}"
    cloth += {
        "striped": f" with {second} stripes",
        "pinstriped": f" with {second} pinstripes",
        "checked": f" checked with {second}",
        "gingham": " gingham",
        "dotted": f" with {second} dots",
        "floral": f" with {second} flowers",
        "gradient": f" fading into {second}",
        "colourblock": f" blocked with {second}",
    }.get(pattern, "")
    occasion = {
        "Casual": "every day",
        "Smart Casual": "the office and after",
        "Formal": "formal days",
        "Sports": "training",
        "Party": "evenings out",
        "Travel": "the road",
        "Ethnic": "festive days",
    }[usage]
    return f"{look.noun} in {cloth}; {look.detail}. Made for {occasion}."


def _price(value: float) -> float:
    """Shop prices: whole units less five cents, whole tens less five cents from 100 up."""
    step = 1 if value < 40 else 5 if value < 100 else 10
    return max(step, round(value / step) * step) - 0.05
