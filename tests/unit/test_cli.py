"""The `hemline` command against a real gateway over the small shop, and without any cluster."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from hemline.catalogue import Catalogue, items_table
from hemline.cli.__main__ import main, parser
from hemline.cli.demo_style import choose_style, share
from hemline.errors import CatalogueError
from hemline.local.cluster_file import ClusterRecord, ProcessRecord, supervisor_lock, write_cluster
from hemline.releases import Release, current_id, release_ids
from hemline.v1 import common_pb2, recommender_pb2
from shop import Shop
from small_world import build_small_release, item_id, small_items, style_photo


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs one command line in this process."""

    def run(*argv: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in argv])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


@pytest.fixture
def ask(cli: Cli, shop: Shop) -> Callable[..., Any]:
    """Runs one command line against the shop's gateway; await it."""

    async def run(*argv: object) -> Outcome:
        return await asyncio.to_thread(cli, *argv, "--gateway", shop.address)

    return run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two releases, the second one promoted."""
    for _ in range(2):
        build_small_release(tmp_path / "releases")
    return tmp_path


Verb = tuple[str, argparse.ArgumentParser]


def verbs(of: argparse.ArgumentParser, path: str = "hemline") -> Iterator[Verb]:
    """Every parser that runs something."""
    if "run" in of._defaults:
        yield path, of
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from verbs(inner, f"{path} {name}")


ALL_VERBS = dict(verbs(parser()))


@pytest.mark.parametrize("path", ALL_VERBS)
def test_the_help_of_every_verb_has_an_example_that_parses(path: str) -> None:
    text = ALL_VERBS[path].format_help()
    examples = re.findall(r"^  (hemline .*)$", text.partition("\nexample:\n")[2], re.MULTILINE)
    assert examples and all(example.startswith(path) for example in examples)
    for example in examples:
        assert parser().parse_args(shlex.split(example)[1:]).run
    assert "--json" in text


def test_the_verbs_are_those_promised() -> None:
    assert sorted(ALL_VERBS) == sorted(
        f"hemline {verb}"
        for verb in (
            "demo",
            "catalog import",
            "data import",
            "data images",
            "catalog fill",
            "catalog demo",
            "catalog upsert",
            "catalog delete",
            "report",
            "train",
            "train clip",
            "train attributes",
            "evaluate",
            "evaluate clip",
            "release list",
            "release promote",
            "release rollback",
            "release verify",
            "release fetch",
            "release triton-models",
            "up",
            "down",
            "status",
            "recommend",
            "search",
            "similar",
            "click",
            "user",
            "import-history",
            "replay",
            "bench serve",
            "bench events",
            "bench replay",
            "bench grpc",
            "bench upserts",
            "bench retrieval",
            "keys create",
            "keys list",
            "keys revoke",
            "certs",
        )
    )


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from hemline.cli.__main__ import parser; parser().format_help(); "
        "print([m for m in ('numpy', 'grpc', 'rich', 'torch', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_reader_who_stops_reading_is_no_traceback(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "hemline.cli", "release", "list", "--home", home],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.returncode == 1 and done.stderr == ""


# -- asking ---------------------------------------------------------------------------------------


async def test_recommend_prints_a_table_with_what_the_answer_says_of_itself(
    ask: Cli, small_release: Release
) -> None:
    outcome = await ask("recommend", "nobody", "-k", 3)
    assert outcome.code == 0
    head, *rest = outcome.out.splitlines()
    assert head.startswith(f"for nobody: release {small_release.id}, not personal, ")
    assert "user_state" in rest[0] and "ms in stages" in rest[0]
    rows = [line for line in rest if line.startswith("│")]
    assert len(rows) == 3 and all("Popular with shoppers" in row for row in rows)


async def test_recommend_as_json_is_the_answer_itself(ask: Cli, small_release: Release) -> None:
    answer = (await ask("recommend", "nobody", "-k", 3, "--json")).json
    assert answer["info"]["release"] == small_release.id
    assert answer["info"]["personal"] is False and answer["info"]["degraded"] == []
    assert len({item["item"]["item_id"] for item in answer["items"]}) == 3


async def test_filters_of_one_attribute_are_alternatives_and_of_two_conditions(ask: Cli) -> None:
    of = ["--filter", "colour=red", "--filter", "colour=Blue", "--filter", "gender=Men"]
    answer = (await ask("recommend", "nobody", "-k", 50, *of, "--price", "12:20", "--json")).json
    items = [scored["item"] for scored in answer["items"]]
    assert {item["colour"] for item in items} == {"Red"}  # blue items are all for women
    assert {item["gender"] for item in items} == {"Men"}
    assert all(12 <= item["price"] <= 20 for item in items) and len(items) == 12


@pytest.mark.parametrize(
    ("price", "within"), [(":12", (0, 12)), ("27:", (27, 99)), ("15:15", (15, 15))]
)
async def test_either_end_of_a_price_may_be_open(
    ask: Cli, price: str, within: tuple[float, float]
) -> None:
    answer = (await ask("recommend", "nobody", "-k", 50, "--price", price, "--json")).json
    prices = [scored["item"].get("price") for scored in answer["items"]]
    assert (not prices) == (price == "15:15")  # number 5 would cost 15, but has no price
    assert all(within[0] <= value <= within[1] for value in prices)


async def test_explain_shows_what_each_model_added(ask: Cli) -> None:
    outcome = await ask("recommend", "nobody", "-k", 2, "--explain")
    assert re.search(r"popularity \+\d\.\d{3}", outcome.out)
    assert "Popular with shoppers" not in outcome.out


async def test_click_is_acknowledged_and_with_wait_visible(ask: Cli, shop: Shop) -> None:
    outcome = await ask("click", "ann", item_id("boots", 3), "--kind", "purchase", "--wait")
    assert outcome.code == 0
    assert re.fullmatch(r"purchase recorded as event \w{32}, visible after \d+ ms\n", outcome.out)
    answer = (await ask("recommend", "ann", "-k", 5, "--json")).json
    assert answer["info"]["personal"] and answer["info"]["history_events"] == 1
    assert all(s["item"]["item_id"].startswith("boots") for s in answer["items"][:3])

    recorded = (await ask("click", "ann", item_id("boots", 4), "--json")).json
    assert recorded["visible_ms"] is None
    await shop.applied("ann", 2)
    table = await ask("user", "ann")
    assert "ann: 2 events, 0 imported items" in table.out
    newest, oldest = [line for line in table.out.splitlines() if "boots" in line]
    assert "click" in newest and "purchase" in oldest
    assert (await ask("user", "ann", "--json")).json["state_version"] == "2"


async def test_an_unknown_user_is_no_error(ask: Cli) -> None:
    outcome = await ask("user", "nobody")
    assert (outcome.code, outcome.out) == (0, "nothing is stored of nobody\n")


async def test_search_by_text_by_image_and_with_taste(ask: Cli, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(style_photo("watch"))
    by_text = (await ask("search", "a scarf", "-k", 4, "--json")).json
    by_image = (await ask("search", "--image", tmp_path / "photo.png", "-k", 4, "--json")).json
    for answer, style in ((by_text, "scarf"), (by_image, "watch")):
        assert all(s["item"]["item_id"].startswith(style) for s in answer["items"])
    both = await ask("search", "a scarf", "--image", tmp_path / "photo.png", "--image-weight", 1)
    assert "watch-" in both.out and "scarf-" not in both.out

    await ask("click", "ann", item_id("boots", 3), "--wait")
    taste = ["--user", "ann", "--user-weight", "0.9"]
    personal = (await ask("search", "a scarf", "-k", 4, *taste, "--json")).json
    assert personal["info"]["personal"]
    assert personal["items"][0]["item"]["item_id"].startswith("boots")


async def test_similar_items_are_of_the_same_style(ask: Cli) -> None:
    outcome = await ask("similar", item_id("jeans", 2), "-k", 5)
    assert outcome.code == 0 and len(re.findall(r"│ jeans-\d\d ", outcome.out)) == 5


# -- what is wrong, in one line -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("recommend", "ann", "-k", "0"), "k: 0 is outside 1..500"),
        (("recommend", "x" * 129), "user_id: has 129 characters"),
        (("recommend", "ann", "--filter", "size=M"), "attribute: 'size' is not one of brand"),
        (("recommend", "ann", "--price", "9:3"), "min 9 is above max 3"),
        (("click", "ann", "nothing"), "event.item_id: unknown item 'nothing'"),
        (("similar", "nothing"), "item_id: unknown item 'nothing'"),
        (("search",), "text: text or image must be given"),
        (("search", "--image", __file__), "image: not an image of a known format"),
        (("search", "--image", "/nowhere.jpg"), "/nowhere.jpg: No such file or directory"),
        (("search", "boots", "--user", "a", "--user-weight", "7"), "user_weight: 7 is outside"),
        (("import-history", "ann", __file__), "is not a .csv, .json or .jsonl file"),
    ],
)
async def test_a_wrong_call_is_one_line_that_names_the_field(
    ask: Cli, argv: tuple[str, ...], line: str
) -> None:
    outcome = await ask(*argv)
    assert outcome.code == 1 and outcome.out == ""
    assert len(outcome.lines) == 1 and outcome.lines[0].startswith("hemline: ")
    assert line in outcome.lines[0]


async def test_a_backend_that_is_down_is_one_line(ask: Cli, shop: Shop) -> None:
    shop.encoders.down = True
    outcome = await ask("search", "boots")
    assert outcome.code == 1
    assert outcome.lines == [
        "hemline: the query could not be encoded: clip_text unavailable",
    ]


async def test_a_degraded_answer_says_what_was_left_out(ask: Cli, shop: Shop) -> None:
    shop.encoders.down = True
    await ask("click", "ann", item_id("boots", 3), "--wait")
    outcome = await ask("recommend", "ann")
    assert outcome.code == 0
    assert "degraded: user_vector (unavailable), instead: content space only" in outcome.out


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("dance",),
        ("recommend",),
        ("recommend", "ann", "--filter", "red"),
        ("recommend", "ann", "--price", "cheap"),
        ("recommend", "ann", "--price", ":"),
        ("click", "ann", "boots-03", "--kind", "steal"),
        ("catalog",),
        ("catalog", "demo"),
    ],
)
def test_what_cannot_be_understood_exits_with_2(cli: Cli, argv: tuple[str, ...]) -> None:
    outcome = cli(*argv)
    assert outcome.code == 2 and outcome.out == ""
    assert "error:" in outcome.lines[-1]


def cut_photo() -> bytes:
    """A PNG with a good header; that its data is cut off only decoding tells."""
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "PNG")
    return out.getvalue()[:2000]


# -- import-history -------------------------------------------------------------------------------


async def test_bad_rows_are_reported_by_number_and_the_rest_goes_through(
    ask: Cli, shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_bytes(style_photo("boots"))
    (tmp_path / "photos" / "blank.png").write_bytes(style_photo("boots")[:20])
    (tmp_path / "wardrobe.csv").write_text(
        "title,image,category,price,currency,weight,kind,size\n"
        "Old boots,photos/one.png,Shoes,39.5,EUR,,purchase,L\n"
        ",,Shoes,,,,,\n"
        "Boots,,Shoes,cheap,EUR,,,\n"
        "Boots,,Shoes,,,101,,\n"
        "Boots,,Shoes,,,,stolen,\n"
        "Boots,photos/none.png,,,,,,\n"
        "Boots,photos/blank.png,,,,,,\n"
        "Boots again,,Shoes,,,2,,\n"
    )
    outcome = await ask("import-history", "eve", tmp_path / "wardrobe.csv", "--platform", "other")
    assert (outcome.code, outcome.out) == (0, "2 of 8 items imported for eve\n")
    assert outcome.lines == [
        "column 'size' is not used",
        "row 2: title: title or image must be given",
        "row 3: price: 'cheap' is not a number",
        "row 4: weight: 101 is not above 0 and at most 100",
        "row 5: kind: 'stolen' is not one of view, click, wish, bag, purchase, dislike",
        "row 6: image: none.png: No such file or directory",
        outcome.lines[6],
    ]
    assert outcome.lines[6].startswith("row 7: image: ")
    await shop.applied("eve", 1)
    answer = (await ask("recommend", "eve", "-k", 5, "--json")).json
    assert answer["info"]["personal"]
    assert all(s["item"]["item_id"].startswith("boots") for s in answer["items"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.json", json.dumps([{"title": "Watch", "weight": 3}, "Watch", {"image": ""}])),
        ("rows.jsonl", '{"title": "Watch", "weight": 3}\n\nnot json\n{"image": ""}\n'),
    ],
)
async def test_json_and_jsonl_are_read_too(ask: Cli, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    result = (await ask("import-history", "eve", tmp_path / name, "--json")).json
    assert (result["rows"], result["accepted"]) == (3, 1)
    assert [(bad["number"], bad["field"]) for bad in result["bad_rows"]] == [
        (2, "row"),
        (3, "title"),
    ]


async def test_items_the_gateway_refuses_keep_their_row_numbers(ask: Cli, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(cut_photo())
    rows = [{"title": "Watch"}, {"title": ""}, {"title": "Watch", "image": "cut.png"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    result = (await ask("import-history", "eve", tmp_path / "rows.json", "--json")).json
    assert result["accepted"] == 1
    assert [(bad["number"], bad["field"]) for bad in result["bad_rows"]] == [
        (2, "title"),
        (3, "image"),
    ]


async def test_when_no_row_is_usable_the_exit_code_says_so(ask: Cli, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(cut_photo())
    (tmp_path / "rows.json").write_text(json.dumps([{"image": "cut.png"}, {"image": "cut.png"}]))
    outcome = await ask("import-history", "eve", tmp_path / "rows.json")
    assert (outcome.code, outcome.out) == (1, "0 of 2 items imported for eve\n")
    assert len(outcome.lines) == 2 and outcome.lines[0].startswith("row 1: image: ")


async def test_more_items_than_one_request_takes_are_sent_in_portions(
    ask: Cli, shop: Shop, tmp_path: Path
) -> None:
    rows = "".join(f"Boots {number}\n" for number in range(450))
    (tmp_path / "many.csv").write_text("title\n" + rows)
    result = (await ask("import-history", "eve", tmp_path / "many.csv", "--json")).json
    assert result["accepted"] == 450 and len(set(result["import_ids"])) == 3
    await shop.applied("eve", 3)
    assert (await ask("user", "eve", "--json")).json["imported_items"] == 450

    # Only the first portion replaces what was there, or the others would replace that in turn.
    argv = ("import-history", "eve", tmp_path / "many.csv", "--replace", "--json")
    assert (await ask(*argv)).json["accepted"] == 450
    await shop.applied("eve", 6)
    assert (await ask("user", "eve", "--json")).json["imported_items"] == 450


# -- finding the cluster --------------------------------------------------------------------------


def test_without_a_cluster_one_line_says_how_to_start_one(cli: Cli, tmp_path: Path) -> None:
    for argv in (("recommend", "ann"), ("status",)):
        outcome = cli(*argv, "--home", tmp_path)
        assert outcome.code == 1 and len(outcome.lines) == 1
        assert f"no cluster is up in {tmp_path}; start one with `hemline up`" in outcome.lines[0]
    down = cli("down", "--home", tmp_path)
    assert (down.code, down.out) == (0, f"nothing was up in {tmp_path}\n")


def test_an_address_where_nobody_answers_is_one_line(cli: Cli) -> None:
    outcome = cli("recommend", "ann", "--gateway", "127.0.0.1:1", "--timeout", "0.2")
    assert outcome.code == 1
    assert outcome.lines[0].startswith("hemline: no gateway answers in plaintext at 127.0.0.1:1; ")


async def test_the_cluster_of_the_home_is_found_and_shown(
    cli: Cli, shop: Shop, tmp_path: Path
) -> None:
    us = psutil.Process()
    processes = [
        ProcessRecord(name, pid, us.create_time(), us.create_time(), 2, shop.address, health, "")
        for name, pid, health in (
            ("gateway", us.pid, (f"grpc://{shop.address}",)),
            ("updater", 0, ("grpc://127.0.0.1:1",)),
        )
    ]
    run = tmp_path / "run"
    with supervisor_lock(run):
        record = ClusterRecord(us.pid, "running", 0.0, "r1", False, shop.address, tuple(processes))
        write_cluster(run, record)
        found = await asyncio.to_thread(cli, "recommend", "ann", "--home", tmp_path)
        status = await asyncio.to_thread(cli, "status", "--home", tmp_path)
        plain = (await asyncio.to_thread(cli, "status", "--home", tmp_path, "--json")).json
    assert found.code == 0 and "for ann" in found.out
    assert status.code == 1 and "not started" in status.out and "healthy" in status.out
    assert [process["health"] for process in plain["processes"]] == ["healthy", "not started"]
    assert plain["processes"][0]["restarts"] == 2 and plain["healthy"] is False


def test_up_without_a_release_says_what_to_run(cli: Cli, tmp_path: Path) -> None:
    for more in ((), ("--detach",)):
        outcome = cli("up", "--home", tmp_path, *more)
        assert outcome.code == 1 and len(outcome.lines) == 1
        assert "run `hemline train` first" in outcome.lines[0]


def test_a_second_up_in_the_same_home_is_refused(cli: Cli, home: Path) -> None:
    with supervisor_lock(home / "run"):
        for more in ((), ("--detach",)):
            outcome = cli("up", "--home", home, *more)
            assert outcome.code == 1 and len(outcome.lines) == 1
            assert f"a cluster is already up in {home} (supervisor {os.getpid()})" in outcome.err
        demo = cli("demo", "--home", home)
    assert demo.code == 1 and "a cluster is already up" in demo.err


# -- releases -------------------------------------------------------------------------------------


def test_releases_are_listed_promoted_and_rolled_back(cli: Cli, home: Path) -> None:
    first, second = release_ids(home / "releases")
    listed = cli("release", "list", "--home", home, "--json").json
    assert [(r["release"], r["current"]) for r in listed] == [(second, True), (first, False)]
    assert second in cli("release", "list", "--home", home).out

    back = cli("release", "rollback", "--home", home)
    assert (back.code, back.out) == (0, f"release {first} is current now; it was {second}\n")
    assert current_id(home / "releases") == first
    forth = cli("release", "promote", second, "--home", home, "--json").json
    assert forth == {"release": second, "previous": first, "serving": None}


def test_promoting_says_that_the_running_cluster_serves_another(cli: Cli, home: Path) -> None:
    first, second = release_ids(home / "releases")
    with supervisor_lock(home / "run"):
        record = ClusterRecord(os.getpid(), "running", 0.0, second, False, "127.0.0.1:1", ())
        write_cluster(home / "run", record)
        outcome = cli("release", "promote", first, "--home", home)
    assert outcome.code == 0 and f"still serves {second}" in outcome.err


def test_a_damaged_release_is_found_and_not_promoted(cli: Cli, home: Path) -> None:
    first, second = release_ids(home / "releases")
    assert re.search(r"is whole: 1\d files", cli("release", "verify", "--home", home).out)
    (home / "releases" / first / "blend.json").write_text("{}")
    for verb in ("verify", "promote"):
        outcome = cli("release", verb, first, "--home", home)
        assert outcome.code == 1
        assert outcome.lines == [f"hemline: release {first}: blend.json has a wrong checksum"]
    assert current_id(home / "releases") == second


def test_an_unknown_release_is_one_line(cli: Cli, home: Path) -> None:
    outcome = cli("release", "promote", "r0009-00000000", "--home", home)
    assert outcome.code == 1 and "release 'r0009-00000000' does not exist" in outcome.err


# -- catalogues -----------------------------------------------------------------------------------


def test_a_demo_catalogue_is_drawn_and_reported(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("catalog", "demo", "--out", tmp_path, "--items", 5)
    assert outcome.code == 0 and "5 items out" in outcome.out
    assert len(Catalogue.load(tmp_path)) == 5
    assert cli("catalog", "demo", "--out", tmp_path, "--items", 3, "--json").json["rows_out"] == 3


def test_a_folder_of_no_known_format_is_one_line(cli: Cli, tmp_path: Path) -> None:
    for path, line in ((tmp_path, "has no known format"), (tmp_path / "x", "is not a folder")):
        outcome = cli("catalog", "import", path, "--out", tmp_path / "out")
        assert outcome.code == 1 and len(outcome.lines) == 1 and line in outcome.lines[0]


def test_training_on_a_missing_catalogue_is_one_line(cli: Cli, tmp_path: Path) -> None:
    outcome = cli(
        "train", "--catalog", tmp_path / "none", "--encoder", tmp_path, "--home", tmp_path
    )
    assert outcome.code == 1 and outcome.lines[-1].startswith("hemline: ")
    assert "Traceback" not in outcome.err


# -- the demo's choices ---------------------------------------------------------------------------


def catalogue_of(groups: list[tuple[str, str, str, int]]) -> Catalogue:
    """(gender, article type, colour, how many) -> items named by group and number."""
    template = small_items()[0]
    items = [
        type(template)(
            item_id=f"{gender}-{article_type}-{colour}-{number}",
            title="x",
            gender=gender,
            article_type=article_type,
            colour=colour,
        )
        for gender, article_type, colour, count in groups
        for number in range(count)
    ]
    return Catalogue.from_table(items_table(items))


def test_the_style_is_the_largest_kind_the_cold_list_shows_least() -> None:
    catalogue = catalogue_of(
        [
            ("Women", "Dresses", "Red", 30),
            ("Men", "Shirts", "Blue", 21),
            ("Men", "Shirts", "Red", 4),
        ]
    )
    style = choose_style(catalogue, not_like=[])
    assert (style.gender, style.article_type, style.colour) == ("Women", "Dresses", "Red")
    style = choose_style(catalogue, not_like=["Women-Dresses-Red-7"])
    assert (style.name, style.items) == ("blue shirts for men", 21)
    assert style.clicks == tuple(f"Men-Shirts-Blue-{number}" for number in range(5))
    both = ["Men-Shirts-Blue-1", "Men-Shirts-Red-1", "Women-Dresses-Red-7"]
    assert choose_style(catalogue, not_like=both).article_type == "Dresses"


def test_a_colour_of_few_items_is_clicked_but_not_promised() -> None:
    style = choose_style(
        catalogue_of([("Men", "Shirts", "Blue", 8), ("Men", "Shirts", "Red", 14)]), not_like=[]
    )
    assert (style.colour, style.items) == ("", 22)
    assert all(item_id.startswith("Men-Shirts-Red-") for item_id in style.clicks)


def test_a_catalogue_without_a_large_enough_kind_is_refused() -> None:
    catalogue = catalogue_of([("Men", "Shirts", "Blue", 19), ("", "Shirts", "Blue", 50)])
    with pytest.raises(CatalogueError, match="has 20 items"):
        choose_style(catalogue, not_like=[])


def test_share_counts_the_items_of_an_answer() -> None:
    scored = [
        common_pb2.ScoredItem(item=common_pb2.Item(colour=colour))
        for colour in ("Red", "Red", "Blue", "")
    ]
    answer = recommender_pb2.RecommendResponse(items=scored)
    assert share(answer, "colour", "Red") == 0.5
    assert share(recommender_pb2.RecommendResponse(), "colour", "Red") == 0.0
