"""The report: one well-formed page without any reference outside, that says what it lacks."""

from __future__ import annotations

import io
import json
import re
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from hemline.catalogue import Catalogue, Item, items_table
from hemline.cli.__main__ import main
from hemline.errors import CatalogueError, DataError, InvalidInputError
from hemline.releases import Release, open_release, promote
from hemline_training.demo_catalogue import write_demo_catalogue
from hemline_training.pipeline import TrainConfig, train
from hemline_training.report import story
from hemline_training.report.charts import COLOURS, Bar, Line, bars, lines, ticks
from hemline_training.report.cluster_section import clusters
from hemline_training.report.comparison_section import comparison
from hemline_training.report.dot_map import Dot, scatter
from hemline_training.report.elements import Html, element, table
from hemline_training.report.evaluated import Evaluation, Model, of_release, read_evaluations
from hemline_training.report.loss_section import losses
from hemline_training.report.map_section import item_map, same_as_nearest
from hemline_training.report.model_lists import Served
from hemline_training.report.persona_section import recommendations
from hemline_training.report.personas import make_personas
from hemline_training.report.pictures import Pictures, data_uri
from hemline_training.report.published import published, title
from hemline_training.report.segment_section import segments
from hemline_training.report.story import ReportConfig, write_report
from tiny_release import tiny_encoder

TITLE = "Slim <i>jeans</i> & co"
SEGMENTS = {"0": 0.01, "1": 0.02, "2-4": 0.03}


def evaluation(
    folder: Path, name: str = "shop", models: dict[str, float] | None = None, **changes: Any
) -> Path:
    """A JSON as `hemline evaluate` writes it; models: name -> NDCG@20."""
    of = {
        model: {
            "metrics": {"recall@20": 2 * ndcg, "ndcg@20": ndcg, "ndcg@10": ndcg / 2},
            "ci": {"ndcg@20": [ndcg - 0.01, ndcg + 0.01]},
            "fit_seconds": 1.5,
            "peak_rss_mb": 321.0,
            "segments": {segment: {"ndcg@20": ndcg * v} for segment, v in SEGMENTS.items()},
        }
        for model, ndcg in (models or {"popular": 0.05, "ease": 0.1}).items()
    }
    data = {
        "models": of,
        "split": "given",
        "seed": 0,
        "cases": {"all": 30, "0": 10, "1": 10, "2-4": 10, "5-19": 0, "20+": 0},
        "data": {"path": f"/somewhere/{name}", "events": 99, "users": 30, "items": 12},
    }
    path = folder / f"{name}-{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(data | changes))
    return path


def parsed(text: str) -> ElementTree.Element:
    """The page as a tree: the parser refuses whatever is not well-formed."""
    assert text.startswith("<!doctype html>\n")
    return ElementTree.fromstring(text.partition("\n")[2])


def words(of: ElementTree.Element | None) -> str:
    assert of is not None
    return " ".join("".join(of.itertext()).split())


def report_of(folder: Path, *files: Path, **more: Any) -> tuple[dict[str, Any], str]:
    out = folder / "report.html"
    done = write_report(ReportConfig(out, files, **more))
    return done, out.read_text()


def test_the_page_is_well_formed_and_refers_to_nothing_outside(tmp_path):
    done, text = report_of(tmp_path, evaluation(tmp_path))
    page = parsed(text)
    assert done["bytes"] == len(text.encode())
    assert "http:" not in text and "https:" not in text and "<script" not in text
    for node in page.iter():
        for name in ("src", "href", "data", "action"):
            value = node.get(name, "#")
            assert value.startswith(("#", "data:")), (node.tag, name, value)
    assert "url(" not in text and "@import" not in text
    anchors = {node.get("id") for node in page.iter()}
    assert {a.get("href", "#")[1:] for a in page.iter("a")} <= anchors


