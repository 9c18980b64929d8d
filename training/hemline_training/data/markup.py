"""Descriptions out of HTML: the words a shopper reads, without tags, styles and scripts."""

from __future__ import annotations

from html.parser import HTMLParser

_SILENT = {"script", "style", "head", "template"}
_BREAKS = {"br", "p", "div", "li", "ul", "ol", "tr", "td", "h1", "h2", "h3", "h4", "table"}


def plain_text(markup: str) -> str:
    """The text of a piece of HTML, in one line; text without tags comes back as it is, trimmed."""
    if "<" not in markup and "&" not in markup:
        return " ".join(markup.split())
    reader = _Words()
    reader.feed(markup)
    reader.close()
    return " ".join("".join(reader.words).split())


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in _BREAKS:
            self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        if tag in _BREAKS:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)
