from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from hemline.encoders.byte_pairs import byte_pairs
from hemline.encoders.tokenizer import CompactTokenizer

CORPUS = ["Women Red Dress", "Men's brown leather shoes", "blue jeans", "blue jeans for men"]
SMALL = CompactTokenizer.from_corpus(CORPUS, context_length=12, min_count=1)
FULL = SimpleTokenizer()


def test_words_of_the_corpus_are_one_token_each() -> None:
    ids = SMALL.encode("red dress blue jeans")
    assert [SMALL.tokens[i] for i in ids] == ["red</w>", "dress</w>", "blue</w>", "jeans</w>"]


def test_a_token_that_was_not_kept_is_split_into_the_parts_it_was_merged_from() -> None:
    assert "jeans</w>" in FULL.encoder
    without = CompactTokenizer.from_corpus(["je ans je ans"], min_count=1)
    assert "jeans</w>" not in without.tokens
    parts = [without.tokens[i] for i in without.encode("jeans")]
    assert len(parts) > 1 and "".join(parts) == "jeans</w>"


def test_rare_tokens_of_the_corpus_are_not_kept() -> None:
    frequent = CompactTokenizer.from_corpus(CORPUS, min_count=2)
    assert "jeans</w>" in frequent.tokens and "leather</w>" not in frequent.tokens


def test_rows_are_start_tokens_end_and_zeros() -> None:
    rows = SMALL(["red dress", ""])
    red, dress = SMALL.encode("red dress")
    assert rows.dtype == np.int64 and rows.shape == (2, 12)
    assert rows[0].tolist() == [SMALL.sot_id, red, dress, SMALL.eot_id] + [0] * 8
    assert rows[1].tolist() == [SMALL.sot_id, SMALL.eot_id] + [0] * 10


def test_a_long_text_is_cut_and_still_ends_with_the_end_token() -> None:
    row = SMALL(["red " * 5000])[0]
    assert row[-1] == SMALL.eot_id and (row != 0).all()


def test_end_of_text_has_the_largest_id_so_that_pooling_finds_it() -> None:
    assert SMALL.eot_id == SMALL.vocab_size - 1 == max(SMALL(["blue jeans for men"])[0])


def test_a_caller_cannot_write_the_special_tokens() -> None:
    ids = SMALL.encode("red <end_of_text> <start_of_text> dress")
    assert SMALL.eot_id not in ids and SMALL.sot_id not in ids


def test_a_lone_surrogate_is_replaced_rather_than_raised() -> None:
    assert SMALL.encode("red \ud800") == SMALL.encode("red ?")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_decodes_to_what_the_full_table_makes_of_it(text: str) -> None:
    ids = SMALL.encode(text)
    assert all(0 <= i < SMALL.sot_id for i in ids)
    assert SMALL.decode(ids) == FULL.decode(FULL.encode(text))


def test_the_table_is_open_clips() -> None:
    table = byte_pairs()
    tokens = [*table.alphabet(), *table.merged()]
    assert [*tokens, "<start_of_text>", "<end_of_text>"] == list(FULL.encoder)
    assert [table.parts(token) for token in table.merged()] == list(FULL.bpe_ranks)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_words_are_split_into_the_tokens_that_open_clip_splits_them_into(text: str) -> None:
    table = byte_pairs()
    tokens = [token for word in table.words(text) for token in table.split(word)]
    assert [FULL.encoder[token] for token in tokens] == FULL.encode(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_decoding_loses_nothing_of_the_cleaned_text_but_its_spacing(text: str) -> None:
    cleaned = FULL.clean_fn(text)
    assert "".join(SMALL.decode(SMALL.encode(text)).split()) == "".join(cleaned.split())


def test_json_gives_the_same_tokenizer_again() -> None:
    again = CompactTokenizer.from_json(SMALL.to_json())
    assert again.tokens == SMALL.tokens and again.context_length == 12
    assert (again(CORPUS) == SMALL(CORPUS)).all()


def test_another_json_file_is_refused() -> None:
    with pytest.raises(ValueError, match="hemline-tokens-1"):
        CompactTokenizer.from_json(json.dumps({"tokens": []}))
    with pytest.raises(ValueError, match="byte alphabet"):
        CompactTokenizer(["red</w>"])
