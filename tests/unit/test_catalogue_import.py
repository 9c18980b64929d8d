"""Importing the Fashion Product Images export: what is kept, repaired, dropped, and reported."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hemline.catalogue import ITEM_SCHEMA, Catalogue, Item
from hemline.catalogue_file import read_images
from hemline.errors import CatalogueError
from hemline_training.catalogue.fashion_products import import_fashion_products
from hemline_training.catalogue.items_file import write_items
from hemline_training.catalogue.report import ImportReport

HEADER = "product_id,title,description,category,image_url"
STYLES = (
    "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,"
    "productDisplayName,image"
)


def photo(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (6, 8), (shade, 80, 120)).save(data, "JPEG")
    return data.getvalue()


def row(
    product_id: str, title: str, about: str = "Apparel - Topwear - Tshirts - Red - Casual"
) -> str:
    category = about.split(" - ")[0]
    return f"{product_id},{title},{about},{category},data/images\\{product_id}.jpg"


def export(
    folder: Path,
    products: list[str | bytes],
    images: dict[str, bytes | None] | None = None,
    styles: tuple[str, ...] = (),
    large: tuple[str, ...] = (),
) -> Path:
    """An export folder; every row's leading id gets a photo of its own unless `images` is given."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [HEADER.encode(), *(p if isinstance(p, bytes) else p.encode() for p in products)]
    (folder / "products.csv").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "styles_15k.csv").write_text("\n".join([STYLES, *styles]) + "\n")
    if images is None:
        ids = dict.fromkeys(line.split(b",")[0].decode("latin-1") for line in lines[1:])
        images = {product_id: photo(n * 3 % 256) for n, product_id in enumerate(ids)}
    write_images(folder / "images_60x80.parquet", images)
    if large:
        write_images(folder / "images_224.parquet", {i: photo(1) for i in large})
    return folder


def write_images(path: Path, images: dict[str, bytes | None]) -> None:
    columns = {"product_id": list(images), "jpeg": list(images.values())}
    schema = pa.schema([("product_id", pa.large_string()), ("jpeg", pa.large_binary())])
    pq.write_table(pa.table(columns, schema=schema), path)


def counts(report: ImportReport, kind: str) -> dict[str, int]:
    return {name: r.count for name, r in report.reasons.items() if r.kind == kind}


def run(source: Path, **options: bool) -> tuple[ImportReport, Catalogue]:
    out = source.parent / "out"
    report = import_fashion_products(source, out, progress=False, **options)
    assert report.rows_in - report.dropped() == report.rows_out
    return report, Catalogue.load(out)


def test_a_row_becomes_an_item_with_its_picture(tmp_path: Path) -> None:
    about = "Apparel - Topwear - Kurtas - Red - Ethnic"
    source = export(
        tmp_path / "source",
        [row("007", "Mother Earth Women Aug  Bagru Red Kurtas ", about)],
        images={"007": photo(9)},
        styles=("007,Women,Apparel,Topwear,Kurtas,Red,Summer,2012,Ethnic,Title,007.jpg",),
    )

    report, catalogue = run(source)

    assert list(catalogue.items()) == [
        Item(
            "007",
            "Mother Earth Women Aug Bagru Red Kurtas",
            gender="Women",
            master_category="Apparel",
            sub_category="Topwear",
            article_type="Kurtas",
            colour="Red",
            season="Summer",
            usage="Ethnic",
            year=2012,
        )
    ]
    assert read_images(tmp_path / "out") == [photo(9)]
    assert pq.read_schema(tmp_path / "out" / "items.parquet").equals(ITEM_SCHEMA)
    assert (report.rows_in, report.rows_out) == (1, 1)
    assert counts(report, "repaired") == {
        "title: white space or entities": 1,
        "image_url: Windows path, image joined by id": 1,
    }


