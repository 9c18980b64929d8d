"""HTML and SVG elements as strings that cannot be injected into: what is no `Html` is escaped.

The output is well-formed XML as well as HTML, so that a test can parse the whole page strictly.
"""

from __future__ import annotations

from html import escape
from typing import Final

VOID: Final = frozenset({"img", "input", "meta", "br", "circle", "line", "path", "rect", "use"})


class Html(str):
    """Markup that is safe to put into a page as it is."""


def element(name: str, /, *children: str, **attributes: str | float | None) -> Html:
    """`<name …>children</name>`.

    Attribute names take `_` for `-` and may end in `_` (class_); None leaves the attribute out, and
    numbers are written with at most three decimals.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID and not children:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Siblings, one after the other."""
    return Html("".join(c if isinstance(c, Html) else escape(c, quote=False) for c in children))


def paragraph(text: str, class_: str | None = None) -> Html:
    """Plain words, what stands between `backquotes` as code."""
    return element("p", *_with_code(text), class_=class_)


def _with_code(text: str) -> list[str]:
    parts = text.split("`")
    return [element("code", part) if n % 2 else part for n, part in enumerate(parts)]


def table(
    head: list[str], rows: list[list[str]], caption: str = "", class_: str | None = None
) -> Html:
    """A table that scrolls by itself where the screen is narrow; the first cell names its row."""
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell) for cell in row[1:]),
        )
        for row in rows
    ]
    inner = element(
        "table",
        *([element("caption", *_with_code(caption))] if caption else []),
        element("thead", element("tr", *(element("th", cell, scope="col") for cell in head))),
        element("tbody", *body),
        class_=class_,
    )
    # A region that scrolls must be reachable by keyboard, and named (WCAG 2.1.1).
    name = caption or head[0] or "table"
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=name)


def details(summary: str, *children: str) -> Html:
    return element("details", element("summary", summary), *children)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".")
