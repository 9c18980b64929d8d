"""Imports "Fashion Product Images", a real shop's export of 44 thousand fashion products.

    import_fashion_products(Path("../shared/data/fashion_products"), Path(".hemline/catalogue"))

The source folder holds products.csv (what is sold), styles_15k.csv (season, year and gender for a
third of it), images_60x80.parquet and images_224.parquet (product_id, jpeg). The import reads the
tables, repairs what is a fault, drops what cannot be sold or shown, and counts both by reason.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from hemline.catalogue import Item
from hemline.errors import BadImageError, CatalogueError
from hemline.images import decode_image
from hemline_training.catalogue.csv_rows import BadLine, read_rows
from hemline_training.catalogue.items_file import write_items
from hemline_training.catalogue.report import ImportReport
from hemline_training.catalogue.titles import BrandVocabulary, clean_title, gender_of_title

PRODUCT_COLUMNS = ("product_id", "title", "description", "category", "image_url")
STYLE_COLUMNS = ("id", "gender", "articleType", "season", "year")
_OTHER_STYLE_COLUMNS = (
    "masterCategory",
    "subCategory",
    "baseColour",
    "usage",
    "productDisplayName",
    "image",
)

# What a fashion shop would not put before a shopper as a recommendation, and why.
NOT_RECOMMENDED: Mapping[str, str] = {
    "Free Items": "Free Items: gifts and vouchers, not for sale",
    "Home": "Home: a lone cushion cover, nothing to recommend it beside",
}

_BLANK = {"", "nan", "na", "n/a", "none", "null"}
_IMAGE_BATCH = 2048


def import_fashion_products(
    source: Path,
    out: Path,
    allow_missing_images: bool = False,
    not_recommended: Mapping[str, str] = NOT_RECOMMENDED,
    progress: bool = True,
) -> ImportReport:
    """Writes `out`/items.parquet (ITEM_SCHEMA) and `out`/import_report.json; returns the report.

    Rows follow the images file, items without an image (only with `allow_missing_images`) last.
    Raises CatalogueError when a file or column is missing or no row is usable; one bad row is
    counted and skipped.
    """
    report = ImportReport(source=source.name)
    products = _read_products(source / "products.csv", report)
    styles = _read_styles(source / "styles_15k.csv", report)
    report.count("noted", "in styles_15k.csv only", times=len(styles.keys() - products.keys()))

    images = _Images(source / "images_60x80.parquet", products.keys(), report, progress)
    products = _with_usable_images(products, images, allow_missing_images, report)
    products = _recommended(products, not_recommended, report)
    if not products:
        raise CatalogueError(f"{source / 'products.csv'} has no usable row")

    items = _described(products, styles, report)
    items = _with_variant_groups(items, images.digest_of, report)

    path = out / "items.parquet"
    report.rows_out = write_items(path, _with_images(items, images, progress))
    report.files["items"] = str(path)
    report.write(out / "import_report.json")
    return report


@dataclass(frozen=True)
class _Product:
    """One row of products.csv, split but not yet interpreted. None where blank."""

    product_id: str
    title: str
    master_category: str | None
    sub_category: str | None
    article_type: str | None
    colour: str | None
    usage: str | None


def _read_products(path: Path, report: ImportReport) -> dict[str, _Product]:
    def skip(line: BadLine) -> None:
        report.rows_in += 1
        report.count(
            "dropped", f"unreadable: {line.reason}", f"line {line.number}: {line.beginning}"
        )

    def unknown(names: list[str]) -> None:
        report.count("noted", "unknown columns, ignored", ", ".join(names), times=len(names))

    products: dict[str, _Product] = {}
    for row in read_rows(path, PRODUCT_COLUMNS, skip, unknown):
        report.rows_in += 1
        product_id = row["product_id"].strip()
        title = clean_title(row["title"])
        parts = [part.strip() for part in row["description"].split(" - ")]
        if not product_id:
            report.count("dropped", "no product_id", title)
        elif product_id in products:
            report.count("dropped", "product_id repeated, the first row wins", product_id)
        elif title.lower() in _BLANK:
            report.count("dropped", "no title", product_id)
        elif len(parts) != 5:
            report.count(
                "dropped", "description is not five parts", f"{product_id}: {row['description']}"
            )
        else:
            if title != row["title"]:
                report.count("repaired", "title: white space, entities", repr(row["title"]))
            if "\\" in row["image_url"]:
                report.count(
                    "repaired", "image_url: Windows path, image joined by id", row["image_url"]
                )
            master, sub, article, colour, usage = (_known(part) for part in parts)
            products[product_id] = _Product(product_id, title, master, sub, article, colour, usage)
    return products


@dataclass(frozen=True)
class _Style:
    gender: str | None
    season: str | None
    year: int | None


def _read_styles(path: Path, report: ImportReport) -> dict[str, _Style]:
    def skip(line: BadLine) -> None:
        example = f"line {line.number}: {line.beginning}"
        report.count("noted", f"styles_15k.csv unreadable: {line.reason}", example)

    styles: dict[str, _Style] = {}
    for row in read_rows(path, STYLE_COLUMNS, skip, known=_OTHER_STYLE_COLUMNS):
        year = row["year"].strip()
        in_range = year.isdecimal() and 1900 <= int(year) <= 2100
        styles.setdefault(
            row["id"].strip(),
            _Style(_known(row["gender"]), _known(row["season"]), int(year) if in_range else None),
        )
    return styles


def _known(value: str) -> str | None:
    value = clean_title(value)
    return None if value.lower() in _BLANK else value


class _Images:
    """The image file, streamed: one pass checks and fingerprints, a second one hands them over."""

    def __init__(
        self, path: Path, wanted: Iterable[str], report: ImportReport, progress: bool
    ) -> None:
        self._path = path
        self._wanted = set(wanted)
        self.digest_of: dict[str, bytes] = {}  # sha256 of each usable image, in file order
        self.broken: dict[str, str] = {}
        extra = 0
        for product_id, data in self._stream("checking images", progress):
            if product_id not in self._wanted:
                extra += 1
            elif product_id in self.digest_of:
                report.count("noted", "a second image for one product_id, ignored", product_id)
            elif data is not None:
                try:
                    decode_image(data)
                except BadImageError as error:
                    self.broken[product_id] = error.reason
                else:
                    self.digest_of[product_id] = hashlib.sha256(data).digest()
        if extra:
            report.count("noted", "images of no product", times=extra)

    def of(self, product_ids: Iterable[str], progress: bool) -> Iterator[tuple[str, bytes]]:
        """(product_id, image) of those usable images, in file order, each once."""
        left = set(product_ids) & self.digest_of.keys()
        for product_id, data in self._stream("writing items", progress):
            if (
                product_id in left
                and data
                and hashlib.sha256(data).digest() == self.digest_of[product_id]
            ):
                left.discard(product_id)
                yield product_id, data

    def _stream(self, what: str, progress: bool) -> Iterator[tuple[str, bytes | None]]:
        try:
            file = pq.ParquetFile(self._path)
            missing = {"product_id", "jpeg"} - set(file.schema_arrow.names)
        except (OSError, pa.ArrowInvalid) as error:
            raise CatalogueError(f"{self._path} cannot be read: {error}") from error
        if missing:
            raise CatalogueError(f"{self._path} lacks the column(s) {', '.join(sorted(missing))}")
        with tqdm(total=file.metadata.num_rows, desc=what, disable=not progress) as bar:
            for batch in file.iter_batches(_IMAGE_BATCH, columns=["product_id", "jpeg"]):
                ids = batch["product_id"].cast(pa.string()).to_pylist()
                yield from zip(ids, batch["jpeg"].to_pylist(), strict=True)
                bar.update(len(ids))


def _with_usable_images(
    products: dict[str, _Product], images: _Images, allow_missing: bool, report: ImportReport
) -> dict[str, _Product]:
    kept = {}
    for product_id, product in products.items():
        usable = product_id in images.digest_of
        if not usable:
            broken = images.broken.get(product_id)
            reason = "no image" if broken is None else "a broken image"
            example = product_id if broken is None else f"{product_id}: {broken}"
            report.count("noted" if allow_missing else "dropped", reason, example)
        if usable or allow_missing:
            kept[product_id] = product
    return kept


def _recommended(
    products: dict[str, _Product], not_recommended: Mapping[str, str], report: ImportReport
) -> dict[str, _Product]:
    kept = {}
    for product_id, product in products.items():
        reason = not_recommended.get(product.master_category or "")
        if reason is None:
            kept[product_id] = product
        else:
            report.count("dropped", reason, product.title)
    return kept


def _described(
    products: dict[str, _Product], styles: dict[str, _Style], report: ImportReport
) -> list[Item]:
    """Items with brand and gender read from titles, and the figures of how well that goes."""
    ordinary = {
        w for p in products.values() for w in (p.colour, p.article_type, p.sub_category) if w
    }
    brands = BrandVocabulary((p.title for p in products.values()), ordinary)
    agreement: Counter[bool] = Counter()
    sources: Counter[str] = Counter()
    items = []
    for product in products.values():
        style = styles.get(product.product_id, _Style(None, None, None))
        brand, brand_words = brands.brand_of(product.title)
        said = gender_of_title(product.title, brand_words)
        if said is not None and style.gender is not None:
            agreement[said == style.gender] += 1
        gender = style.gender or said
        if said in ("Boys", "Girls") and style.gender in ("Men", "Women"):
            gender = said
            report.count(
                "repaired",
                "gender: the title says Boys or Girls, styles_15k.csv a grown-up",
                f"{product.title} ({style.gender})",
            )
        sources["gender known"] += gender is not None
        sources["brand known"] += brand is not None
        items.append(
            Item(
                item_id=product.product_id,
                title=product.title,
                brand=brand,
                gender=gender,
                master_category=product.master_category,
                sub_category=product.sub_category,
                article_type=product.article_type,
                colour=product.colour,
                season=style.season,
                usage=product.usage,
                year=style.year,
            )
        )
    report.figures["brands"] = len(brands)
    report.figures["share with a brand"] = sources["brand known"] / len(items)
    report.figures["share with a gender"] = sources["gender known"] / len(items)
    if agreement:
        report.figures["gender of title = gender of styles_15k.csv"] = (
            agreement[True] / agreement.total()
        )
    return items


def _with_variant_groups(
    items: list[Item], digest_of: dict[str, bytes], report: ImportReport
) -> list[Item]:
    """Items that show one picture and are of one article type are variants of one product."""
    first: dict[tuple[bytes, str | None], str] = {}
    grouped = []
    for item in items:
        digest = digest_of.get(item.item_id)
        if digest is not None:
            leader = first.setdefault((digest, item.article_type), item.item_id)
            if leader != item.item_id:
                report.count("noted", "same picture as another item: one variant group", item.title)
                item = replace(item, variant_group=leader)
        grouped.append(item)
    return grouped


def _with_images(
    items: list[Item], images: _Images, progress: bool
) -> Iterator[tuple[list[Item], list[bytes | None]]]:
    by_id = {item.item_id: item for item in items}
    batch: list[Item] = []
    data_of_batch: list[bytes | None] = []
    for product_id, data in images.of(by_id, progress):
        batch.append(by_id.pop(product_id))
        data_of_batch.append(data)
        if len(batch) == _IMAGE_BATCH:
            yield batch, data_of_batch
            batch, data_of_batch = [], []
    without = list(by_id.values())
    yield batch + without, data_of_batch + [None] * len(without)