def test_a_file_full_of_nasty_rows_loses_only_those(tmp_path: Path) -> None:
    good = "Apparel - Topwear - Tshirts - Red - Casual"
    source = export(
        tmp_path / "source",
        [
            row("1", "Nike Men Red Tshirt"),
            "2,too few",
            row("3", "Nike Men Red Tshirt") + ",one,too,many",
            b"4,Nul\x00title,d,c,u",
            f'5,"Broken quote,{good},Apparel,u',
            row("6", "Puma Women Red Tshirt"),
            b"7,caf\xe9," + good.encode() + b",Apparel,u",
            "8," + "x" * 300_000 + f",{good},Apparel,u",
            row("9", "After the huge one"),
            row("1", "The same id again"),
            row("10", " "),
            row("11", "nan"),
            row("12", "Four parts", "Apparel - Topwear - Tshirts - Red"),
            row("13", "No picture"),
            row("14", "Broken picture"),
            row("15", "Null picture"),
            row("", "No id"),
            row("16", "Fossil Watch", "Free Items - Free Gifts - Free Gifts - Black - Casual"),
            row("17", "Swayam Cushion", "Home - Home Furnishing - Cushion Covers - Red - Home"),
            row(
                "18",
                "Kipsta Football",
                "Sporting Goods - Sports Equipment - Footballs - Red - Sports",
            ),
            row("19", "test dispName"),
            f'20,"Quoted, with a comma",{good},Apparel,u',
        ],
        images={
            **{
                i: photo(n * 20)
                for n, i in enumerate(["1", "6", "9", "16", "17", "18", "19", "20", "99"])
            },
            "14": photo(50)[:100],
            "15": None,
        },
    )

    report, catalogue = run(source)

    assert catalogue.item_ids == ["1", "6", "9", "20"]
    assert catalogue.titles[3] == "Quoted, with a comma"
    assert catalogue.titles[0] == "Nike Men Red Tshirt"
    assert report.rows_in == 22
    assert counts(report, "dropped") == {
        "unreadable: too few columns": 1,
        "unreadable: too many columns": 1,
        "unreadable: NUL bytes": 1,
        "unreadable: broken quotes": 1,
        "unreadable: not UTF-8": 1,
        "unreadable: a line longer than 65536 bytes": 1,
        "product_id repeated, the first row wins": 1,
        "no title": 2,
        "description is not five parts": 1,
        "no image": 2,
        "a broken image": 1,
        "unreadable: no row of this table": 1,
        "Free Items: gifts and vouchers, not for sale": 1,
        "Home: one lone cushion cover, nothing to recommend it beside": 1,
        "Basketballs and Footballs: played with, not worn": 1,
        "title is a header, a test entry or a file name": 1,
    }
    assert counts(report, "noted") == {"an image of no product in products.csv": 1}
    [why] = report.reasons["a broken image"].examples
    assert why.startswith("14: the image ") and "truncated" in why


def test_items_without_a_picture_may_be_kept_and_come_last(tmp_path: Path) -> None:
    rows = [row("1", "Without"), row("2", "With"), row("3", "Broken")]
    source = export(tmp_path / "source", rows, images={"2": photo(2), "3": b"no jpeg"})

    report, catalogue = run(source, allow_missing_images=True)

    assert catalogue.item_ids == ["2", "1", "3"]
    assert read_images(tmp_path / "out") == [photo(2), None, None]
    assert counts(report, "noted") == {"no image": 1, "a broken image": 1}
    assert counts(report, "dropped") == {}


def test_blank_attributes_are_unknown_not_words(tmp_path: Path) -> None:
    source = export(
        tmp_path / "source",
        [row("1", "Thing", "Apparel - nan - Tshirts -  - NA")],
        styles=("1,,Apparel,Topwear,Tshirts,,,,,Thing,1.jpg",),
    )

    item = run(source)[1].item(0)

    assert (item.sub_category, item.colour, item.usage, item.gender, item.season, item.year) == (
        (None,) * 6
    )


def test_the_title_outvotes_a_grown_up_gender_for_children_only(tmp_path: Path) -> None:
    source = export(
        tmp_path / "source",
        [row("1", "Palm Girl's Top"), row("2", "Reebok Men Bag"), row("3", "Lotto Women Shoe")],
        styles=(
            "1,Women,A,B,Tshirts,Red,Summer,2012,Casual,T,1.jpg",
            "2,Unisex,A,B,Tshirts,Red,Summer,2012,Casual,T,2.jpg",
        ),
    )

    report, catalogue = run(source)

    assert [item.gender for item in catalogue.items()] == ["Girls", "Unisex", "Women"]
    assert report.figures["gender of title compared on"] == 2
    assert report.figures["gender of title = styles_15k.csv"] == 0.0


def test_an_article_type_that_is_always_for_women_tells_the_gender(tmp_path: Path) -> None:
    saree = "Apparel - Saree - Sarees - Red - Ethnic"
    rows = [row(str(n), f"Prafful Women Saree {n}", saree) for n in range(20)]
    rows += [row("50", "FNF Red Sari", saree), row("51", "FNF Kids Sari", saree)]

    report, catalogue = run(export(tmp_path / "source", rows))

    assert catalogue.item(catalogue.row_of["50"]).gender == "Women"
    assert catalogue.item(catalogue.row_of["51"]).gender is None
    assert counts(report, "repaired")["gender: the article type is for one gender only"] == 1


