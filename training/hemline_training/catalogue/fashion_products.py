"""Imports "Fashion Product Images", a real shop's export of 44 thousand fashion products.

    import_fashion_products(Path("../shared/data/fashion_products"), Path(".hemline/catalogue"))

The source folder holds products.csv (what is sold), styles_15k.csv (gender, season and year for a
third of it), images_60x80.parquet and, if present, images_224.parquet (product_id, jpeg). What is a
fault is repaired, what cannot be sold or shown is dropped, and both are counted by reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from hemline.catalogue import Item
from hemline.errors import CatalogueError
from hemline_training.catalogue.describe import describe
from hemline_training.catalogue.fashion_rows import Product, read_products, read_styles
from hemline_training.catalogue.image_source import ImageSource
from hemline_training.catalogue.items_file import write_atomically, write_items
from hemline_training.catalogue.report import ImportReport
from hemline_training.catalogue.titles import is_placeholder
from hemline_training.catalogue.variants import with_variant_groups

# Master categories and article types that a fashion shop would not put before a shopper as a
# recommendation, and why. Personal Care stays: perfume and lipstick are bought with clothes.
NOT_RECOMMENDED: Mapping[str, str] = {
    "Free Items": "Free Items: gifts and vouchers, not for sale",
    "Home": "Home: one lone cushion cover, nothing to recommend it beside",
    "Basketballs": "Basketballs and Footballs: played with, not worn",
    "Footballs": "Basketballs and Footballs: played with, not worn",
}

_ITEMS_PER_BATCH = 2048


def import_fashion_products(
    source: Path,
    out: Path,
    allow_missing_images: bool = False,
    not_recommended: Mapping[str, str] = NOT_RECOMMENDED,
    progress: bool = True,
) -> ImportReport:
    """Writes a clean catalogue into the folder `out` and returns what was done to the rows.

    `out` gets items.parquet (ITEM_SCHEMA; prices, currency and description stay null, the source
    has none beyond the attributes), large_photos.txt (ids that also have a photo of 224x224 in the
    source, one a line) and import_report.json. Rows follow the images file; items without a usable
    image, kept only with `allow_missing_images`, come last.

    Raises CatalogueError when a file or column is missing or no row is usable. A bad row is counted
    and skipped; `out` is left as it was unless the import succeeds.
    """
    report = ImportReport(source=source.name)
    products = read_products(source / "products.csv", report)
    styles = read_styles(source / "styles_15k.csv", report)
    for style_id in styles:
        if style_id not in products:
            report.count("noted", "in styles_15k.csv only, not imported", style_id)

    photos = ImageSource(source / "images_60x80.parquet", progress)
    photos.check(products.keys(), report)
    in_source = products.keys()
    products = _recommended(products, not_recommended, report)
    products = _with_image(products, photos, allow_missing_images, report)
    if not products:
        raise CatalogueError(f"{source / 'products.csv'} has no usable row")

    items = describe(products, styles, report)
    items = with_variant_groups(items, photos.digest_of, report)

    path = out / "items.parquet"
    report.rows_out = write_items(path, _with_photos(items, photos))
    report.files["items.parquet"] = str(path)
    large = _large_photos(source / "images_224.parquet", in_source, report)
    _write_ids(out / "large_photos.txt", [i.item_id for i in items if i.item_id in large], report)
    report.write(out / "import_report.json")
    return report


def _recommended(
    products: Mapping[str, Product], not_recommended: Mapping[str, str], report: ImportReport
) -> dict[str, Product]:
    kept = {}
    for product_id, product in products.items():
        reason = not_recommended.get(product.master_category or "")
        reason = reason or not_recommended.get(product.article_type or "")
        if is_placeholder(product.title):
            reason = "title is a header, a test entry or a file name"
        if reason is None:
            kept[product_id] = product
        else:
            report.count("dropped", reason, product.title)
    return kept


def _with_image(
    products: Mapping[str, Product], photos: ImageSource, allow_missing: bool, report: ImportReport
) -> dict[str, Product]:
    kept = {}
    for product_id, product in products.items():
        usable = product_id in photos.digest_of
        if not usable:
            why = photos.broken.get(product_id)
            reason = "no image" if why is None else "a broken image"
            example = product_id if why is None else f"{product_id}: {why}"
            report.count("noted" if allow_missing else "dropped", reason, example)
        if usable or allow_missing:
            kept[product_id] = product
    return kept


def _with_photos(
    items: list[Item], photos: ImageSource
) -> Iterator[tuple[list[Item], list[bytes | None]]]:
    left = {item.item_id: item for item in items}
    batch: list[Item] = []
    images: list[bytes | None] = []
    for item_id, image in photos.images(set(left)):
        batch.append(left.pop(item_id))
        images.append(image)
        if len(batch) == _ITEMS_PER_BATCH:
            yield batch, images
            batch, images = [], []
    yield [*batch, *left.values()], [*images, *([None] * len(left))]


def _large_photos(path: Path, in_source: Collection[str], report: ImportReport) -> set[str]:
    if not path.exists():
        return set()
    ids = ImageSource(path, progress=False).ids()
    strays = sorted(ids.difference(in_source))
    for stray in strays:
        report.count("noted", "a 224 px photo of no product in products.csv", stray)
    return ids


def _write_ids(path: Path, item_ids: list[str], report: ImportReport) -> None:
    with write_atomically(path) as temporary:
        temporary.write_text("".join(f"{i}\n" for i in item_ids), encoding="utf-8")
    report.figures["items with a 224 px photo"] = len(item_ids)
    report.files[path.name] = str(path)
