"""Baskets: counts by hand, two algorithms that agree, and the published figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemline.errors import InvalidInputError
from hemline_training.basket_rules import ALGORITHMS, itemsets, read_baskets, rules

GROCERIES = Path(__file__).parents[3] / "shared" / "data" / "groceries" / "groceries.csv"

BASKETS = [
    ["shirt", "tie"],
    ["shirt", "tie", "belt"],
    ["shirt"],
    ["belt", "shoes"],
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_itemsets_by_hand(algorithm):
    found = itemsets(BASKETS, 0.5, algorithm)
    assert found == {
        frozenset({"shirt"}): 0.75,
        frozenset({"tie"}): 0.5,
        frozenset({"belt"}): 0.5,
        frozenset({"shirt", "tie"}): 0.5,
    }


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_rule_has_its_confidence_and_lift(algorithm):
    (only,) = rules(BASKETS, 0.5, 0.8, algorithm)
    assert (only.left, only.right) == (frozenset({"tie"}), frozenset({"shirt"}))
    assert (only.support, only.confidence) == (0.5, 1.0)
    assert only.lift == pytest.approx(1 / 0.75)


def test_names_are_stripped_and_an_item_counts_once_a_basket(tmp_path):
    file = tmp_path / "baskets.csv"
    file.write_text("shirt , tie,shirt\n\n belt,,\n")
    assert read_baskets(file) == [["shirt", "tie"], ["belt"]]


def test_nothing_frequent_means_no_rule():
    assert rules([["a"], ["b"], ["c"]], 0.5, 0.5) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: itemsets([], 0.5), "baskets: there is none"),
        (lambda: itemsets(BASKETS, 0), r"support: 0 is outside \(0, 1\]"),
        (lambda: itemsets(BASKETS, 0.5, "guess"), "algorithm: 'guess' is not one of apriori"),
    ],
)
def test_wrong_questions_are_named(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


@pytest.mark.skipif(not GROCERIES.is_file(), reason="needs the shared data")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_groceries_give_the_published_counts(algorithm):
    baskets = read_baskets(GROCERIES)
    assert len(baskets) == 9_835
    assert len(itemsets(baskets, 0.01, algorithm)) == 333
    assert len(rules(baskets, 0.01, 0.5, algorithm)) == 15