def test_a_stray_goes_back_to_the_category_of_its_article_type(tmp_path: Path) -> None:
    belts = "Accessories - Belts - Belts - Brown - Formal"
    rows = [row(str(n), f"Belt {n}", belts) for n in range(120)]
    rows.append(row("500", "Stray belt", "Apparel - Topwear - Belts - Brown - Formal"))

    report, catalogue = run(export(tmp_path / "source", rows))

    stray = catalogue.item(catalogue.row_of["500"])
    assert (stray.master_category, stray.sub_category) == ("Accessories", "Belts")
    assert counts(report, "repaired")["category: stray among its article type"] == 1


def test_one_picture_on_one_article_type_is_one_product(tmp_path: Path) -> None:
    shoes = "Footwear - Shoes - Casual Shoes - Red - Casual"
    source = export(
        tmp_path / "source",
        [row("1", "Boys Tee"), row("2", "Boys Tee"), row("3", "Shoe", shoes), row("4", "Boys Tee")],
        images={"1": photo(1), "2": photo(1), "3": photo(1), "4": photo(4)},
    )

    report, catalogue = run(source)

    assert [item.variant_group for item in catalogue.items()] == ["1", "1", "3", "4"]
    noted = counts(report, "noted")
    assert noted["same picture as an earlier item: its variant"] == 1
    assert noted["same picture under two article types: kept apart"] == 1


def test_bottles_of_one_perfume_are_one_product_unless_the_title_is_ambiguous(
    tmp_path: Path,
) -> None:
    perfume = "Personal Care - Fragrance - Perfume and Body Mist - Red - Casual"
    titles = [
        "Boss Men Orange 60 ml Perfume",
        "Boss Men Orange 100ml Perfume",
        "Tommy Men 100 ml Perfume",
        "Tommy Men 100 ml Perfume",
        "Tommy Men 50 ml Perfume",
    ]
    rows = [row(str(n), title, perfume) for n, title in enumerate(titles)]
    rows += [row("8", "Quechua 22 g Bag"), row("9", "Quechua 10 g Bag")]

    _, catalogue = run(export(tmp_path / "source", rows))

    groups = {item.item_id: item.variant_group for item in catalogue.items()}
    assert groups == {"0": "0", "1": "0", "2": "2", "3": "3", "4": "4", "8": "8", "9": "9"}


def test_what_the_two_exports_do_not_share_is_told(tmp_path: Path) -> None:
    source = export(
        tmp_path / "source",
        [row("1", "Tee"), row("2", "Other tee")],
        styles=(
            "1,Men,A,B,Shirts,Red,Summer,12012,Casual,Tee,1.jpg",
            "3,Men,A,B,Shirts,Red,Summer,2012,Casual,Tee,3.jpg",
            "4,broken",
        ),
        large=("2", "5"),
    )

    report, catalogue = run(source)

    assert catalogue.item(0).article_type == "Tshirts"
    assert counts(report, "noted") == {
        "styles_15k.csv unreadable: too few columns": 1,
        "styles_15k.csv: year out of range, left unknown": 1,
        "in styles_15k.csv only, not imported": 1,
        "the exports disagree on articleType, products.csv wins": 1,
        "a 224 px photo of no product in products.csv": 1,
    }
    assert (tmp_path / "out" / "large_photos.txt").read_text() == "2\n"


def test_unknown_columns_are_ignored_and_told(tmp_path: Path) -> None:
    source = export(tmp_path / "source", [row("1", "Tee")])
    lines = (source / "products.csv").read_text().splitlines()
    (source / "products.csv").write_text(f"{lines[0]},margin\n{lines[1]},0.4\n")

    report, catalogue = run(source)

    assert len(catalogue) == 1
    assert report.reasons["unknown columns, ignored"].examples == ["products.csv: margin"]


