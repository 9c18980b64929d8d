"""Byte-pair tokens for a small CLIP: OpenAI's table, reduced to what a corpus uses.

The full table (Radford et al., 2021; shipped inside `open_clip`) has 49,408 tokens, most of which
no product title ever uses; at width 192 they would be 9.5 M parameters. `CompactTokenizer` keeps
the tokens of a corpus and all single bytes. A token that was not kept is split back into the two
parts it was merged from, again and again, down to bytes if need be, so that nothing is ever out of
vocabulary.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hemline.encoders.byte_pairs import byte_pairs

_FORMAT = "hemline-tokens-1"
_MAX_CHARS = (
    600  # of one text; a context of 24 tokens is about 120, and merging one word is quadratic
)
_MAX_CACHED_WORDS = 50_000


class CompactTokenizer:
    """Text to token ids; the last two ids are start-of-text and end-of-text.

    `tokens` are the kept tokens in the notation of the table (bytes as printable characters, `</w>`
    ends a word), beginning with the 512 of the byte alphabet.
    """

    def __init__(self, tokens: Sequence[str], context_length: int = 24) -> None:
        base = byte_pairs()
        if list(tokens[:512]) != base.alphabet():
            raise ValueError("the first 512 tokens must be the byte alphabet")
        self.tokens = tuple(tokens)
        self.context_length = context_length
        self.sot_id, self.eot_id = len(tokens), len(tokens) + 1
        self.vocab_size = len(tokens) + 2
        self._ids = {token: index for index, token in enumerate(tokens)}
        self._base = base
        self._words: dict[str, tuple[int, ...]] = {}

    @classmethod
    def from_corpus(
        cls, texts: Iterable[str], context_length: int = 24, min_count: int = 2
    ) -> CompactTokenizer:
        """Keep the tokens occurring at least `min_count` times in `texts`, in the table's order."""
        base = byte_pairs()
        counts: Counter[str] = Counter()
        for text in texts:
            for word in base.words(text):
                counts.update(base.split(word))
        kept = [token for token in base.merged() if counts[token] >= max(min_count, 1)]
        return cls(base.alphabet() + kept, context_length)

    @classmethod
    def load(cls, path: Path) -> CompactTokenizer:
        """Read what `to_json` wrote; raises ValueError if the file is something else."""
        return cls.from_json(path.read_text(encoding="utf-8"))

    @classmethod
    def from_json(cls, text: str) -> CompactTokenizer:
        document = json.loads(text)
        if document.get("format") != _FORMAT:
            raise ValueError(f"not a {_FORMAT} file")
        return cls(byte_pairs().alphabet() + document["tokens"], int(document["context_length"]))

    def to_json(self) -> str:
        """The kept tokens beyond the byte alphabet, one document."""
        document = {
            "format": _FORMAT,
            "context_length": self.context_length,
            "tokens": list(self.tokens[512:]),
        }
        return json.dumps(document, indent=0, ensure_ascii=True) + "\n"

    def encode(self, text: str) -> list[int]:
        """Token ids of a whole text of any length, without start and end."""
        ids: list[int] = []
        for word in self._base.words(text):
            known = self._words.get(word)
            if known is None:
                known = tuple(self._word_ids(word))
                if len(self._words) < _MAX_CACHED_WORDS:
                    self._words[word] = known
            ids.extend(known)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The cleaned text again, a space after every word, just as the full table decodes it."""
        text = "".join(self.tokens[i] for i in ids if i < self.sot_id)
        raw = bytes(self._base.bytes[character] for character in text)
        return raw.decode("utf-8", errors="replace").replace("</w>", " ")

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(n, context_length) ids: start, tokens (cut to fit), end, zeros."""
        rows = np.zeros((len(texts), self.context_length), dtype=np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = self.encode(text[:_MAX_CHARS])[: self.context_length - 2]
            row[0] = self.sot_id
            row[1 : 1 + len(ids)] = ids
            row[1 + len(ids)] = self.eot_id
        return rows

    def _word_ids(self, word: str) -> list[int]:
        stack = list(self._base.split(word)[::-1])
        ids: list[int] = []
        while stack:
            token = stack.pop()
            if token in self._ids:
                ids.append(self._ids[token])
            else:
                first, second = self._base.parts(token)
                stack += [second, first]
        return ids


def used_length(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, context) ids to (n,) lengths without the trailing zeros."""
    context = tokens.shape[1]
    return np.asarray(context - np.argmax(tokens[:, ::-1] != 0, axis=1))
