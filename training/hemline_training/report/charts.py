"""Charts as SVG written by hand: bars with intervals, and lines (`dot_map` has the third kind).

All words are HTML beside the drawing, so that they keep their size on a telephone; drawings stretch
in per cent. Colours are CSS classes c0 … c7 (dark and light are the style sheet's business), and
never alone: lines have dashes, points have shapes, bars have words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10

from hemline_training.report.elements import Html, details, element, join, table

COLOURS = 8
DOTTED = 30  # points of a curve above which they are not marked one by one


@dataclass(frozen=True)
class Bar:
    """interval: low and high around the value, where there is one. strong: drawn emphasised."""

    label: str
    value: float
    shown: str
    interval: tuple[float, float] | None = None
    strong: bool = False


def bars(rows: Sequence[Bar], top: float | None = None, what: str = "") -> Html:
    """Horizontal bars from zero, one row each, as a table whose first cell names the bar.

    top: value at the right edge, where several charts shall share one scale. what: the chart's name
    for those who do not see it.
    """
    end = (
        top
        or max((max(row.value, (row.interval or (0.0, 0.0))[1]) for row in rows), default=0.0)
        or 1.0
    )
    lines = [
        element(
            "tr",
            element("th", row.label, scope="row"),
            element("td", bar(row, end), class_="drawn"),
            element("td", row.shown),
            class_="strong" if row.strong else None,
        )
        for row in rows
    ]
    return element("table", element("tbody", *lines), class_="bars", aria_label=what or None)


def bar(row: Bar, end: float) -> Html:
    """One bar, `end` being the value at the right edge; its interval is a thin line across."""
    marks = [
        element("rect", class_="bar", x="0", y="3", height="12", width=_percent(row.value, end))
    ]
    if row.interval is not None:
        low, high = (_percent(value, end) for value in row.interval)
        across = {"x1": low, "x2": high, "y1": "9", "y2": "9"}
        # The lighter line below keeps the interval visible on top of a dark bar.
        marks += [element("line", class_=name, **across) for name in ("halo", "interval")]
    return element("svg", *marks, class_="inline", aria_hidden="true")


def _percent(value: float, end: float) -> str:
    return f"{100 * min(max(value / end, 0.0), 1.0):.2f}%"


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers within [low, high], about `wanted` of them."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / wanted
    power = 10.0 ** floor(log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = int(-(-low // step))
    out = []
    while first * step <= high + 1e-9 * span:
        out.append(first * step)
        first += 1
    return out


@dataclass(frozen=True)
class Line:
    """y: one value an epoch, from epoch 1; NaN where it was not measured. At least one was."""

    label: str
    y: Sequence[float]

    @property
    def points(self) -> list[tuple[int, float]]:
        """(epoch - 1, value) of those that were measured."""
        return [(epoch, value) for epoch, value in enumerate(self.y) if isfinite(value)]


def lines(series: Sequence[Line], x_name: str, y_name: str, from_zero: bool = False) -> Html:
    """Curves over 1, 2, 3 …, at most COLOURS of them, with a legend and the numbers below.

    from_zero: the axis begins at 0, as it must for shares, or small changes look large.
    """
    values = [value for line in series for _, value in line.points]
    low, high = min(values), max(values)
    margin = (high - low or abs(high) or 1.0) * 0.06
    low, high = 0.0 if from_zero else low - margin, high + margin
    longest = max(len(line.y) for line in series)

    def at(epoch: int, value: float) -> str:
        x = 100 * epoch / max(longest - 1, 1) if longest > 1 else 50.0
        return f"{x:.2f} {100 * (high - value) / (high - low):.2f}"

    marks = []
    for value in ticks(low, high):
        y = 100 * (high - value) / (high - low)
        marks.append(element("line", class_="grid", x1="0", x2="100", y1=y, y2=y))
    for number, line in enumerate(series):
        points = [at(epoch, value) for epoch, value in line.points]
        style = f"curve c{number % COLOURS} d{number % 4}"
        marks.append(element("path", class_=style, d="M" + "L".join(points)))
        if len(points) > DOTTED:
            continue
        dots = "".join(f"M{point}h0" for point in points)  # round caps make the dots
        marks.append(element("path", class_=f"dots c{number % COLOURS}", d=dots))
    drawing = element(
        "svg",
        *marks,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{y_name} by {x_name}: "
        + "; ".join(
            f"{line.label} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}"
            for line in series
        ),
    )
    labels = [
        element("span", f"{v:.4g}", style=f"top:{100 * (high - v) / (high - low):.2f}%")
        for v in ticks(low, high)
    ]
    steps = range(1, longest + 1) if longest <= 8 else (1, (longest + 1) // 2, longest)
    below = [
        element("span", str(step), style=f"left:{100 * (step - 1) / max(longest - 1, 1):.2f}%")
        for step in steps
    ]
    legend = [
        element("li", element("span", _sample(number), class_="swatch"), line.label)
        for number, line in enumerate(series)
        if len(series) > 1
    ]
    numbers = table(
        [x_name, *(line.label for line in series)],
        [
            [
                str(n + 1),
                *(
                    f"{dict(line.points)[n]:.4g}" if n in dict(line.points) else ""
                    for line in series
                ),
            ]
            for n in range(longest)
        ],
    )
    return join(
        element("p", y_name, class_="axis-name"),
        element(
            "div",
            element("div", *labels, class_="y-axis", aria_hidden="true"),
            element("div", drawing, class_="plot"),
            element("div", *below, class_="x-axis", aria_hidden="true"),
            class_="lines",
        ),
        element("p", x_name, class_="axis-name end"),
        *([element("ul", *legend, class_="legend")] if legend else []),
        details("The numbers", numbers),
    )


def _sample(number: int) -> Html:
    line = element("path", class_=f"curve c{number % COLOURS} d{number % 4}", d="M0 6H28")
    return element("svg", line, viewBox="0 0 28 12", width="28", height="12", aria_hidden="true")
