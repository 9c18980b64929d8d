"""OpenAI's byte-pair table (Radford et al., 2021), read from the file that `open_clip` ships.

Importing `open_clip` for its `SimpleTokenizer` costs five seconds of processor time, and a process
that only turns texts into tokens needs none of the rest. The results are the same (a test compares
them), the text is cleaned alike: mended, unescaped, lower case, single spaces.
"""

from __future__ import annotations

import gzip
import html
import importlib.util
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

import ftfy
import regex  # type: ignore[import-untyped]

_FILE = "bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49_152 - 256 - 2  # of the file's lines, those that the published models know
_END = "</w>"
_MAX_CACHED_WORDS = 50_000

# The table's own pattern without its two special tokens: a caller's text can never produce those.
_WORDS = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


class BytePairs:
    """The table: which two parts merge, and in which order.

    letters     the printable character that stands for each byte, in the table's order
    """

    def __init__(self, merges: list[str]) -> None:
        """merges: "first second" each. They stay as they are: 49,000 tuples take 0.1 s to make."""
        self.letters = _letters()
        self.bytes = {letter: byte for byte, letter in self.letters.items()}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._merged_from = {pair.replace(" ", ""): pair for pair in merges}
        self._known: dict[str, tuple[str, ...]] = {}

    def alphabet(self) -> list[str]:
        """The 512 tokens that merge nothing: each byte inside and at the end of a word."""
        letters = list(self.letters.values())
        return letters + [letter + _END for letter in letters]

    def merged(self) -> Iterable[str]:
        """All other tokens, in the table's order."""
        return self._merged_from

    def parts(self, token: str) -> tuple[str, str]:
        """The two tokens that one of `merged` was merged from. Raises KeyError for another."""
        first, second = self._merged_from[token].split(" ")
        return first, second

    def words(self, text: str) -> list[str]:
        """The cleaned text's words in the table's notation, one character a byte."""
        text = ftfy.fix_text(text.encode("utf-8", "replace").decode("utf-8"))
        text = html.unescape(html.unescape(text)).strip()
        text = " ".join(text.split()).lower()
        letters = self.letters
        return [
            "".join(letters[byte] for byte in word.encode("utf-8", "replace"))
            for word in _WORDS.findall(text)
        ]

    def split(self, word: str) -> tuple[str, ...]:
        """The tokens of one of `words`: neighbours are merged, what the table has first first."""
        known = self._known.get(word)
        if known is None:
            if len(self._known) > _MAX_CACHED_WORDS:
                self._known.clear()
            known = self._known[word] = self._merge([*word[:-1], word[-1] + _END])
        return known

    def _merge(self, parts: list[str]) -> tuple[str, ...]:
        never = len(self._ranks)
        while len(parts) > 1:
            ranks = [self._ranks.get(" ".join(pair), never) for pair in pairwise(parts)]
            best = min(ranks)
            if best == never:
                break
            first, second = parts[place := ranks.index(best)], parts[place + 1]
            merged = parts[:place]
            while place < len(parts):  # this pair everywhere, from left to right
                if parts[place : place + 2] == [first, second]:
                    merged.append(first + second)
                    place += 2
                else:
                    merged.append(parts[place])
                    place += 1
            parts = merged
        return tuple(parts)


@cache
def byte_pairs() -> BytePairs:
    """The table, read once. Raises FileNotFoundError when open_clip is not installed."""
    package = importlib.util.find_spec("open_clip")  # finds the package and does not import it
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError(f"{_FILE} comes with open_clip_torch, which is not installed")
    path = Path(package.submodule_search_locations[0]) / _FILE
    lines = gzip.decompress(path.read_bytes()).split(b"\n", 1 + _MERGES)  # the first is a title
    return BytePairs(b"\n".join(lines[1 : 1 + _MERGES]).decode().split("\n"))


def _letters() -> dict[int, str]:
    """Byte -> character: itself where it is printable, else one from beyond Latin-1."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(256 + index) for index, byte in enumerate(others)}