def test_the_comparison_holds_every_model_with_interval_time_and_memory(tmp_path):
    _, text = report_of(tmp_path, evaluation(tmp_path))
    section = words(parsed(text).find(".//section[@id='comparison']"))
    for shown in ("ease", "popular", "0.1000 ±0.0100", "1.5", "321", "30 people to recommend to"):
        assert shown in section, shown


def test_the_first_words_name_the_winner_and_whether_its_lead_may_be_chance(tmp_path):
    pair = {"models": ["ease", "popular"], "metric": "ndcg@20", "difference": 0.05, "p": 0.002}
    sure = evaluation(tmp_path, "sure", paired=[{**pair, "ci": [0.04, 0.06]}])
    unsure = evaluation(tmp_path, "unsure", paired=[{**pair, "ci": [-0.01, 0.11]}])
    _, text = report_of(tmp_path, sure, unsure)
    header = words(parsed(text).find(".//header"))
    assert "sure: ease is best of 2 (NDCG@20 0.1000), 2.0 times most popular" in header
    assert "its lead over popular is more than chance (0.0400 to 0.0600)" in header
    assert "its lead over popular may be chance" in header


def test_segments_are_drawn_where_there_are_people_and_few_people_are_named(tmp_path):
    _, text = report_of(tmp_path, evaluation(tmp_path))
    section = words(parsed(text).find(".//section[@id='segments']"))
    assert "New: nothing known (10 people)" in section and "20 or more" not in section
    assert "Fewer than 100 people, so read with care: New: nothing known" in section


@pytest.mark.parametrize(
    ("weights", "shown"),
    [
        ([{"bspm": 0.25, "rp3beta": 0.75}], ["part weight", "bspm 0.250"]),
        (
            [{"0": {"recent": 1.0}, "1": {"near": 0.5}}],
            ["part 0 known 1 known", "near 0.000 0.500"],
        ),
    ],
)
def test_what_a_blend_is_made_of_is_told(tmp_path, weights, shown):
    file = evaluation(tmp_path, models={"blend": 0.1})
    data = json.loads(file.read_text())
    data["models"]["blend"]["weights"] = weights
    file.write_text(json.dumps(data))
    section = parsed(report_of(tmp_path, file)[1]).find(".//section[@id='comparison']")
    assert section is not None
    rows = [" ".join(map(words, row)) for row in section.iter("tr")]
    assert set(shown) <= set(rows)


def test_new_items_have_a_panel_where_they_were_measured(tmp_path):
    file = evaluation(tmp_path)
    data = json.loads(file.read_text())
    data["models"]["ease"]["cold_items"] = {"ndcg@20": 0.007, "recall@20": 0.01, "cases": 4}
    file.write_text(json.dumps(data))
    section = words(parsed(report_of(tmp_path, file)[1]).find(".//section[@id='segments']"))
    assert "New items, touched by nobody (4 people; own scale)" in section and "0.0070" in section


def test_files_of_one_data_set_are_one_table_and_a_repeated_model_is_told(tmp_path):
    first = evaluation(tmp_path, models={"popular": 0.05})
    second = evaluation(tmp_path, models={"ease": 0.1, "popular": 0.04})
    other = evaluation(tmp_path, "elsewhere")
    one, two = read_evaluations([first, other, second])
    assert [model.name for model in one.models] == ["popular", "ease"]
    assert two.name == "elsewhere"
    assert one.models[0].metrics["ndcg@20"] == 0.05
    assert f"popular is also in {second.name}" in one.notes[0]


def test_files_measured_on_other_users_are_said_to_be_not_comparable(tmp_path):
    first = evaluation(tmp_path, models={"popular": 0.05})
    second = evaluation(tmp_path, models={"ease": 0.1}, cases={"all": 7})
    (one,) = read_evaluations([first, second])
    assert "not strictly comparable" in one.notes[0]


