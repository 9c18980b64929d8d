"""The report: one well-formed page without any reference outside, that says what it lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hemline.cli.__main__ import main
from hemline.errors import DataError, InvalidInputError
from hemline_training.report.charts import Bar, Dot, Line, bars, lines, scatter, ticks
from hemline_training.report.elements import Html, element, table
from hemline_training.report.evaluated import Evaluation, Model, of_release, read_evaluations
from hemline_training.report.published import published
from hemline_training.report.story import ReportConfig, write_report

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
    assert "On sure, ease is best of 2 (NDCG@20 0.1000), 2.0 times most popular" in header
    assert "its lead over popular is more than chance (0.0400 to 0.0600)" in header
    assert "its lead over popular may be chance" in header


def test_segments_are_drawn_where_there_are_people_and_few_people_are_named(tmp_path):
    _, text = report_of(tmp_path, evaluation(tmp_path))
    section = words(parsed(text).find(".//section[@id='segments']"))
    assert "New: nothing known (10 people)" in section and "20 or more" not in section
    assert "Fewer than 100 people, so read with care: New: nothing known" in section


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
    from hemline_training.report.comparison_section import comparison
    from hemline_training.report.segment_section import segments

    for section in (comparison([]), segments([])):
        assert not section.complete
        assert "hemline evaluate" in section.body


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


def test_the_verb_writes_the_page_and_says_what_is_missing(tmp_path, capsys):
    file = evaluation(tmp_path)
    out = tmp_path / "page.html"
    home = ["--home", str(tmp_path / "empty")]
    assert main(["report", "--evaluation", str(file), "--out", str(out), *home]) == 0
    printed = capsys.readouterr().out
    assert f"{out} (0.0 MB); open it in a browser" in printed
    assert main(["report", "--out", str(out), *home]) == 1
    assert "nothing to report on" in capsys.readouterr().err
