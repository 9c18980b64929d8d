"""Each format on a small file made on the spot, with the faults its real files have."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hemline.catalogue import Catalogue
from hemline.cli.data import FORMAT_NAMES
from hemline.errors import DataError
from hemline_training.data.formats import FORMATS
from hemline_training.data.report import TooManyBadRowsError
from imported import imported

DAY_MS = 86_400_000


def jpeg(side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (200, 30, 60)).save(out, "JPEG")
    return out.getvalue()


def hm_folder(path: Path, transactions: list[str], customers: tuple[str, ...] = ()) -> Path:
    path.mkdir()
    (path / "articles.csv").write_text(
        "article_id,product_code,prod_name,product_type_name,product_group_name,index_group_name,"
        "section_name,colour_group_name,detail_desc\n"
        '0108775015,0108775,Strap top,Vest top,Garment Upper body,Ladieswear,Basics,Black,"Jersey,'
        ' narrow straps."\n'
        "0108775044,0108775,Strap top,Vest top,Garment Upper body,Ladieswear,Basics,White,\n"
        "0200000001,0200000,Overall,Overall,Garment Full body,Baby/Children,Baby Boy,Blue,Soft.\n"
    )
    (path / "customers.csv").write_text(
        "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n"
        + "".join(f"{line}\n" for line in customers)
    )
    (path / "transactions_train.csv").write_text(
        "t_dat,customer_id,article_id,price,sales_channel_id\n"
        + "".join(f"{line}\n" for line in transactions)
    )
    (path / "images" / "010").mkdir(parents=True)
    (path / "images" / "010" / "0108775015.jpg").write_bytes(jpeg(1024))
    (path / "images" / "010" / "0108775044.jpg").write_bytes(b"\xff\xd8 broken")
    return path


def test_hm_transactions_that_are_equal_are_one_event_with_a_quantity(tmp_path: Path) -> None:
    bought = "2018-09-20,c1,0108775015,0.0254,2"
    source = hm_folder(
        tmp_path / "hm",
        [bought, "2018-09-20,c1,0108775044,0.03,1", bought, bought, "2018-09-21,c1,0108775015,,2"],
    )

    done = imported("hm", source, tmp_path / "out")

    assert [(e["item_id"], e["quantity"], e["context"]) for e in done.events] == [
        ("0108775015", 3, "online"),
        ("0108775044", 1, "store"),
        ("0108775015", 1, "online"),
    ]
    assert done.events[0]["occurred_ms"] == 17_794 * DAY_MS
    assert done.events[0]["price"] == pytest.approx(0.0254)
    merged = {"equal events: one row with their number as quantity": 2}
    assert done.counts("events", "merged") == merged


def test_hm_articles_keep_their_zeros_and_get_their_pictures(tmp_path: Path) -> None:
    source = hm_folder(tmp_path / "hm", ["2018-09-20,c1,108775015,0.02,2"])

    done = imported("hm", source, tmp_path / "out")

    strap, white, overall = done.items
    assert done.events[0]["item_id"] == "0108775015"
    assert strap["description"] == "Jersey, narrow straps."
    assert (strap["gender"], overall["gender"]) == ("Women", "Boys")
    assert strap["variant_group"] == white["variant_group"] == "0108775"
    assert Image.open(io.BytesIO(strap["image"])).size == (512, 512)
    assert "image" not in white and "image" not in overall
    assert done.counts("items", "noted") == {
        "description: missing": 1,
        "image: broken, left out": 1,
        "image: none in the folder": 1,
    }
    assert Catalogue.load(tmp_path / "out").item(0).colour == "Black"


def test_hm_customers_who_name_no_age_get_one_that_is_marked(tmp_path: Path) -> None:
    lines = [f"c{n},1,1,ACTIVE,Regularly,{20 + n % 3},p" for n in range(60)]
    lines += [f"d{n},,,PRE-CREATE,NONE,{60 + n % 3},q" for n in range(60)]
    lines += ["young,1,1,ACTIVE,Regularly,,p", "old,,,PRE-CREATE,NONE,,q", "odd,,,,,1017,q"]
    source = hm_folder(tmp_path / "hm", ["2018-09-20,c1,0108775015,0.02,2"], tuple(lines))

    done = imported("hm", source, tmp_path / "out")

    users = {user["user_id"]: user for user in done.users}
    assert users["young"]["age_group"] == "18-24" and 55 <= users["old"]["age"] <= 65
    assert users["young"]["imputed"] == ["age", "age_group"]
    assert users["c1"]["imputed"] == []
    assert json.loads(users["c1"]["attributes"])["club_member_status"] == "ACTIVE"
    assert done.counts("users", "repaired") == {"age: no age, left unknown": 1}
    assert done.counts("users", "imputed") == {"age: predicted from the other columns": 3}
    figures = done.report.tables["users"].figures
    assert figures["age: years of error of the prediction, users held out"] < 3


def test_movielens_100k_is_read_with_or_without_its_header(tmp_path: Path) -> None:
    for name, header, sep in (("plain", False, "\t"), ("headed", True, "|")):
        folder = tmp_path / name
        folder.mkdir()
        ratings = ["196", "242", "3", "881250949"], ["1", "999", "6", "881250949"]
        lines = [sep.join(r) for r in ratings]
        users = ["1|24|M|technician|85711", "196|old|F|other|94043"]
        items = ["242|Kolya (1996)|24-Jan-1997||http://x|" + "|".join("01" + "0" * 17)]
        if header:
            lines.insert(0, sep.join(("user", "item", "rating", "timestamp")))
            users.insert(0, "user|age|gender|occupation|zip")
        (folder / "u.data").write_text("\n".join(lines) + "\n")
        (folder / "u.user").write_text("\n".join(users) + "\n")
        # The original is Latin-1 and would not be read as UTF-8.
        accent = "267|Fiancé (1995)|||x|" + "|".join("0" * 19)
        (folder / "u.item").write_bytes("\n".join([*items, accent]).encode("latin-1"))
        if header:
            columns = "item|title|releaseDate|videoReleaseDate|imdbURL|unknown|Action|Adventure|"
            columns += "Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|"
            columns += "Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
            (folder / "u.item").write_text("\n".join([columns, *items, accent]))

        done = imported("movielens", folder, tmp_path / f"out-{name}")

        assert [(e["user_id"], e["item_id"], e["rating"]) for e in done.events] == [
            ("196", "242", 3.0)
        ]
        assert done.events[0]["occurred_ms"] == 881_250_949_000
        assert done.counts("events", "dropped") == {"rating: none, or not above 0 and at most 5": 1}
        assert [item["title"] for item in done.items] == ["Kolya (1996)", "Fiancé (1995)"]
        assert (done.items[0]["year"], done.items[0]["article_type"]) == (1996, "Action")
        assert done.users[0]["age_group"] == "18-24" and "age" not in done.users[1]
        assert done.users[1]["gender"] == "female"


def test_movielens_1m_names_groups_of_ages_and_the_newer_ones_are_csv(tmp_path: Path) -> None:
    old, new = tmp_path / "1m", tmp_path / "latest"
    old.mkdir()
    new.mkdir()
    (old / "ratings.dat").write_text("1::1193::5::978300760\n")
    (old / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    (old / "movies.dat").write_bytes("1193::Café, a (1995)::Comedy|Drama\n".encode("latin-1"))
    (new / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,0.5,964982703\n")
    (new / "movies.csv").write_text('movieId,title,genres\n1,"Toys, 2 (1995)",(no genres listed)\n')

    older = imported("movielens", old, tmp_path / "a")
    newer = imported("movielens", new, tmp_path / "b")

    assert [u["age_group"] for u in older.users] == ["under 18", "55-64"]
    assert older.users[0]["imputed"] == ["age"]
    assert older.items[0]["title"] == "Café, a (1995)"
    assert older.items[0]["description"] == "Comedy, Drama"
    assert newer.events[0]["rating"] == 0.5
    assert newer.items[0]["title"] == "Toys, 2 (1995)" and "article_type" not in newer.items[0]
    assert [u["user_id"] for u in newer.users] == ["1"]


def test_rentals_come_from_the_original_json_and_from_tables_alike(tmp_path: Path) -> None:
    original = [
        {"user_id": "7", "item_id": "12", "rating": "10", "rented for": "vacation", "size": 14,
         "age": "28", "body type": "hourglass", "category": "gown",
         "review_date": "April 20, 2016"},
        {"user_id": "7", "item_id": "13", "rating": None, "rented for": "party", "age": "28",
         "category": "romper", "review_date": "June 18, 2013"},
        {"user_id": "8", "item_id": "13", "rating": "8", "age": "117", "category": "romper",
         "review_date": "2013-06-31"},
    ]  # fmt: skip
    source = tmp_path / "renttherunway_final_data.json.gz"
    with gzip.open(source, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in original)
        file.write("{broken\n")
    table = pa.table(
        {
            "user_id": pa.array([7, 7]),
            "item_id": pa.array([12, 12]),
            "rating": pa.array([10.0, None]),
            "rented_for": ["vacation", "vacation"],
            "category": ["gown", "gown"],
            "size": pa.array([14, 8]),
            "review_date": pa.array([16_911, 16_911], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "rentals.parquet")

    first = imported("rent-the-runway", source, tmp_path / "a", max_bad_share=0.6)
    second = imported("rent-the-runway", tmp_path / "rentals.parquet", tmp_path / "b")

    gown = {"user_id": "7", "item_id": "12", "kind": "purchase", "weight": 5.0, "rating": 10.0}
    gown |= {"quantity": 1, "size": "14", "context": "vacation", "occurred_ms": 16_911 * DAY_MS}
    assert first.events[0] == second.events[0] == gown
    assert "rating" not in first.events[1] and len(second.events) == 2
    assert first.counts("events", "dropped") == {
        "review_date: no date": 1,
        "unreadable: no JSON": 1,
    }
    assert first.users == [
        {"user_id": "7", "age": 28, "age_group": "25-34", "imputed": [],
         "attributes": '{"body_type": "hourglass"}'}
    ]  # fmt: skip
    assert [item["article_type"] for item in first.items] == ["gown", "romper"]


def test_pairs_of_a_given_split_are_text_or_arrays(tmp_path: Path) -> None:
    text, arrays = tmp_path / "text", tmp_path / "arrays"
    text.mkdir()
    arrays.mkdir()
    (text / "train.txt").write_text("0 5 6 5\n1 7\n\n")
    (text / "test.txt").write_text("0 8\n1\n")
    np.save(arrays / "train.npy", np.array([[0, 0, 1], [5, 6, 7]]))
    np.save(arrays / "valid.npy", np.array([[0, 5]] * 3))
    np.save(arrays / "test.npy", np.array([[0, -1, 4], [8, 1, 4]]))

    of_text = imported("pairs", text, tmp_path / "a")
    of_arrays = imported("pairs", arrays, tmp_path / "b")

    def triples(done):
        return [(e["user_id"], e["item_id"], e["split"]) for e in done.events]

    assert triples(of_text) == [
        ("0", "5", "train"),
        ("0", "6", "train"),
        ("1", "7", "train"),
        ("0", "8", "test"),
    ]
    assert of_text.counts("events", "merged") == {"the same pair again": 1}
    assert of_text.counts("events", "noted") == {"a user without items": 1}
    assert triples(of_arrays) == [
        *triples(of_text)[:3],
        ("0", "5", "valid"),
        ("0", "8", "test"),
        ("4", "4", "test"),
    ]
    assert of_arrays.counts("events", "dropped") == {"a negative id": 1}
    assert [(i["item_id"], i["title"], i["imputed"]) for i in of_text.items][:1] == [
        ("5", "5", ["title"])
    ]
    assert all(i["in_stock"] for i in of_text.items)


def test_pairs_between_commas_may_have_a_header_but_no_third_column(tmp_path: Path) -> None:
    source = tmp_path / "clicks.csv"
    lines = ["user_id,item_id", "ann,dress", "bob,coat", "bob,coat,5", "bob|coat"]
    source.write_text("\n".join(lines))

    done = imported("pairs", source, tmp_path / "out", max_bad_share=0.5)

    assert [(e["user_id"], e["item_id"]) for e in done.events] == [
        ("ann", "dress"),
        ("bob", "coat"),
    ]
    assert list(done.counts("events", "dropped")) == [
        "not a pair of user and item (more columns: use `table`)",
        "not separated by blanks, a comma or a tab",
    ]


@pytest.mark.parametrize("array", [np.zeros((3, 4), int), np.zeros((2, 4)), np.zeros(4, int)])
def test_an_array_of_another_shape_is_refused_by_name(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", array)
    with pytest.raises(DataError, match=r"train.npy has shape .* of shape \(2, N\)"):
        imported("pairs", tmp_path / "train.npy", tmp_path / "out")


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"train.npy is no readable .npy file"):
        imported("pairs", tmp_path / "train.npy", tmp_path / "out")


def test_baskets_are_trimmed_and_repeated_items_counted(tmp_path: Path) -> None:
    source = tmp_path / "groceries.csv"
    source.write_text('milk,cream cheese ,milk\n"soap, hard"\n,,\nmilk\n')

    done = imported("baskets", source, tmp_path / "out")

    assert [(e["session_id"], e["item_id"], e["quantity"]) for e in done.events] == [
        ("basket-1", "milk", 2),
        ("basket-1", "cream cheese", 1),
        ("basket-2", "soap, hard", 1),
        ("basket-4", "milk", 1),
    ]
    assert [item["title"] for item in done.items] == ["milk", "cream cheese", "soap, hard"]
    assert done.counts("events", "dropped") == {"a basket without items": 1}


def test_an_event_on_an_item_outside_the_catalogue_adds_it_out_of_stock(tmp_path: Path) -> None:
    source = hm_folder(tmp_path / "hm", ["2018-09-20,c1,0999999999,0.02,2"])

    done = imported("hm", source, tmp_path / "out")

    stray = done.items[-1]
    assert (stray["item_id"], stray["in_stock"], stray["imputed"]) == (
        "0999999999",
        False,
        ["title"],
    )
    assert done.items[0]["in_stock"]
    assert done.counts("items", "added") == {"known from events alone": 1}


def test_too_many_bad_rows_stop_the_run_with_the_reason_and_leave_nothing(tmp_path: Path) -> None:
    good, bad = "2018-09-20,c1,0108775015,0.02,2", "when,c1,0108775015,0.02,2"
    source = hm_folder(tmp_path / "hm", [good] * 6 + [bad] * 2)
    with pytest.raises(TooManyBadRowsError, match=r"events: 2 of 8 .* t_dat: no date .*when"):
        imported("hm", source, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hm"]

    done = imported("hm", source, tmp_path / "out", max_bad_share=0.25)
    assert len(done.events) == 1


def test_one_bad_row_alone_never_stops_a_run(tmp_path: Path) -> None:
    source = hm_folder(
        tmp_path / "hm", ["2018-09-20,c1,0108775015,0.02,2", "when,c1,0108775015,0.02,2"]
    )
    assert len(imported("hm", source, tmp_path / "out", max_bad_share=0.0).events) == 1


def test_an_older_import_is_replaced_and_a_foreign_folder_never(tmp_path: Path) -> None:
    source = tmp_path / "pairs.txt"
    source.write_text("1 2\n")
    imported("pairs", source, tmp_path / "out")
    source.write_text("3 4\n")
    assert imported("pairs", source, tmp_path / "out").events[0]["user_id"] == "3"

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="no imported data folder; choose another --out"):
        imported("pairs", source, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_failed_import_leaves_the_older_one_whole(tmp_path: Path) -> None:
    source = tmp_path / "pairs.txt"
    source.write_text("1 2\n")
    imported("pairs", source, tmp_path / "out")
    before = (tmp_path / "out" / "events.parquet").read_bytes()

    source.write_text("\xff,\n" * 4)
    with pytest.raises(DataError):
        imported("pairs", source, tmp_path / "out")

    assert (tmp_path / "out" / "events.parquet").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "pairs.txt"]


def test_the_command_line_offers_the_formats_there_are() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES


def test_what_a_killed_import_left_behind_is_removed_by_the_next(tmp_path: Path) -> None:
    of_nobody, of_somebody = tmp_path / ".out.999999999.tmp", tmp_path / f".out.{os.getppid()}.tmp"
    for folder in (of_nobody, of_somebody):
        (folder / "spools").mkdir(parents=True)
    (tmp_path / "pairs.txt").write_text("1 2\n")
    imported("pairs", tmp_path / "pairs.txt", tmp_path / "out")
    assert not of_nobody.exists() and of_somebody.exists()


def test_a_damaged_gzip_or_a_missing_column_is_said_by_name(tmp_path: Path) -> None:
    whole = gzip.compress(b"user_id,item_id\n" + b"1,2\n" * 5000)
    (tmp_path / "pairs.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"pairs.csv.gz is a damaged gzip file"):
        imported("pairs", tmp_path / "pairs.csv.gz", tmp_path / "out")

    pq.write_table(pa.table({"user_id": [1]}), tmp_path / "rentals.parquet")
    with pytest.raises(DataError, match=r"rentals.parquet lacks the column\(s\) item_id"):
        imported("rent-the-runway", tmp_path, tmp_path / "out")

    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds none of u.data, ratings.dat and ratings.csv"):
        imported("movielens", tmp_path / "empty", tmp_path / "out")
