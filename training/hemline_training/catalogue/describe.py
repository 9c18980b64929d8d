"""From rows of an export to items: brand, gender and category as a shopper would filter by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from hemline.catalogue import Item
from hemline_training.catalogue.fashion_rows import Product, Style
from hemline_training.catalogue.report import ImportReport
from hemline_training.catalogue.titles import BrandVocabulary, gender_of_title, is_for_children

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)

_NO_STYLE = Style()

# An article type tells the gender, and its place among the categories, when this share of at least
# so many items agrees: all 154 sarees of styles_15k.csv are for women, 810 of 813 belts are Belts.
_GENDER_SHARE, _GENDER_ITEMS = 0.98, 20
_PLACE_SHARE, _PLACE_ITEMS = 0.99, 50


def describe(
    products: Mapping[str, Product], styles: Mapping[str, Style], report: ImportReport
) -> list[Item]:
    """One item a product, in order; how much is known, and agrees, goes to `report.figures`."""
    products = _in_usual_place(products, report)
    ordinary = {p.colour for p in products.values()} | {p.article_type for p in products.values()}
    brands = BrandVocabulary((p.title for p in products.values()), filter(None, ordinary))

    brand_of: dict[str, str | None] = {}
    said: dict[str, str | None] = {}
    for product in products.values():
        brand_of[product.product_id], words = brands.brand_of(product.title)
        said[product.product_id] = gender_of_title(product.title, words)
    gender_of = _genders(products, styles, said, report)

    items = []
    for product_id, product in products.items():
        style = styles.get(product_id, _NO_STYLE)
        if style.article_type not in (None, product.article_type):
            example = f"{product_id}: {product.article_type} / {style.article_type}"
            report.count("noted", "the exports disagree on articleType, products.csv wins", example)
        items.append(
            Item(
                item_id=product_id,
                title=product.title,
                brand=brand_of[product_id],
                gender=gender_of[product_id],
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
    for name in ("brand", "gender", "season", "year"):
        share = sum(getattr(item, name) is not None for item in items) / len(items)
        report.figures[f"share of items with a {name}"] = round(share, 4)
    return items


def _genders(
    products: Mapping[str, Product],
    styles: Mapping[str, Style],
    said: Mapping[str, str | None],
    report: ImportReport,
) -> dict[str, str | None]:
    """styles_15k.csv wins, but over Boys and Girls in the title; then the title; then the type."""
    genders: dict[str, str | None] = {}
    title_agrees: Counter[bool] = Counter()
    for product_id, product in products.items():
        style = styles.get(product_id, _NO_STYLE)
        genders[product_id] = style.gender or said[product_id]
        if style.gender and said[product_id]:
            title_agrees[style.gender == said[product_id]] += 1
        if said[product_id] in ("Boys", "Girls") and style.gender in ("Men", "Women"):
            genders[product_id] = said[product_id]
            reason = "gender: the title says Boys or Girls, styles_15k.csv a grown-up"
            report.count("repaired", reason, f"{product.title} ({style.gender})")
        elif style.gender is None and said[product_id]:
            report.count("repaired", "gender: read from the title", product.title)

    usual = _usual(
        [(p.article_type, genders[i]) for i, p in products.items() if genders[i] is not None],
        _GENDER_SHARE,
        _GENDER_ITEMS,
    )
    type_agrees: Counter[bool] = Counter()
    for product_id, product in products.items():
        inferred = usual.get(product.article_type)
        if said[product_id] is not None or inferred is None or is_for_children(product.title):
            continue
        style = styles.get(product_id, _NO_STYLE)
        if style.gender is not None:
            type_agrees[style.gender == inferred] += 1
        else:
            genders[product_id] = inferred
            example = f"{product.title} ({inferred})"
            report.count("repaired", "gender: the article type is for one gender only", example)
    for name, agrees in (("title", title_agrees), ("article type", type_agrees)):
        if agrees:
            share = agrees[True] / agrees.total()
            report.figures[f"gender of {name} = styles_15k.csv"] = round(share, 4)
            report.figures[f"gender of {name} compared on"] = agrees.total()
    return genders


def _in_usual_place(products: Mapping[str, Product], report: ImportReport) -> dict[str, Product]:
    """A belt filed under Topwear goes back to the belts."""
    placed = {}
    usual = _usual(
        [(p.article_type, (p.master_category, p.sub_category)) for p in products.values()],
        _PLACE_SHARE,
        _PLACE_ITEMS,
    )
    for product_id, product in products.items():
        place = (product.master_category, product.sub_category)
        master, sub = usual.get(product.article_type) or place
        if (master, sub) != place:
            example = f"{product.title}: {product.sub_category} -> {sub}"
            report.count("repaired", "category: stray among its article type", example)
            product = replace(product, master_category=master, sub_category=sub)
        placed[product_id] = product
    return placed


def _usual(pairs: Iterable[tuple[K, V]], share: float, at_least: int) -> dict[K, V]:
    """For each key that occurs often enough: the value nearly all its pairs agree on."""
    counts: dict[K, Counter[V]] = {}
    for key, value in pairs:
        counts.setdefault(key, Counter())[value] += 1
    usual = {}
    for key, values in counts.items():
        value, count = values.most_common(1)[0]
        if values.total() >= at_least and count >= share * values.total():
            usual[key] = value
    return usual
