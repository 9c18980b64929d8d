"""A map of points as SVG written by hand: a group has a colour, a shape, and a box to hide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hemline_training.report.charts import COLOURS
from hemline_training.report.elements import Html, element

SHAPES = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True)
class Dot:
    """x, y: in any unit. group: index into the groups. title: shown when pointed at."""

    x: float
    y: float
    group: int
    title: str


def scatter(dots: Sequence[Dot], groups: Sequence[str], name: str, what: str) -> Html:
    """The map and its legend; hiding a group needs no script, only the style sheet.

    name: letters only, unique on the page. what: describes the map to those who do not see it.
    """
    left, right = min(d.x for d in dots), max(d.x for d in dots)
    top, bottom = min(d.y for d in dots), max(d.y for d in dots)
    span = max(right - left, bottom - top) or 1.0
    width, height = 960 * (right - left) / span + 20, 960 * (bottom - top) / span + 20
    layers: list[list[Html]] = [[] for _ in groups]
    for dot in dots:
        x, y = 10 + 960 * (dot.x - left) / span, 10 + 960 * (dot.y - top) / span
        shape = _shape(dot.group, x, y)
        layers[dot.group].append(element("path", element("title", dot.title), d=shape))
    drawn = [
        element("g", *marks, class_=f"dot c{number % COLOURS} g{number}")
        for number, marks in enumerate(layers)
    ]
    counts = [len(marks) for marks in layers]
    legend = [
        element(
            "li",
            element(
                "label",
                element("input", type="checkbox", checked="checked", class_=f"t{number}"),
                _mark(number),
                f"{group} ({counts[number]:,})",
            ),
        )
        for number, group in enumerate(groups)
    ]
    drawing = element(
        "svg", *drawn, viewBox=f"0 0 {width:.0f} {height:.0f}", role="img", aria_label=what
    )
    return element(
        "div", drawing, element("ul", *legend, class_="legend"), class_="scatter", id=name
    )


def _mark(group: int) -> Html:
    path = element("path", d=_shape(group, 8, 8))
    return element(
        "svg", path, class_=f"dot c{group % COLOURS}", viewBox="0 0 16 16", width="14", height="14",
        aria_hidden="true",
    )  # fmt: skip


def _shape(group: int, x: float, y: float) -> str:
    """A path about 9 units wide around (x, y)."""
    shape = SHAPES[group % len(SHAPES)]
    if shape == "circle":
        return f"M{x - 4.5:.1f} {y:.1f}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0"
    if shape == "square":
        return f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z"
    if shape == "triangle":
        return f"M{x:.1f} {y - 5:.1f}l5 9h-10z"
    return f"M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5-5.5z"
