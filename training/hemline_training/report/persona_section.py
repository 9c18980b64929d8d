"""Example recommendations: what every model of the release shows to a few made-up shoppers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hemline.blend import SEGMENTS
from hemline.encoders.clip import load_clip
from hemline.encoders.clip_folder import EncoderError
from hemline.releases import Release
from hemline.vectors import F32
from hemline_training.report.elements import Html, details, element, join, paragraph, table
from hemline_training.report.model_lists import SHOWN, Served
from hemline_training.report.page import Section
from hemline_training.report.personas import Persona, make_personas
from hemline_training.report.pictures import Pictures

TITLE = "What would a shopper see?"
ITEMS = 8  # of a list

_SAYS = {
    "popularity": "what most people like",
    "content": "what looks and reads like it",
    "neighbours": "liked by the same people",
    "cf": "taste learned from who likes what",
    "tower": "photo, words and likes together",
    "blend": "all of them weighed: what is served",
}
_PARTS = {**SHOWN, "trending": "Trending"}

EncodeTexts = Callable[[Sequence[str]], F32]


def recommendations(release: Release, pictures: Pictures) -> Section:
    """The lists of every persona and model. Raises ReleaseError as `Served.of`."""
    served = Served.of(release)
    catalogue = release.catalogue
    personas = make_personas(catalogue, served.models.popularity)
    vectors, why_not = _foreign_vectors(release, personas)
    lists = [
        served.lists(of.rows, vectors.get(of.name), ITEMS)
        for of in personas
        if not of.foreign or of.name in vectors
    ]
    shown = [of for of in personas if not of.foreign or of.name in vectors]
    pictures.load(
        {row for of in lists for rows in of.values() for row in rows}
        | {row for of in shown for row in of.rows}
    )
    lead = (
        "Four made-up shoppers, and the first items that each model picks for them; what they have "
        "clicked is left out. Names in bold are of the kind they clicked. Before the shop's own "
        "rules (in stock, variety, sizes counted once), so that the models themselves are seen."
    )
    parts = [_persona(of, found, served, pictures) for of, found in zip(shown, lists, strict=True)]
    if why_not:
        parts.append(paragraph(why_not, class_="absent"))
    if pictures.folder is None:
        parts.insert(
            0,
            paragraph(
                "No photos: the catalogue that the release was trained on is not in the home "
                "folder. Name it with --catalog.",
                class_="absent",
            ),
        )
    parts.append(details("What the blend listens to, by how much is known", _weights(served)))
    complete = not why_not and pictures.folder is not None
    return Section("recommendations", TITLE, lead, join(*parts), complete)


def _foreign_vectors(release: Release, personas: Sequence[Persona]) -> tuple[dict[str, F32], str]:
    """Content vectors of what personas bought elsewhere, by persona, and why there are none."""
    wanted = {of.name: of.foreign for of in personas if of.foreign}
    if not wanted:
        return {}, ""
    try:
        encoder = load_clip(str(release.folder / "clip"))
    except EncoderError as error:
        return {}, (
            "The shopper known from elsewhere is left out: the release's encoder cannot be read "
            f"({error})."
        )
    return {name: encoder.encode_texts(texts) for name, texts in wanted.items()}, ""


def _persona(of: Persona, found: dict[str, list[int]], served: Served, pictures: Pictures) -> Html:
    known = len(of.rows) + len(of.foreign)
    parts = [element("h3", of.name), paragraph(of.tells)]
    if of.rows:
        clicked = pictures.shelf(of.rows)
        parts.append(element("div", element("h4", "Clicked"), clicked, class_="history"))
    if of.foreign:
        bought = element("ul", *(element("li", text) for text in of.foreign))
        parts.append(element("div", element("h4", "Bought elsewhere"), bought, class_="history"))
    for name, rows in found.items():
        matching = _matching(of, rows, pictures)
        count = f"{len(matching)} of {len(rows)} are {of.kind}" if of.kind else ""
        heading = element(
            "div",
            element("h4", SHOWN[name]),
            paragraph(_SAYS[name]),
            *([paragraph(count)] if count else []),
        )
        parts.append(element("div", heading, pictures.shelf(rows, matching), class_="row"))
    silent = [SHOWN[name] for name in SHOWN if name not in found]
    if silent:
        parts.append(
            paragraph(
                f"{', '.join(silent)}: nothing to go by. Alone they show the most popular; in the "
                "blend they are silent.",
                class_="note",
            )
        )
    heard = [
        f"{_PARTS[name]} {weight:.0%}"
        for name, weight in served.weights(known).items()
        if weight >= 0.005 and (name in found or name == "trending")
    ]
    parts.append(paragraph(f"The blend weighs: {', '.join(heard)}.", class_="note"))
    return element("div", *parts, class_="persona")


def _matching(of: Persona, rows: Sequence[int], pictures: Pictures) -> list[int]:
    codes, values = (
        pictures.catalogue.codes("article_type"),
        pictures.catalogue.values("article_type"),
    )
    return [row for row in rows if codes[row] >= 0 and values[codes[row]] == of.kind]


def _weights(served: Served) -> Html:
    segments = [name for name, _ in SEGMENTS]
    rows = [
        [label, *(f"{served.blend.weights[s].get(part, 0.0):.0%}" for s in segments)]
        for part, label in _PARTS.items()
        if part != "blend"
    ]
    return table(["items known", *segments], rows)