def test_markup_in_a_name_is_shown_and_not_obeyed(tmp_path):
    evil = "<img src=x onerror=alert(1)>&\"'"
    file = evaluation(tmp_path, "shop", {evil: 0.1, "popular": 0.05})
    _, text = report_of(tmp_path, file)
    page = parsed(text)
    assert evil in words(page.find(".//section[@id='comparison']"))
    assert not list(page.iter("img"))
    assert element("p", "<b>", title='"') == '<p title="&quot;">&lt;b&gt;</p>'
    assert element("p", Html("<b>x</b>")) == "<p><b>x</b></p>"


def test_without_evaluations_the_page_says_how_to_get_them():
    for section in (comparison([]), segments([]), losses([], None)):
        assert not section.complete
        assert "<code>hemline evaluate" in section.body


def test_nothing_to_report_on_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(InvalidInputError, match="nothing to report on: name JSON files"):
        report_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "is not what `hemline evaluate --json` writes"),
        ('{"models": {"ease": {}}}', "is not what `hemline evaluate --json` writes"),
        ('{"models": {"ease": {"metrics": {"ndcg@20": "high"}}}}', "is not what"),
    ],
)
def test_a_file_that_is_no_evaluation_is_named(tmp_path, content, message):
    (tmp_path / "wrong.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_evaluations([tmp_path / "wrong.json"])
    assert "wrong.json" in str(caught.value)


def test_a_published_figure_stands_beside_its_family_on_the_same_split_alone():
    model = Model("ease", {"ndcg@20": 0.04})
    baby = Evaluation("renamed", "given", 0, [model], users=19445, items=7050)
    known = published(baby)
    assert known is not None and known.by_model["ease"][1]["ndcg@20"] == 0.0395
    assert (
        published(Evaluation("amazon_baby", "k-fold", 0, [model], users=19445, items=7050)) is None
    )


@pytest.mark.parametrize(
    ("name", "users", "items", "expected"),
    [
        ("evaluate-rent-the-runway", 105571, 5850, "Rent the Runway"),
        ("evaluate-our-own_shop", 30, 12, "our own shop"),
        ("renamed", 29858, 40981, "Gowalla, LightGCN's split"),
        ("-", 30, 12, "-"),
    ],
)
def test_data_have_a_title_that_people_can_read(name, users, items, expected):
    assert title(Evaluation(name, "given", 0, [], users=users, items=items)) == expected


def test_estimates_of_clicks_have_a_section_and_no_place_among_rankings(tmp_path):
    estimates = {"ctr_ips": 0.02, "ctr_snips": 0.03, "ctr_dr": 0.04, "ess": 70.0}
    model = {"metrics": estimates, "ci": {"ctr_dr": [0.01, 0.07]}}
    about = {
        "impressions": 900,
        "clicks": 9,
        "learned_from": {"impressions": 800, "clicks": 8},
        "logged": {"value": 0.01, "low": 0.005, "high": 0.02},
    }
    clicked = evaluation(tmp_path, "clicks", models={}, off_policy=about)
    data = json.loads(clicked.read_text())
    clicked.write_text(json.dumps({**data, "models": {"popular": model}}))
    done, text = report_of(tmp_path, evaluation(tmp_path), clicked)
    page = parsed(text)
    section = words(page.find(".//section[@id='clicks']"))
    assert done["sections"]["clicks"]
    for shown in ("900 impressions with 9 clicks", "as it was logged", "4.00%", "1.00% to 7.00%"):
        assert shown in section, shown
    assert "clicks" not in words(page.find(".//section[@id='comparison']/h3"))


def test_a_releases_own_figures_are_an_evaluation():
    interval = {"mean": 0.2, "low": 0.1, "high": 0.3}
    metrics = {
        "cases": {"all": 5, "0": 5},
        "models": {
            "cf": {"all": {"ndcg@20": interval, "coverage@20": 0.5}, "0": {"ndcg@20": interval}}
        },
        "simulated": True,
    }
    own = of_release({"id": "r1", "metrics": metrics, "items": 9, "catalogue": "mine"})
    assert own is not None and own.simulated and own.name == "The shop's catalogue (mine)"
    assert own.models[0].name == "iALS" and own.models[0].metrics["coverage@20"] == 0.5
    assert own.models[0].segment_ci["0"]["ndcg@20"] == (0.1, 0.3)
    assert of_release({"id": "r2"}) is None


def test_bars_keep_within_the_drawing_and_say_their_numbers():
    drawn = bars([Bar("a", 2.0, "2.0", (1.0, 3.0)), Bar("b", 1.0, "1.0")], what="two")
    tree = ElementTree.fromstring(drawn)
    widths = [rect.get("width") for rect in tree.iter("rect")]
    assert widths == ["66.67%", "33.33%"]  # the longest interval ends at the right edge
    assert "2.0" in words(tree)


# What a colour becomes without red, green or blue cones, in linear RGB (Machado et al., "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 2009).
SIGHT = {
    "all cones": np.eye(3),
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TO_XYZ = np.array([[0.434, 0.376, 0.190], [0.213, 0.715, 0.072], [0.018, 0.109, 0.873]])  # / white


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    x = TO_XYZ @ np.clip(rgb, 0, 1)
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_can_be_told_apart_with_every_kind_of_sight_and_from_the_paper(scheme, sight):
    css = Path(story.__file__).with_name("page.css").read_text()
    light, _, dark = css.partition("prefers-color-scheme: dark")
    found = dict(re.findall(r"--(\w+): (#\w{6})", {"light": light, "dark": dark}[scheme]))
    colours = [linear(found[f"c{n}"]) for n in range(COLOURS)]
    seen = [lab(np.array(SIGHT[sight]) @ colour) for colour in colours]
    apart = [np.linalg.norm(a - b) for a, b in combinations(seen, 2)]
    assert min(apart) > 20  # 2 is just noticeable side by side
    paper = TO_XYZ[1] @ linear(found["wash"])
    for colour in colours:
        low, high = sorted([paper, TO_XYZ[1] @ colour])
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 1.4.11


def test_ticks_are_round_numbers_within_the_range():
    assert ticks(0.0, 1.0) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert ticks(3.1, 9.7) == pytest.approx([4, 6, 8])
    assert ticks(2.0, 2.0) == [2.0]


def test_curves_are_drawn_from_left_to_right_with_their_numbers_below():
    tree = ElementTree.fromstring(
        f"<div>{lines([Line('one', [3.0, 2.0, 1.5])], 'epoch', 'loss')}</div>"
    )
    path = next(p for p in tree.iter("path") if "curve" in p.get("class", ""))
    xs = [float(point.split()[0]) for point in path.get("d", "")[1:].split("L")]
    ys = [float(point.split()[1]) for point in path.get("d", "")[1:].split("L")]
    assert xs == [0, 50, 100] and ys == sorted(ys)  # a falling loss goes down the page
    assert "1.5" in words(tree.find(".//table"))


def test_a_map_gives_each_group_colour_shape_box_and_titles():
    dots = [Dot(0, 0, 0, "shirt & tie"), Dot(2, 1, 1, "shoe")]
    tree = ElementTree.fromstring(scatter(dots, ["Tops", "Shoes"], "map", "a map"))
    assert [t.text for t in tree.iter("title")] == ["shirt & tie", "shoe"]
    assert {g.get("class") for g in tree.iter("g")} == {"dot c0 g0", "dot c1 g1"}
    assert len(list(tree.iter("input"))) == 2 and "Tops (1)" in words(tree)


def test_a_table_can_be_scrolled_by_keyboard():
    tree = ElementTree.fromstring(table(["model", "x"], [["a", "1"]], "All"))
    assert tree.get("tabindex") == "0" and tree.get("aria-label") == "All"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn shop with a release that was trained on it; the first title holds markup."""
    folder = tmp_path_factory.mktemp("home")
    catalogue = folder / "catalogue-demo"
    write_demo_catalogue(catalogue, items=240, progress=False)
    items = pq.read_table(catalogue / "items.parquet")
    titles = [TITLE, *items["title"].to_pylist()[1:]]
    place = items.column_names.index("title")
    items = items.set_column(place, items.schema.field("title"), pa.array(titles))
    pq.write_table(items, catalogue / "items.parquet")
    config = TrainConfig(catalogue, folder, users=300, quick=True, threads=1)
    release = train(config, tiny_encoder(16), Console(file=io.StringIO()))
    promote(folder / "releases", release.id)
    return folder


@pytest.fixture(scope="module")
def whole(home: Path) -> tuple[dict[str, Any], str]:
    """The report of that release, photos and all."""
    release = open_release(home / "releases")
    return report_of(home, release=release, catalogue=home / "catalogue-demo")


def test_the_report_of_a_release_has_every_section_whole(whole):
    done, text = whole
    page = parsed(text)
    anchors = ["comparison", "segments", "losses", "map", "clusters", "recommendations"]
    anchors += ["clicks", "words"]
    assert done["sections"] == {**dict.fromkeys(anchors, True), "clicks": False}
    assert [section.get("id") for section in page.iter("section")] == anchors
    assert done["bytes"] < 5_000_000 and "http:" not in text and "https:" not in text
    for svg in page.iter("svg"):  # every drawing is either described or decoration
        assert svg.get("aria-hidden") == "true" or svg.get("aria-label"), svg.attrib


def test_markup_in_a_title_is_shown_and_not_obeyed(whole):
    page = parsed(whole[1])
    assert TITLE in "".join(page.itertext()) and not list(page.iter("i"))


def test_every_persona_and_model_has_its_list_with_photos(whole):
    section = parsed(whole[1]).find(".//section[@id='recommendations']")
    assert section is not None
    personas = section.findall(".//div[@class='persona']")
    names = [words(persona.find("h3")) for persona in personas]
    assert names == [
        "A newcomer",
        "One click",
        "Five clicks on one kind",
        "Known from elsewhere",
    ]
    rows = [[words(h) for h in persona.findall("./div[@class='row']//h4")] for persona in personas]
    every = ["Most popular", "Content", "Item-CF", "iALS", "Two-tower", "Blend"]
    assert rows == [
        ["Most popular", "Blend"],
        every,
        every,
        ["Most popular", "Content", "Two-tower", "Blend"],
    ]
    for shelf in section.findall(".//div[@class='row']/ul"):
        pictures = [img.get("src", "") for img in shelf.iter("img")]
        assert len(pictures) == 8 and all(p.startswith("data:image/jpeg;base64,") for p in pictures)
    five = personas[2].find("./div[@class='history']")
    assert five is not None and len(list(five.iter("img"))) == 5


def test_the_towers_losses_are_drawn_and_an_older_release_says_it_has_none(home):
    release = open_release(home / "releases")
    assert "Serving uses as many epochs" in losses([], release).body
    older = Release(release.folder, {**release.manifest, "tower_history": []})
    assert "was trained before its losses were kept" in losses([], older).body


def test_losses_of_models_are_shares_of_their_first_and_gaps_stay_gaps():
    falling = Evaluation(
        "shop", "time", 0, [Model("lightgcn", {}, losses=[[4.0, 2.0], [2.0, 1.0]])]
    )
    body = losses([falling], None).body
    assert "lightgcn from 100 to 50" in ElementTree.fromstring(f"<p>{body}</p>").find(".//svg").get(
        "aria-label"
    )
    gaps = ElementTree.fromstring(
        f"<p>{lines([Line('a', [float('nan'), 1.0, 3.0])], 'x', 'y')}</p>"
    )
    path = next(p for p in gaps.iter("path") if "curve" in p.get("class", ""))
    assert path.get("d", "").startswith("M50.00") and path.get("d", "").count("L") == 1


def test_lists_hold_nothing_of_the_history_and_no_item_twice(home):
    release = open_release(home / "releases")
    served = Served.of(release)
    personas = make_personas(release.catalogue, served.models.popularity)
    for persona in personas[:3]:
        for name, rows in served.lists(persona.rows, None, 8).items():
            assert len(set(rows)) == 8 and not set(rows) & set(persona.rows), name
    kinds = [release.catalogue.item(row).article_type for row in personas[2].rows]
    assert len(set(kinds)) == 1 and len(kinds) == 5


def test_what_was_bought_elsewhere_is_followed_by_content_and_never_shown(home):
    """Foreign vectors that equal those of an item lead to that item, and to real rows alone."""
    release = open_release(home / "releases")
    served = Served.of(release)
    lists = served.lists([], np.array(release.item_content[[7]]), 5)
    assert set(lists) == {"popularity", "content", "tower", "blend"}
    nearest = np.argsort(-(release.item_content @ release.item_content[7]), kind="stable")
    found = release.item_content[lists["content"]] @ release.item_content[7]
    assert found == pytest.approx((release.item_content @ release.item_content[7])[nearest[:5]])
    assert all(0 <= row < len(release.catalogue) for rows in lists.values() for row in rows)


def test_without_photos_or_encoder_the_page_says_so_and_goes_on(home, tmp_path):
    release = open_release(home / "releases")
    done, text = report_of(tmp_path, release=release, catalogue=None)
    section = words(parsed(text).find(".//section[@id='recommendations']"))
    assert "No photos" in section and not done["sections"]["recommendations"]
    copy = tmp_path / "copy"
    shutil.copytree(release.folder, copy)
    (copy / "clip" / "encoder.json").unlink()
    section_of = recommendations(Release(copy, release.manifest), Pictures(release.catalogue, None))
    assert "the release's encoder cannot be read" in section_of.body


def test_another_catalogues_photos_are_refused(home, tmp_path):
    other = tmp_path / "other"
    write_demo_catalogue(other, items=20, seed=3, progress=False)
    items = pq.read_table(other / "items.parquet")
    ids = pa.array([f"x{n}" for n in range(20)])
    pq.write_table(items.set_column(0, items.schema.field(0), ids), other / "items.parquet")
    with pytest.raises(CatalogueError, match="none of the release's items; name the catalogue"):
        Pictures(open_release(home / "releases").catalogue, other)


def test_a_broken_photo_is_left_out():
    assert data_uri(b"not an image") is None


def test_too_few_items_for_a_map_or_clusters_are_told():
    rows = [Item(item_id=str(n), title=f"t{n}") for n in range(4)]
    catalogue = Catalogue.from_table(items_table(rows))
    vectors = np.eye(4, dtype=np.float32)
    assert "A map needs 10 items; there are 4" in item_map(catalogue, vectors).body
    shelf = Pictures(catalogue, None).shelf
    assert "Clusters need 10 items; there are 4" in clusters(catalogue, vectors, shelf).body


def test_the_nearest_dot_is_compared_with_chance():
    points = np.array([[0, 0], [0, 1], [9, 9], [9, 8]], dtype=np.float32)
    assert same_as_nearest(points, np.array([0, 0, 1, 1])) == (1.0, 0.5)
    assert same_as_nearest(points, np.array([0, 1, 0, 1])) == (0.0, 0.5)


def test_the_verb_writes_the_page_and_says_what_is_missing(tmp_path, capsys):
    file = evaluation(tmp_path)
    out = tmp_path / "page.html"
    home = ["--home", str(tmp_path / "empty")]
    assert main(["report", "--evaluation", str(file), "--out", str(out), *home]) == 0
    printed = capsys.readouterr().out
    assert f"{out} (0.0 MB); open it in a browser" in printed
    assert main(["report", "--out", str(out), *home]) == 1
    assert "nothing to report on" in capsys.readouterr().err