def test_a_source_that_cannot_be_used_names_what_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    source = export(tmp_path / "empty", [row("1", "nan")])
    with pytest.raises(CatalogueError, match=r"products.csv has no usable row"):
        import_fashion_products(source, out, progress=False)

    source = export(tmp_path / "nopics", [row("1", "Tee")])
    (source / "images_60x80.parquet").unlink()
    with pytest.raises(CatalogueError, match=r"images_60x80.parquet cannot be read"):
        import_fashion_products(source, out, progress=False)

    source = export(tmp_path / "column", [row("1", "Tee")])
    (source / "products.csv").write_text("product_id,title,category,image_url\n")
    with pytest.raises(CatalogueError, match=r"products.csv lacks the column\(s\) description"):
        import_fashion_products(source, out, progress=False)

    source = export(tmp_path / "image-column", [row("1", "Tee")])
    pq.write_table(pa.table({"product_id": ["1"]}), source / "images_60x80.parquet")
    with pytest.raises(CatalogueError, match=r"images_60x80.parquet lacks the column\(s\) jpeg"):
        import_fashion_products(source, out, progress=False)

    assert not out.exists()


def test_the_same_export_gives_the_same_bytes(tmp_path: Path) -> None:
    source = export(tmp_path / "source", [row(str(n), f"Tee {n}") for n in range(30)])
    import_fashion_products(source, tmp_path / "a", progress=False)
    import_fashion_products(source, tmp_path / "b", progress=False)

    first, second = ((tmp_path / x / "items.parquet").read_bytes() for x in ("a", "b"))
    assert first == second


def test_a_failed_write_leaves_the_old_catalogue_whole(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    assert write_items(path, [([Item("1", "old")], [None])]) == 1

    def batches():
        yield [Item("2", "new")], [None]
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk is full"):
        write_items(path, batches())

    assert Catalogue.load(path).titles == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["items.parquet"]


def test_the_report_reads_for_people_and_machines(tmp_path: Path) -> None:
    report, _ = run(export(tmp_path / "source", [row("1", "Tee"), "2,short", row("3", "nan")]))

    written = json.loads((tmp_path / "out" / "import_report.json").read_text())
    assert written == report.to_json()
    assert (written["rows_in"], written["rows_out"]) == (3, 1)
    assert written["reasons"]["unreadable: too few columns"] == {
        "kind": "dropped",
        "count": 1,
        "examples": ["line 3: 2,short"],
    }
    text = report.to_text()
    assert "3 rows in, 1 items out" in text
    assert "unreadable: too few columns" in text
    assert max(len(line) for line in report.to_text(width=80).splitlines()[:8]) <= 80


def test_a_reason_keeps_a_few_examples_however_often_it_occurs() -> None:
    report = ImportReport("source")
    for n in range(100):
        report.count("noted", "odd", f"example {n} " + "x" * 500)

    assert report.reasons["odd"].count == 100
    assert [e[:10] for e in report.reasons["odd"].examples] == [f"example {n} " for n in range(5)]
    assert all(len(e) <= 160 for e in report.reasons["odd"].examples)


REAL = Path(__file__).parents[3] / "shared" / "data" / "fashion_products"


@pytest.mark.skipif(not REAL.exists(), reason="the real export is not on this machine")
def test_the_real_export_comes_through_by_these_counts(tmp_path: Path) -> None:
    report = import_fashion_products(REAL, tmp_path, progress=False)

    assert (report.rows_in, report.rows_out) == (44_072, 43_941)
    assert counts(report, "dropped") == {
        "Free Items: gifts and vouchers, not for sale": 105,
        "Basketballs and Footballs: played with, not worn": 21,
        "title is a header, a test entry or a file name": 4,
        "Home: one lone cushion cover, nothing to recommend it beside": 1,
    }
    assert counts(report, "repaired") == {
        "image_url: Windows path, image joined by id": 44_072,
        "gender: read from the title": 27_116,
        "gender: the article type is for one gender only": 1_258,
        "title: white space or entities": 529,
        "gender: the title says Boys or Girls, styles_15k.csv a grown-up": 114,
        "category: stray among its article type": 19,
        "title: gender word glued to its neighbour": 10,
    }
    assert counts(report, "noted") == {
        "same picture as an earlier item: its variant": 771,
        "in styles_15k.csv only, not imported": 111,
        "same product in another amount: its variant": 18,
        "a 224 px photo of no product in products.csv": 11,
        "same picture under two article types: kept apart": 5,
    }
    assert report.figures["items with a 224 px photo"] == 9_563
    assert report.figures["gender of title = styles_15k.csv"] >= 0.99
    assert report.figures["gender of article type = styles_15k.csv"] >= 0.99
    assert report.figures["share of items with a brand"] >= 0.99

    catalogue = Catalogue.load(tmp_path)
    assert len(catalogue) == 43_941
    assert catalogue.item(0).title == "Mother Earth Women Aug Bagru Red Kurtas"
    assert len(set(catalogue.variant_group.tolist())) == 43_941 - 771 - 18
    assert None not in read_images(tmp_path)
