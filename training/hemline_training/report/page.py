"""The document: heading, list of contents, sections, style; one file that needs nothing else.

The page forbids itself every connection (Content-Security-Policy), so that "works offline" is not
a matter of trust, and has no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hemline_training.report.charts import COLOURS
from hemline_training.report.elements import Html, element, join, paragraph

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """anchor: letters only. lead: a sentence or two that say what is to be seen. complete: False
    where its input is missing and the body only says so."""

    anchor: str
    title: str
    lead: str
    body: Html
    complete: bool = True


def absent(anchor: str, title: str, why: str) -> Section:
    """A section whose input is missing: the page says so in its place."""
    return Section(anchor, title, "", paragraph(why, class_="absent"), complete=False)


def page(title: str, about: Sequence[str], sections: Sequence[Section], made_from: str) -> str:
    """The whole HTML document. about: paragraphs below the heading."""
    contents = [
        element("li", element("a", section.title, href=f"#{section.anchor}"))
        for section in sections
    ]
    body = element(
        "body",
        element("a", "To the contents", class_="skip", href="#contents"),
        element("header", element("h1", title), *(paragraph(text) for text in about)),
        element("nav", element("ul", *contents), id="contents", aria_label="Contents"),
        element("main", *(_section(section) for section in sections)),
        element("footer", paragraph(made_from)),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", _style()),
    )
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _section(section: Section) -> Html:
    parts = [element("h2", section.title, id=f"{section.anchor}-title")]
    if section.lead:
        parts.append(paragraph(section.lead, class_="lead"))
    return element(
        "section",
        join(*parts, section.body),
        id=section.anchor,
        aria_labelledby=f"{section.anchor}-title",
    )


@cache
def _style() -> Html:
    """page.css, and the rules that hide a group of a map whose box is not ticked."""
    css = Path(__file__).with_name("page.css").read_text()
    hiding = "".join(
        f".scatter:has(.t{n}:not(:checked)) .g{n}{{display:none}}\n" for n in range(COLOURS)
    )
    return Html(css + hiding)
